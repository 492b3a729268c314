"""Runs: open, resume, finish, summarise. Sessions first, no commit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, bindparam, case, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.engine import alone, insert_new, record_of, take_turn, take_writing_turn
from db.schema import curation
from db.schema.base import utc_now
from db.schema.counts import COUNT_RUNS, COUNT_SIMILARITIES, RUN_COUNTS
from db.statements.among import among
from models.guesses import guess
from models.intervals import Interval
from models.number_format import NumberFormat

RUNNING, COMPLETED, FAILED, CRASHED, STOPPED = "running", "completed", "failed", "crashed", "stopped"
LARGEST_ID = 2**31
_GUESSED = 1_000  # names of the newest runs that a wrong one is compared with
_NAMED = re.compile(r"(?<=nearly the same as )prompt \d+, which stands for its group|, line \d+$")
CURATE, LABEL, ALIGN, LD_ALIGN, EVALUATE, STUDY = "curate", "label", "align", "ld-align", "evaluate", "study"
CALIBRATE = "calibrate"


class OpenedMeanwhileError(RuntimeError):
    """Another process has just opened a run of the same configuration, and it is unfinished."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One row of `runs`."""

    id: int
    name: str
    config: dict[str, Any]
    config_key: str
    status: str
    code_version: str
    embedder_id: int | None
    has_fixed_candidates: bool
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    kind: str
    labelled_run_id: int | None
    annotator_id: int | None
    requests: int
    cost: float
    deployment: str | None
    flow_run_id: str | None
    resumes: int
    device_seconds: float
    dtype: str | None
    dtype_reason: str | None
    length_correlation: float | None
    length_correlation_low: float | None
    length_correlation_high: float | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One row of the view `run_summary`."""

    run_id: int
    run: str
    kind: str
    labelled_run_id: int | None
    annotator: str | None
    status: str
    started_at: datetime
    finished_at: datetime | None
    prompts: int
    skipped_prompts: int
    responses: int
    duplicates: int
    empty_responses: int
    truncated_responses: int
    cut_responses: int
    left_out_responses: int
    pairs: int
    judgements: int
    tokens: int | None
    requests: int
    cost: float
    device_seconds: float
    deployment: str | None
    resumes: int
    dtype: str | None
    dtype_reason: str | None
    length_correlation: float | None
    length_correlation_low: float | None
    length_correlation_high: float | None


def take_turn_of_runs(session: Session) -> None:
    """Let nobody else who takes it open a run until this transaction ends: what is read from here on stays true."""
    take_turn(session, curation.Run.__tablename__)


def find_unfinished(session: Session, config_keys: Sequence[str]) -> int | None:
    """The run that has not completed, if there is one: of the last of these keys that has any, its newest."""
    table = curation.Run
    query = (
        select(table.id)
        .where(table.config_key.in_(config_keys), table.status != COMPLETED)
        .order_by(table.config_key != config_keys[-1], table.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def open_run(
    session: Session,
    *,
    kind: str,
    name: str,
    config: Mapping[str, Any],
    config_key: str,
    code_version: str,
    prompt_ids: Sequence[int] = (),
    labelled_run_id: int | None = None,
    number_format: NumberFormat | None = None,
) -> int:
    """Store a new run, and the prompts it works on or the run whose pairs it labels; return its id.

    `number_format` is what `auto` stands for in it; None for a run that loads no model.

    Raises:
        OpenedMeanwhileError: If a run of this configuration is unfinished; the transaction is lost.
    """
    run = curation.Run(
        name=name,
        kind=kind,
        config=dict(config),
        config_key=config_key,
        status=RUNNING,
        code_version=code_version,
        labelled_run_id=labelled_run_id,
        dtype=number_format and number_format.dtype,
        dtype_reason=number_format and number_format.reason,
    )
    session.add(run)
    try:
        session.flush()
    except IntegrityError as error:
        raise OpenedMeanwhileError(f"another process has just opened a run named {name!r}; try again") from error
    insert_new(session, curation.RunPrompt, [{"run_id": run.id, "prompt_id": prompt_id} for prompt_id in prompt_ids])
    return run.id


def take_up(session: Session, run_id: int, *, config: Mapping[str, Any], config_key: str) -> None:
    """Say that a run is at work again, with the same configuration at another pace.

    One that another process works on stays as it is. A run whose key was made by an older version gets this one, unless
    an unfinished run has it.

    Raises:
        OpenedMeanwhileError: If one has just been opened; the transaction is lost.
    """
    with alone(session, f"run {run_id}") as is_free:
        if not is_free:
            return
        set_status(session, run_id, RUNNING)
        table, values = curation.Run, {"config": dict(config)}
        unfinished = select(table.id).where(table.config_key == config_key, table.status != COMPLETED)
        try:
            session.execute(update(table).filter_by(id=run_id).values(values))
            session.execute(update(table).where(table.id == run_id, ~unfinished.exists()).values(config_key=config_key))
        except IntegrityError as error:
            raise OpenedMeanwhileError(f"another process has just opened run {run_id} anew; try again") from error


def set_status(session: Session, run_id: int, status: str, *, error: str | None = None) -> None:
    """Say how a run stands; a run that is not running gets its time of finishing. A completed run stays completed.

    No run finishes before it started, though the clock was set back meanwhile. What a completed run's prompts,
    candidates and pairs come to is kept: they stay as they are.
    """
    take_writing_turn(session)
    started_at, now = curation.Run.started_at, utc_now()
    finished_at = None if status == RUNNING else case((started_at > now, started_at), else_=now)
    changed = session.scalar(
        update(curation.Run)
        .where(curation.Run.id == run_id, curation.Run.status != COMPLETED)
        .values(status=status, error=error, finished_at=finished_at)
        .returning(curation.Run.id)
    )
    if changed and status == COMPLETED:
        counts = COUNT_RUNS.format(condition="counted.id = :run_id")
        session.execute(text(f"INSERT INTO run_counts ({RUN_COUNTS}) {counts}"), {"run_id": run_id})
        session.execute(text(COUNT_SIMILARITIES.format(condition="pairs.run_id = :run_id")), {"run_id": run_id})


def fix_candidates(session: Session, run_id: int) -> None:
    """Say that the run's candidates are complete; nothing is added to them any more."""
    session.execute(update(curation.Run).filter_by(id=run_id).values(has_fixed_candidates=True))


def set_format(session: Session, run_id: int, number_format: NumberFormat) -> None:
    """Say what `auto` stands for in a run that was stored without it."""
    values = {"dtype": number_format.dtype, "dtype_reason": number_format.reason}
    session.execute(update(curation.Run).filter_by(id=run_id).values(values))


def set_embedder(session: Session, run_id: int, embedder_id: int) -> None:
    """Say which embedder's vectors a run uses."""
    session.execute(update(curation.Run).filter_by(id=run_id).values(embedder_id=embedder_id))


def set_length_correlation(session: Session, run_id: int, correlation: Interval | None) -> None:
    """Say how far similarity goes with the difference in length among the pairs a run chose from; None: undefined."""
    value, low, high = correlation or (None, None, None)
    values = {"length_correlation": value, "length_correlation_low": low, "length_correlation_high": high}
    session.execute(update(curation.Run).filter_by(id=run_id).values(values))


def set_annotator(session: Session, run_id: int, annotator_id: int) -> None:
    """Say who judges in a run that labels."""
    session.execute(update(curation.Run).filter_by(id=run_id).values(annotator_id=annotator_id))


def set_origin(session: Session, run_id: int, *, deployment: str | None, flow_run_id: str | None) -> None:
    """Say which Prefect deployment and which of its flow runs work on a run; None: a person at a command line."""
    take_writing_turn(session)
    values = {"deployment": deployment, "flow_run_id": flow_run_id}
    session.execute(update(curation.Run).filter_by(id=run_id).values(values))


def running(session: Session, *, started_before: datetime) -> list[RunRecord]:
    """The runs that say that they are running, and those of a deployment whose process died, oldest first.

    One that started in the future is old: the clock was set back since.
    """
    is_crashed = (curation.Run.status == CRASHED) & curation.Run.deployment.is_not(None)
    is_old = (curation.Run.started_at < started_before) | (curation.Run.started_at > utc_now())
    query = select(curation.Run).where((curation.Run.status == RUNNING) | is_crashed, is_old)
    return [record_of(RunRecord, run) for run in session.scalars(query.order_by(curation.Run.id))]


def newest_of(session: Session, kind: str, name: str) -> list[RunRecord]:
    """The runs of a kind and a name, newest first."""
    query = select(curation.Run).filter_by(kind=kind, name=name).order_by(curation.Run.id.desc())
    return [record_of(RunRecord, run) for run in session.scalars(query)]


def find_of_kind(session: Session, kind: str, run: str) -> RunRecord:
    """The run of a kind given as an id, a name (its newest run) or `last` (the newest of the kind).

    Raises:
        LookupError: If there is none.
    """
    query = select(curation.Run).filter_by(kind=kind).order_by(curation.Run.id.desc()).limit(1)
    if run.isdecimal() and int(run) < LARGEST_ID:
        query = query.where(curation.Run.id == int(run))
    elif run != "last":
        query = query.where(curation.Run.name == run)
    found = session.scalar(query)
    if found is None:
        raise LookupError(f"there is no run {run!r} of the kind {kind}; see: antipode runs")
    return record_of(RunRecord, found)


def count_resume(session: Session, run_id: int) -> None:
    """Count that a run is taken up after its process died."""
    session.execute(update(curation.Run).filter_by(id=run_id).values(resumes=curation.Run.resumes + 1))


def add_device_seconds(session: Session, run_id: int, seconds: float) -> None:
    """Add to the seconds for which a run held a device."""
    take_writing_turn(session)
    values = {"device_seconds": curation.Run.device_seconds + seconds}
    session.execute(update(curation.Run).filter_by(id=run_id).values(values))


def spend(session: Session, run_id: int, requests: int, cost: float) -> None:
    """Add to what a run has spent."""
    take_writing_turn(session)
    values = {"requests": curation.Run.requests + requests, "cost": curation.Run.cost + cost}
    session.execute(update(curation.Run).filter_by(id=run_id).values(values))


def get_run(session: Session, run_id: int) -> RunRecord:
    """The run of this id.

    Raises:
        LookupError: If there is none.
    """
    run = session.get(curation.Run, run_id)
    if run is None:
        raise LookupError(f"there is no run {run_id}; see: antipode runs")
    return record_of(RunRecord, run)


def find_run(session: Session, run: str) -> int:
    """The id of a curation run given as an id, a name (its newest run) or `last` (the newest of all).

    Raises:
        LookupError: If there is none.
    """
    query = select(func.max(curation.Run.id)).where(curation.Run.kind == CURATE)
    if run.isdecimal() and int(run) < LARGEST_ID:
        query = query.where(curation.Run.id == int(run))
    elif run != "last":
        query = query.where(curation.Run.name == run)
    run_id = session.scalar(query)
    if run_id is None:
        raise LookupError(_why_no_run(session, run))
    return run_id


def summaries(session: Session, run_id: int | None = None) -> list[RunSummary]:
    """The view `run_summary`, newest first, or one run of it."""
    condition = "" if run_id is None else "WHERE run_id = :run_id"
    query = text(f"SELECT * FROM run_summary {condition} ORDER BY run_id DESC")
    timed = query.columns(started_at=DateTime(), finished_at=DateTime())  # SQLite's views have texts
    return [RunSummary(**row) for row in session.execute(timed, {"run_id": run_id}).mappings()]


def set_skipped(session: Session, run_id: int, reasons: Mapping[int, str]) -> None:
    """Store why prompts ended without a pair: prompt id → reason. The first reason stays."""
    if reasons:
        take_writing_turn(session)
        table = curation.RunPrompt.__table__
        session.connection().execute(
            update(curation.RunPrompt)
            .where(table.c.run_id == run_id, table.c.prompt_id == bindparam("of_prompt"), table.c.skipped.is_(None))
            .values(skipped=bindparam("reason")),
            [{"of_prompt": prompt_id, "reason": reason} for prompt_id, reason in reasons.items()],
        )


def clear_skipped(session: Session, run_id: int, prompt_ids: Sequence[int]) -> None:
    """Forget why these prompts had no pair: they have one after all."""
    session.execute(
        update(curation.RunPrompt)
        .where(
            curation.RunPrompt.run_id == run_id,
            among(curation.RunPrompt.prompt_id, prompt_ids),
            curation.RunPrompt.skipped.is_not(None),
        )
        .values(skipped=None)
    )


def skipped_prompt_ids(session: Session, run_id: int) -> set[int]:
    """The prompts of a run that ended without what was wanted of them."""
    query = select(curation.RunPrompt.prompt_id).where(
        curation.RunPrompt.run_id == run_id, curation.RunPrompt.skipped.is_not(None)
    )
    return set(session.scalars(query))


def skip_reasons(session: Session, run_id: int, prompt_ids: Sequence[int]) -> dict[int, str]:
    """Why those of these prompts that ended without what was wanted did: prompt id → reason."""
    query = select(curation.RunPrompt.prompt_id, curation.RunPrompt.skipped).where(
        curation.RunPrompt.run_id == run_id,
        among(curation.RunPrompt.prompt_id, prompt_ids),
        curation.RunPrompt.skipped.is_not(None),
    )
    return {prompt_id: reason for prompt_id, reason in session.execute(query) if reason is not None}


def skip_counts(session: Session, run_id: int) -> dict[str, int]:
    """How many prompts of a run ended without a pair, by reason; the most frequent first.

    Reasons that differ only in the prompt or the line that they name are one.
    """
    query = (
        select(curation.RunPrompt.skipped, func.count())
        .where(curation.RunPrompt.run_id == run_id, curation.RunPrompt.skipped.is_not(None))
        .group_by(curation.RunPrompt.skipped)
        .order_by(func.count().desc(), func.min(curation.RunPrompt.prompt_id))
    )
    counts = Counter[str]()
    for reason, count in session.execute(query).tuples():
        counts[_NAMED.sub(lambda named: "" if named[0][0] == "," else "another prompt", reason or "")] += count
    return dict(counts.most_common())


def _why_no_run(session: Session, run: str) -> str:
    if run == "last":
        return "there is no run yet; make one: antipode demo, or antipode curate"
    other_run = session.get(curation.Run, int(run)) if run.isdecimal() and int(run) < LARGEST_ID else None
    if other_run is not None and other_run.kind in (LABEL, CALIBRATE):
        return f"run {run} {other_run.kind}s the pairs of run {other_run.labelled_run_id}; name that one"
    if other_run is not None:
        return f"run {run} selected no pairs: its kind is {other_run.kind}; name a run that did, see: antipode runs"
    names = session.scalars(select(curation.Run.name).order_by(curation.Run.id.desc()).limit(_GUESSED))
    near = guess(run, ["last", *names])
    return f"there is no run {run!r}; {near}{'See' if near else 'see'}: antipode runs, or make one: antipode curate"
