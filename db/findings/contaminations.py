"""Benchmarks among a run's prompts and responses: what was found, and how much of it. No commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from db.engine import insert_new, row_of
from db.schema import curation

ContaminationKind = Literal["prompt", "response", "similar"]


@dataclass(frozen=True, slots=True)
class Contamination:
    """One row of `contaminations`; see there. `line` counts the file's rows from 1."""

    prompt_id: int
    kind: ContaminationKind
    file: str
    line: int
    value: float
    text: str
    response_id: int | None = None


@dataclass(frozen=True, slots=True)
class FileContamination:
    """How many of a run's prompts are in a file: in all, and by kind."""

    file: str
    prompts: int
    by_kind: dict[str, int]


def store_contaminations(session: Session, run_id: int, found: Iterable[Contamination]) -> None:
    """Store what was found in a run."""
    insert_new(session, curation.Contamination, [{"run_id": run_id, **row_of(one)} for one in found])


def contaminations_by_file(session: Session, run_id: int) -> list[FileContamination]:
    """How many prompts are in each file, by the file's name; files without any are left out."""
    table = curation.Contamination
    kinds = (
        select(table.file, table.kind, func.count())
        .filter_by(run_id=run_id)
        .group_by(table.file, table.kind)
        .order_by(table.file, table.kind)
    )
    by_file: dict[str, dict[str, int]] = {}
    for file, kind, count in session.execute(kinds).tuples():
        by_file.setdefault(file, {})[kind] = count
    prompts = select(table.file, func.count(distinct(table.prompt_id))).filter_by(run_id=run_id).group_by(table.file)
    counts = dict(session.execute(prompts).tuples().all())
    return [FileContamination(file, counts[file], by_kind) for file, by_kind in by_file.items()]
