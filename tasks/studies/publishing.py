"""The report of a study, and what the Prefect UI shows of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext

from db import runs
from db.studies.trials import outcomes_of
from models.report.page import write_page
from models.report.study_page import StudyReport, study_json, study_markdown, study_page
from models.studies.findings import Findings
from models.studies.trials import Outcome, comparable
from tasks.config.section import Section
from tasks.config.studies import StudyConfig
from tasks.run_kinds import STUDY, run_at_work
from tasks.settings import Settings
from tasks.studies.kinds import STUDIES
from tasks.studies.study import StudyAtWork

PACKAGES = ("numpy", "scipy", "torch", "transformers")


class ReportFiles(NamedTuple):
    """Where a study's report is."""

    page: Path
    markdown: Path
    json: Path


def report_files(run_id: int, settings: Settings) -> ReportFiles:
    """Where the report of a study is written."""
    stem = settings.artifact_root / "reports" / f"study-{run_id}"
    return ReportFiles(*(stem.with_suffix(suffix) for suffix in (".html", ".md", ".json")))


@task(name="publish study", task_run_name="publish study", cache_policy=NO_CACHE)
def publish_study(run_id: int) -> None:
    """Write the report of a study and, under Prefect, show it as an artifact."""
    report = write_study_report(run_id)
    if TaskRunContext.get() is not None:
        create_markdown_artifact(study_markdown(report), key=f"study-{run_id}", description=report.findings.answer)


def write_study_report(run_id: int) -> StudyReport:
    """Write the report of a study anew, from what is stored; return it."""
    settings = Settings()
    report, files = study_report(run_id), report_files(run_id, settings)
    write_page(study_page(report), files.page)
    write_page(study_markdown(report), files.markdown)
    write_page(study_json(report), files.json)
    return report


def study_report(run_id: int) -> StudyReport:
    """What the stored trials of a study say."""
    with run_at_work(run_id, STUDY) as work:
        study = STUDIES[work.config.study]
        with work.sessions() as session:
            run = runs.get_run(session, run_id)
            stored = outcomes_of(session, run_id)
            config = STUDY.stored_config(session, run_id)
        outcomes = [stored[trial.key] for trial in study.trials(work) if trial.key in stored]
        versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
        return StudyReport(
            run_id=run_id,
            study=config.study,
            name=config.name,
            command=command_of(config),
            findings=_findings(work, outcomes),
            failures=tuple((one.trial.words, one.failure) for one in outcomes if one.failure is not None),
            facts=(("Data", f"run {config.data.run}"), ("Code", run.code_version), ("Packages", versions)),
            trial_count=len(outcomes),
            seconds=sum(one.seconds for one in outcomes),
        )


def command_of(config: StudyConfig) -> str:
    """The command that makes a study again: what is not at its default."""
    options = [word for name, value in _changes(config) for word in (f"--{name}", _as_argument(value))]
    return shlex.join(["antipode", "study", config.study, *options])


def _findings(work: StudyAtWork, outcomes: list[Outcome]) -> Findings:
    compared = comparable(outcomes)
    seeds, left = ({one.trial.seed for one in some} for some in (outcomes, compared))
    if not compared or len(left) < min(2, len(seeds)):
        question = f"What does {work.config.study} say?"
        failed = sum(one.failure is not None for one in outcomes)
        answer = f"Cannot tell: {failed:,} of {len(outcomes):,} trials could not be done, and too few seeds are left."
        return Findings(question, answer, ())
    return STUDIES[work.config.study].find(work, compared)


def _changes(section: Section, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting that is not at its default, with the name it has on the command line."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if value == field.default or (not path and name == "study"):
            continue
        if isinstance(value, Section):
            yield from _changes(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _as_argument(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return json.dumps(value)
    return str(value)
