"""The report page of a policy, and what the Prefect UI shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.events import emit_event

from db import policies, runs
from db.labels import snapshots
from db.policies import PolicyRecord
from models.report.curves_picture import curves_svg, thinned
from models.report.intervals_picture import comparisons_svg
from models.report.labels import escaped
from models.report.page import write_page
from models.report.policy_contents import PolicyContents
from models.report.policy_page import policy_markdown, policy_page
from tasks.database import open_database
from tasks.reports.artifacts import artifact_link, cost_section, listed, report_line, show_picture
from tasks.reports.policy_queries import policy_contents, policy_page_path
from tasks.settings import Settings

POLICY_TRAINED = "antipode.policy.trained"
MOST_COMPARISONS = 8


@task(name="publish policy", task_run_name="publish policy {policy_id}", cache_policy=NO_CACHE)
def publish_policy(run_id: int, policy_id: int) -> None:
    """Write the policy's page and, under Prefect, show its figures and curves as artifacts and emit its event."""
    settings = Settings()
    path = write_policy_page(policy_id, settings)
    if TaskRunContext.get() is None:
        return
    contents = policy_contents(policy_id, settings)
    with open_database(settings) as sessions, sessions() as session:
        summary = runs.summaries(session, run_id)[0]
        policy = policies.get_policy(session, policy_id)
        trained_on = None if policy.snapshot_id is None else snapshots.snapshot_info(session, policy.snapshot_id)
    key, name = f"policy-{policy_id}", escaped(contents.name)
    links = []
    if contents.points:
        picture_id = show_picture(
            curves_svg(thinned(contents.points)), key=f"{key}-curves", description=f"{name}: training"
        )
        links.append(artifact_link("Curves along training", picture_id))
    if contents.evaluations:
        picture = comparisons_svg(contents.evaluations[:MOST_COMPARISONS])
        picture_id = show_picture(picture, key=f"{key}-win-rates", description=f"{name}: win rates, 95 % intervals")
        links.append(artifact_link("Win rates with 95 % intervals", picture_id))
    places = [*links, report_line(settings, path)]
    if policy.folder:
        places.append(f"Folder: `{settings.artifact_root.resolve() / policy.folder}`")
    end = policy_end_markdown(contents, policy, trained_on, summary, places)
    create_markdown_artifact(
        policy_markdown(contents) + end, key=key, description=f"{name}: figures, gate, what to do next"
    )
    emit_event(
        POLICY_TRAINED,
        resource={"prefect.resource.id": f"antipode.policy.{policy_id}"},
        payload={"run_id": run_id, "policy_id": policy_id, "method": contents.method},
    )


def write_policy_page(policy_id: int, settings: Settings) -> Path:
    """Write the page of a policy and return where it is.

    Raises:
        LookupError: If there is no such policy.
    """
    path = policy_page_path(policy_id, settings)
    write_page(policy_page(policy_contents(policy_id, settings)), path)
    return path


def policy_end_markdown(
    contents: PolicyContents,
    policy: PolicyRecord,
    trained_on: snapshots.SnapshotInfo | None,
    summary: runs.RunSummary,
    places: Sequence[str],
) -> str:
    """What follows the figures of a policy: what it was trained on, what this run cost, what to do next."""
    data = [] if trained_on is None else [_data_section(trained_on)]
    if policy.response_tokens and policy.seconds:
        data.append(f"Training read {policy.response_tokens:,} tokens of responses in {policy.seconds:,.0f} s.")
    where = [*places, f'In SQL: `antipode sql "SELECT * FROM policy_evaluations WHERE policy_id = {policy.id}"`']
    sections = [*data, *cost_section(summary), listed("Where it is", where), _next_section(contents)]
    return "\n" + "\n\n".join(sections) + "\n"


def _data_section(trained_on: snapshots.SnapshotInfo) -> str:
    return (
        f"## Trained on\n\nSnapshot {trained_on.id} ({escaped(trained_on.name)}): {trained_on.row_count:,} "
        "preferences, without those of the prompts that are held out."
    )


def _next_section(contents: PolicyContents) -> str:
    gate, name = contents.gate, f"policy:{contents.policy_id}"
    if gate is not None and gate.verdict == "in use":
        steps = [
            "It is in use. Sample from it: `antipode curate --model.name promoted`, or here: deployment "
            "`curate/manual` with `model.name` promoted",
            "Take it out of use: `antipode rollback`",
        ]
    elif gate is not None and gate.verdict == "passed":
        steps = [
            f"Put it into use: `antipode promote {contents.policy_id}`",
            f"Sample from it without that: `antipode curate --model.name {name}`",
        ]
    else:
        step = None if gate is None else gate.next_step
        decides = [] if step is None else [f"{step.purpose[:1].upper()}{step.purpose[1:]}: `{step.command}`"]
        steps = [*decides, f"Sample from it: `antipode curate --model.name {name}`"]
    return listed("What to do next", steps)
