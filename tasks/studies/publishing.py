"""What the Prefect UI shows of a study, beside its report."""

from __future__ import annotations

from itertools import islice

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext

from models.report.labels import escaped
from models.report.plots import plot_svg
from models.report.study_page import study_markdown
from tasks.reports.artifacts import artifact_link, listed, report_line, show_picture
from tasks.settings import Settings
from tasks.studies.reporting import report_files, write_study_report

MOST_PICTURES = 8


@task(name="publish study", task_run_name="publish study", cache_policy=NO_CACHE)
def publish_study(run_id: int) -> None:
    """Write the report of a study and, under Prefect, show it as an artifact, its first plots as pictures."""
    report = write_study_report(run_id)
    if TaskRunContext.get() is None:
        return
    key = f"study-{run_id}"
    plots = (plot for section in report.findings.sections for plot in section.plots)
    links = []
    for number, plot in enumerate(islice(plots, MOST_PICTURES), 1):
        title = escaped(plot.title)
        picture_id = show_picture(plot_svg(plot), key=f"{key}-{number}", description=title)
        links.append(artifact_link(title, picture_id))
    page, *others = report_files(run_id, Settings())
    places = [*links, report_line(Settings(), page), *(f"`{path.resolve()}`" for path in others)]
    places.append(f'In SQL: `antipode sql "SELECT * FROM study_results WHERE run_id = {run_id}"`')
    create_markdown_artifact(
        f"{study_markdown(report)}\n{listed('Where it is', places)}\n",
        key=key,
        description="the answer, its figures, where they are",
    )
