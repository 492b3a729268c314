"""The report of a study as HTML, Markdown and JSON. Knows no database and no study in particular."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from models.report.labels import escaped
from models.report.plots import draw_plot, plot_table
from models.report.templates import duration, make_environment
from models.studies.findings import Findings, Table


@dataclass(frozen=True, slots=True)
class StudyReport:
    """A study as its report shows it.

    Attributes:
        run_id: the study's run.
        study: its name.
        name: the run's name.
        command: what makes it again.
        findings: what it found.
        failures: trials that could not be done, as (trial, reason).
        facts: what it was made with, as (label, value): the data's run, versions of packages and code.
        trial_count: how many trials are stored.
        seconds: what they took together.
        planned_count: how many there are in all; more than are stored where the study is not done.
    """

    run_id: int
    study: str
    name: str
    command: str
    findings: Findings
    failures: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    trial_count: int
    seconds: float
    planned_count: int = 0

    @property
    def all_facts(self) -> tuple[tuple[str, str], ...]:
        """What the findings rest on, what it was made with, what it took."""
        of = f" of {self.planned_count:,}: the study is not done" if self.trial_count < self.planned_count else ""
        took = f"{self.trial_count:,}{of}, {duration(timedelta(seconds=self.seconds))} together"
        return (*self.findings.sizes, *self.facts, ("Trials", took))


def study_page(report: StudyReport) -> str:
    """The page as the text of an HTML file: no script, nothing loaded from elsewhere, every text escaped."""
    return make_environment().get_template("study.html").render(report=report, draw=draw_plot, table_of=plot_table)


def study_markdown(report: StudyReport) -> str:
    """The report as Markdown (GFM), its plots as tables: whatever a name holds marks nothing up."""
    findings = report.findings
    parts = [f"# {escaped(findings.question)}", f"**{escaped(findings.answer)}**"]
    for section in findings.sections:
        parts.append(f"## {escaped(section.title)}")
        parts += map(escaped, section.paragraphs)
        parts += map(_markdown_table, (*map(plot_table, section.plots), *section.tables))
    if report.failures:
        failures = "\n".join(f"- {escaped(trial)}: {escaped(reason)}" for trial, reason in report.failures)
        parts.append(f"## Trials that could not be done\n\n{failures}")
    facts = "\n".join(f"- {escaped(label)}: {escaped(value)}" for label, value in report.all_facts)
    parts.append(f"## What it rests on\n\n{facts}")
    parts.append(f"## Made by\n\n    {report.command}")
    return "\n\n".join(parts) + "\n"


def study_json(report: StudyReport) -> str:
    """The report as JSON, its plots as data; a bound that is not finite is null."""
    return json.dumps(_finite(asdict(report)), indent=1, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown_table(table: Table) -> str:
    rules = ("---" if at < table.text_columns else "---:" for at in range(len(table.columns)))
    rows = (map(escaped, table.columns), rules, *(map(escaped, row) for row in table.rows))
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join(filter(None, (f"**{escaped(table.title)}**", lines, escaped(table.note))))
