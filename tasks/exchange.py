"""Export of preferences and pairs, import of labels. Nothing is dropped in silence. Knows no Prefect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from db import judgements, labelling, preferences, runs, snapshots
from models.exchange import PreferenceRow
from models.exchange.label_files import LabelFormat, WrittenPairs, write_pairs
from models.exchange.trainers import content_hash, unfit, write_preferences
from models.labelling.records import PairKey
from models.labelling.votes import annotator_accuracies
from tasks.config import ExportConfig, PairsConfig
from tasks.errors import NoPreferencesError, NothingToDoError
from tasks.resources import open_database
from tasks.settings import Settings

SNAPSHOT_TRIES = 3


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was exported, and what was not: outcomes that make no row, and rows no trainer could learn from."""

    snapshot: snapshots.SnapshotInfo
    path: Path
    outcomes: dict[str, int]
    left_out: dict[str, int]


class _ChangedMeanwhileError(Exception):
    """Labels came in between two readings."""


def export_preferences(path: Path, config: ExportConfig, settings: Settings) -> ExportResult:
    """Store the preferences as they are now as a snapshot that never changes, and write it to a file.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
        LookupError: If there is no such run or annotator.
    """
    with open_database(settings) as sessions:
        with sessions.begin() as session:
            run_id = None if config.run == "all" else runs.find_run(session, config.run)
            pairs = labelling.pair_keys(session, run_id, strategies=config.strategies)
            rule = _apply_rule(session, config, pairs)
            outcomes = preferences.outcome_counts(session, rule, pairs)
        query = config.model_dump(mode="json", exclude={"shape", "format", "name"}) | {"run": run_id or "all"}
        left_out: Counter[str] = Counter()
        snapshot_id = _take_snapshot(sessions, _Selection(config, rule, run_id, query, outcomes, left_out))
        with sessions() as session:
            snapshot = snapshots.snapshot_info(session, snapshot_id)
            metadata = {"snapshot_id": snapshot.id, "content_hash": snapshot.content_hash, "query": query}
            rows = snapshots.snapshot_rows(session, snapshot_id)
            write_preferences(rows, path, format=config.format, shape=config.shape, metadata=metadata)
    return ExportResult(snapshot, path, outcomes, dict(left_out))


def export_pairs(path: Path, tool: LabelFormat, pairs: PairsConfig, *, seed: int, settings: Settings) -> WrittenPairs:
    """Write the pairs of a run for a labelling tool, or a file to fill in.

    Raises:
        LookupError: If there is no such run.
        NothingToDoError: If it has no pair that fits.
    """
    with open_database(settings) as sessions, sessions() as session:
        run_id = runs.find_run(session, pairs.run)
        if not labelling.pair_keys(session, run_id, strategies=pairs.strategies, limit=1):
            raise NothingToDoError(f"run {run_id} has no pair of {' or '.join(pairs.strategies) or 'any strategy'}")
        rows = labelling.exported_pairs(session, run_id, strategies=pairs.strategies, limit=pairs.limit, seed=seed)
        return write_pairs(rows, path, tool)


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which preferences a snapshot takes; counts what it leaves out."""

    config: ExportConfig
    rule: str
    run_id: int | None
    query: dict[str, Any]
    outcomes: dict[str, int]
    left_out: Counter[str]

    def rows(self, session: Session) -> Iterator[PreferenceRow]:
        self.left_out.clear()
        for row in snapshots.preference_rows(
            session,
            self.rule,
            run_id=self.run_id,
            strategies=self.config.strategies,
            min_support=self.config.min_support,
        ):
            reason = unfit(row)
            if reason is None:
                yield row
            else:
                self.left_out[reason] += 1


def _take_snapshot(sessions: sessionmaker[Session], selection: _Selection) -> int:
    """Hash the preferences, then store them; if labels come in between, the hash is wrong and all is done anew."""
    for _ in range(SNAPSHOT_TRIES):
        with suppress(_ChangedMeanwhileError), sessions.begin() as session:
            count, digest = _measured(selection.rows(session))
            if count == 0:
                raise NoPreferencesError(_why_none(selection))
            snapshot_id = snapshots.add_snapshot(
                session,
                selection.rows(session),
                name=selection.config.name,
                content_hash=digest,
                query=selection.query,
                row_count=count,
            )
            if _measured(snapshots.snapshot_rows(session, snapshot_id)) != (count, digest):
                raise _ChangedMeanwhileError
            return snapshot_id
    raise RuntimeError(f"labels came in {SNAPSHOT_TRIES} times while they were exported; try when labelling rests")


def _measured(rows: Iterable[PreferenceRow]) -> tuple[int, str]:
    count = 0

    def counted() -> Iterator[PreferenceRow]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    digest = content_hash(counted())
    return count, digest


def _apply_rule(session: Session, config: ExportConfig, pairs: Sequence[PairKey]) -> str:
    """Recompute the preferences of these pairs under the configured rule; return what they are stored under."""
    of = judgements.find_annotators(session, config.annotators) if config.annotators else None
    name = config.rule + (f" of {', '.join(sorted(config.annotators))}" if config.annotators else "")
    weights = None
    if config.rule == "weighted":
        weights = annotator_accuracies(list(preferences.votes(session, pairs, of=of).values()))
    preferences.recompute(session, pairs, rule=config.rule, of=of, weights=weights, name=name)
    return name


def _why_none(selection: _Selection) -> str:
    found = ", ".join(f"{count} {outcome}" for outcome, count in selection.outcomes.items())
    if not found:
        return "no pair is labelled yet; label some: antipode web, or antipode label"
    return (
        f"no preference has a chosen and a rejected response with the support asked for; there are: {found}; "
        "label more pairs, or lower --min_support"
    )
