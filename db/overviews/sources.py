"""Sources as the workbench shows them: how much each brought, a few of its rows, which runs use it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db.overviews.counted import Counted, count_up_to, counted
from db.prompts import prompt_from_json
from db.runs import CURATE
from db.schema import curation
from models.records import Message, Prompt

LONGEST_TEXT = 4_000  # characters of a sample: a response may have megabytes
MOST_RESPONSES = 4  # of a sample's row
RUNS_SHOWN = 50
MOST_ROWS = 25_000  # of each kind that are counted on a source's own page


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source as the list shows it; `rows` are those that were accepted."""

    id: int
    name: str
    location: str
    format: str
    content_hash: str
    created_at: datetime
    rows: Counted


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What the `rows` of a source hold: different prompts, responses, pairs; its rows by split (None: of no split).

    Of a source of more than `MOST_ROWS` rows, `prompts` and `splits` are those of the first so many.
    """

    rows: Counted
    prompts: int
    responses: Counted
    pairs: Counted
    splits: dict[str | None, int]


@dataclass(frozen=True, slots=True)
class SourceUse:
    """A curation that took prompts of a source. `is_named`: it took those of this name; else those of every source."""

    run_id: int
    run: str
    status: str
    started_at: datetime
    is_named: bool
    has_checked_prompts: bool


@dataclass(frozen=True, slots=True)
class SampleResponse:
    """A response that a row brought; `model`: who wrote it, where the source says so."""

    text: str
    thought: str | None
    model: str | None
    score: float | None
    is_reference: bool


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row of a source, long texts cut; `left_out`: how many further responses it has."""

    row_number: int
    split: str | None
    prompt: Prompt
    responses: tuple[SampleResponse, ...]
    left_out: int


def source_lines(session: Session, *, before: int | None = None, limit: int) -> list[SourceLine]:
    """The newest sources, or the newest of those that were imported before one."""
    query = select(*_LINE).order_by(curation.Source.id.desc()).limit(limit)
    if before is not None:
        query = query.where(curation.Source.id < before)
    return [_line(*row) for row in session.execute(query)]


def source_line(session: Session, source_id: int) -> SourceLine:
    """The source of this id.

    Raises:
        LookupError: If there is none.
    """
    row = session.execute(select(*_LINE).where(curation.Source.id == source_id)).first()
    if row is None:
        raise LookupError(f"there is no source {source_id}; the list is at /sources")
    return _line(*row)


def source_counts(session: Session, source_id: int) -> SourceCounts:
    """Count what a source brought, as far as `MOST_ROWS` of each."""
    row, response, pair = curation.SourceRow, curation.SourceResponse, curation.SourcePair
    first = select(row.prompt_id, row.split).where(row.source_id == source_id).order_by(row.row_number)
    of_first = first.limit(MOST_ROWS).subquery()
    some = (
        select(table.row_number).where(table.source_id == source_id).order_by(table.row_number).limit(MOST_ROWS + 1)
        for table in (row, response, pair)
    )
    counts = (session.scalar(select(func.count()).select_from(one.subquery())) or 0 for one in some)
    all_rows, responses, pairs = (counted(count, MOST_ROWS) for count in counts)
    split, number = of_first.c.split, func.count()
    by_split = select(split, number).group_by(split).order_by(number.desc(), split)
    return SourceCounts(
        rows=all_rows,
        prompts=session.scalar(select(func.count(of_first.c.prompt_id.distinct()))) or 0,
        responses=responses,
        pairs=pairs,
        splits=dict(session.execute(by_split).tuples().all()),
    )


def source_uses(session: Session, source: SourceLine) -> list[SourceUse]:
    """The newest curations that took prompts of a source of this name, or of all sources there were then."""
    run = curation.Run
    name = run.config["source"]["name"].as_string()
    query = (
        select(run.id, run.name, run.status, run.started_at, name.is_not(None), run.has_checked_prompts)
        .where(run.kind == CURATE, run.started_at >= source.created_at, or_(name == source.name, name.is_(None)))
        .order_by(run.id.desc())
        .limit(RUNS_SHOWN)
    )
    return [SourceUse(*row) for row in session.execute(query)]


def sample_rows(session: Session, source_id: int, count: int) -> list[SampleRow]:
    """The first rows of a source, with the first of their responses."""
    row, prompt = curation.SourceRow, curation.Prompt
    query = (
        select(row.row_number, row.split, prompt.messages)
        .join(prompt, prompt.id == row.prompt_id)
        .where(row.source_id == source_id)
        .order_by(row.row_number)
        .limit(count)
    )
    return [
        SampleRow(number, split, _shortened(prompt_from_json(messages)), *_responses(session, source_id, number))
        for number, split, messages in session.execute(query)
    ]


def _responses(session: Session, source_id: int, row_number: int) -> tuple[tuple[SampleResponse, ...], int]:
    link, response, generator = curation.SourceResponse, curation.Response, curation.Generator
    text, thought = (func.substr(column, 1, LONGEST_TEXT) for column in (response.text, response.thought))
    of_row = (link.source_id == source_id) & (link.row_number == row_number)
    query = (
        select(text, thought, generator.model, response.score, response.is_reference)
        .select_from(link)
        .join(response, response.id == link.response_id)
        .join(generator, generator.id == response.generator_id)
        .where(of_row)
        .order_by(response.id)
        .limit(MOST_RESPONSES)
    )
    shown = tuple(SampleResponse(*found) for found in session.execute(query).tuples())
    count = session.scalar(select(func.count()).select_from(link).where(of_row)) or 0
    return shown, count - len(shown)


def _line(*values: Any) -> SourceLine:
    id_, name, location, format_, content_hash, created_at, rows = values
    return SourceLine(id_, name, location, format_, content_hash, created_at, counted(rows))


def _shortened(prompt: Prompt) -> Prompt:
    return replace(prompt, messages=tuple(Message(turn.role, turn.content[:LONGEST_TEXT]) for turn in prompt.messages))


_LINE: tuple[Any, ...] = (
    curation.Source.id,
    curation.Source.name,
    curation.Source.location,
    curation.Source.format,
    curation.Source.content_hash,
    curation.Source.created_at,
    count_up_to(curation.SourceRow.source_id == curation.Source.id, curation.Source, by=curation.SourceRow.row_number),
)
