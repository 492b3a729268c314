"""The report of a study: what its stored trials say, with what it was made and by which command."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from db import runs
from db.engine import Session
from db.studies.trials import outcomes_of
from models.files import report_file
from models.report.page import write_page
from models.report.study_page import StudyReport, study_json, study_markdown, study_page
from models.studies.findings import Findings
from models.studies.trials import Outcome, comparable
from tasks.config.differences import as_arguments, differences
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
    page = report_file(settings.artifact_root, "study", run_id)
    return ReportFiles(page, page.with_suffix(".md"), page.with_suffix(".json"))


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
        trials = STUDIES[work.config.study].trials(work)
        with work.sessions() as session:
            stored = outcomes_of(session, run_id)
            config = STUDY.stored_config(session, run_id)
            facts = _facts(session, run_id, config)
        outcomes = [stored[trial.key] for trial in trials if trial.key in stored]
        return StudyReport(
            run_id=run_id,
            study=config.study,
            name=config.name,
            command=command_of(config),
            findings=_findings(work, outcomes),
            failures=tuple((one.trial.words, one.failure) for one in outcomes if one.failure is not None),
            facts=(*facts, *_spent(outcomes)),
            trial_count=len(outcomes),
            seconds=sum(one.seconds for one in outcomes),
            planned_count=len(trials),
        )


def command_of(config: StudyConfig) -> str:
    """The command that makes a study again: what is not at its default, or not as its preset says."""
    base = StudyConfig(study=config.study, preset=config.preset)
    changes = [] if config.preset == "own" else [("preset", config.preset)]
    changes += ((name, value) for name, value, _ in differences(config, base))
    options = [word for name, value in changes for word in as_arguments(name, value)]
    return shlex.join(["antipode", "study", config.study, *options])


def _facts(session: Session, run_id: int, config: StudyConfig) -> list[tuple[str, str]]:
    """What a study was made with."""
    run, data = runs.get_run(session, run_id), f"run {config.data.run}"
    found = runs.summaries(session, int(config.data.run)) if config.data.run.isdecimal() else []
    for of in found:
        data += f" ({of.run}): {of.prompts:,} prompts, {of.responses:,} responses, {of.pairs:,} selected pairs"
    facts = [("Data", data), ("Code", run.code_version), ("Python", platform.python_version())]
    facts.append(("Packages", ", ".join(f"{package} {version(package)}" for package in PACKAGES)))
    if run.dtype:
        facts.append(("Number format", f"{run.dtype} ({run.dtype_reason})"))
    return facts


def _spent(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """What trials say that they spent, by the names that a study may give it among its figures."""
    words = (("tokens", "Tokens", ","), ("requests", "Requests", ","), ("cost", "Money", ",.4g"))
    sums = ((label, form, sum(one.figures.get(name) or 0 for one in outcomes)) for name, label, form in words)
    return [(label, format(spent, form)) for label, form, spent in sums if spent]


def _findings(work: StudyAtWork, outcomes: list[Outcome]) -> Findings:
    compared = comparable(outcomes)
    seeds, left = ({one.trial.seed for one in some} for some in (outcomes, compared))
    if not compared or len(left) < min(2, len(seeds)):
        question = f"What does {work.config.study} say?"
        failed = sum(one.failure is not None for one in outcomes)
        answer = f"Cannot tell: {failed:,} of {len(outcomes):,} trials could not be done, and too few seeds are left."
        return Findings(question, answer, ())
    return STUDIES[work.config.study].find(work, compared)
