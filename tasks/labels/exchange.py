"""Export of preferences and of pairs to label. Nothing is dropped in silence. Knows no Prefect."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from db import runs
from db.engine import Session, Sessions, batches
from db.labels import judgements, labelling, preferences, snapshots
from db.labels.feedback import feedback_rows
from db.labels.queueing import edits
from models.exchange import PreferenceRow, UnpairedRow
from models.exchange.label_files import LabelFormat, WrittenPairs, write_pairs
from models.exchange.shapes.table import TrainerShape
from models.exchange.trainers import (
    ContentHash,
    file_format,
    misfit,
    require_readable,
    unfit,
    unfit_single,
    write_entry,
    write_preferences,
)
from models.labelling.dawid_skene import VoteModel, fit_votes
from models.labelling.records import PairKey
from models.labelling.rules import STANDING_RULE, Rule
from models.records import content_key
from models.splits import is_test_split
from tasks.config.exchange import ExportConfig, PairsConfig, PreferencesConfig
from tasks.curation.strategies import check_names
from tasks.database import open_database, patiently
from tasks.errors import NoPreferencesError
from tasks.labels.pairs import chosen_pairs
from tasks.settings import Settings

PAIRS_PER_TRANSACTION = 5_000
LONGEST_RULE_NAME = 200
NO_PAIRS = "there are no pairs yet; make some: antipode curate"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was exported, and what was left out: pairs without a chosen response, and rows no trainer could use.

    Attributes:
        snapshot: What is stored. It knows no shape, so it also holds the rows that this one cannot. None where only
            feedback on single responses was asked for, which is no part of it.
        path: The file or folder.
        pair_count: How many pairs were asked for.
        row_count: How many preferences are in the file.
        record_count: How many records they make, with the feedback: of an unpaired shape two each.
        feedback_count: How many single responses with a yes or no are in the file.
        test_count: How many of all these are of a test split, which is measured on and never trained on.
        left_out: Counts by reason.
        entry: What names the file to its trainer.
        entry_path: Where that lies.
    """

    snapshot: snapshots.SnapshotInfo | None
    path: Path
    pair_count: int
    row_count: int
    record_count: int
    feedback_count: int
    test_count: int
    left_out: dict[str, int]
    entry: str
    entry_path: Path


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """A snapshot, the query that chose its rows, and counts of what was left out, by reason."""

    snapshot: snapshots.SnapshotInfo
    query: dict[str, Any]
    pair_count: int
    left_out: dict[str, int]


def export_preferences(path: Path, config: ExportConfig, settings: Settings) -> ExportResult:
    """Store the preferences as they are now as a snapshot that never changes, and write it to a file.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
        LookupError: If there is no such run, annotator or source.
        ValueError: If the file's ending is that of another format, or the trainer could not load the file.
        FileNotFoundError: If the folder to write to is missing.
    """
    format = config.format or file_format(path)
    require_readable(path, format=format, shape=config.shape)
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.resolve().parent}; make it first")

    def export() -> ExportResult:
        with open_database(settings) as sessions, sessions() as session, ExitStack() as ended:
            taking = None if config.feedback == "only" else SnapshotTaking(sessions, config, name=config.name)
            counted = _Counted(taking)
            rows = () if taking is None else ended.enter_context(closing(taking.rows()))
            rows = (row.with_thoughts() for row in rows) if config.has_thoughts else rows
            single = _feedback(session, config)
            records = write_preferences(
                counted.fitting(rows, config.shape),
                path,
                format=format,
                shape=config.shape,
                metadata=lambda: _metadata(counted.taken, config),
                feedback=counted.fitting_single(single, config.shape),
            )
        taken = counted.taken
        entry, entry_path = write_entry(path, format=format, shape=config.shape)
        return ExportResult(
            snapshot=None if taken is None else taken.snapshot,
            path=path,
            pair_count=0 if taken is None else taken.pair_count,
            row_count=counted.rows,
            record_count=records,
            feedback_count=counted.single,
            test_count=counted.of_test_splits,
            left_out=dict(counted.all_left_out),
            entry=entry,
            entry_path=entry_path,
        )

    return patiently(export, settings)


@dataclass(slots=True)
class _Counted:
    """What passes a shape's sieve while it is written, and what does not, by reason."""

    taking: SnapshotTaking | None
    left_out: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    single: int = 0
    of_test_splits: int = 0

    @property
    def taken(self) -> TakenSnapshot | None:
        return None if self.taking is None else self.taking.taken

    @property
    def all_left_out(self) -> Counter[str]:
        """With what is no row of the snapshot, once that is taken."""
        return Counter(() if self.taken is None else self.taken.left_out) + self.left_out

    def fitting(self, rows: Iterable[PreferenceRow], shape: TrainerShape) -> Iterator[PreferenceRow]:
        for row in rows:
            if self._passes(misfit(row.prompt, shape), row.split):
                self.rows += 1
                yield row

    def fitting_single(self, rows: Iterable[UnpairedRow], shape: TrainerShape) -> Iterator[UnpairedRow]:
        """The single responses, which are the last to be written.

        Raises:
            NoPreferencesError: There is nothing at all.
        """
        for row in rows:
            if self._passes(unfit_single(row) or misfit(row.prompt, shape), row.split):
                self.single += 1
                yield row
        if not self.rows + self.single:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.all_left_out.items())
            raise NoPreferencesError(
                f"no preference fits --shape {shape}: {counts}; take another --shape"
                if counts
                else "no response came with a yes or no; import such rows (a prompt, a completion and a label)"
            )

    def _passes(self, reason: str | None, split: str | None) -> bool:
        if reason is not None:
            self.left_out[reason] += 1
        elif is_test_split(split):
            self.of_test_splits += 1
        return reason is None


def _metadata(taken: TakenSnapshot | None, config: ExportConfig) -> dict[str, Any]:
    """What a file says of itself; TRL's conversational rows of a snapshot say what they always did."""
    metadata: dict[str, Any] = {}
    if taken is not None:
        snapshot = taken.snapshot
        metadata = {"snapshot_id": snapshot.id, "content_hash": snapshot.content_hash, "query": taken.query}
    if config.shape != "conversational":
        metadata["shape"] = config.shape
    if config.feedback != "without":
        metadata["feedback"] = {"source": config.feedback_source or "all"}
    if config.has_thoughts:
        metadata["has_thoughts"] = True
    return metadata


def _feedback(session: Session, config: ExportConfig) -> Iterable[UnpairedRow]:
    if config.feedback == "without":
        return ()
    return feedback_rows(session, config.feedback_source, has_thoughts=config.has_thoughts)


class SnapshotTaking:
    """A snapshot of the preferences as they are now, taken while they are read: each is read once.

    `taken`: what is stored, once `rows` is at its end.
    """

    def __init__(self, sessions: Sessions, config: PreferencesConfig, *, name: str) -> None:
        self._sessions, self._config, self._name = sessions, config, name
        self.taken: TakenSnapshot | None = None

    def rows(self) -> Generator[PreferenceRow]:
        """The rows, in the snapshot's order; behind the last one it is stored, or the same one is found again.

        One statement reads them all, as they are at one moment. What is kept of one takes some 500 bytes.

        Raises:
            NoPreferencesError: If no preference has a chosen and a rejected response.
            LookupError: If there is no such run, strategy or annotator.
        """
        config = self._config
        with self._sessions() as session:
            run_id = None if config.run == "all" else runs.find_run(session, config.run)
            pairs = _pairs(session, run_id, config)
        rule = _apply_rule(self._sessions, config, pairs)
        digest, lineage, left_out = ContentHash(), [], Counter[str]()
        with self._sessions() as session:
            for row in _rows(session, config, rule, run_id):
                if (reason := unfit(row)) is not None:
                    left_out[reason] += 1
                    continue
                digest.add(row)
                lineage.append(snapshots.lineage(row))
                yield row
        with self._sessions() as session:
            decided = {row[1:3] for row in lineage}
            others = [pair for pair in pairs if pair not in decided and pair[::-1] not in decided]
            left_out += _undecided(session, rule, others, config)
        if not lineage:
            raise NoPreferencesError(_why_none(left_out, config, run_id))
        query, key = _query(config, run_id), digest.hexdigest()
        with self._sessions.begin() as session:
            id_ = snapshots.add_snapshot(session, lineage, name=self._name, content_hash=key, query=query)
        with self._sessions() as session:
            self.taken = TakenSnapshot(snapshots.snapshot_info(session, id_), query, len(pairs), dict(left_out))


def take_snapshot(sessions: Sessions, config: PreferencesConfig, *, name: str) -> TakenSnapshot:
    """Store the preferences as they are now as a snapshot; the same ones under the same name are found again.

    Raises:
        NoPreferencesError, LookupError: As of `SnapshotTaking.rows`.
    """
    taking = SnapshotTaking(sessions, config, name=name)
    deque(taking.rows(), maxlen=0)
    assert taking.taken is not None
    return taking.taken


def preferences_now(session: Session, config: PreferencesConfig) -> list[PreferenceRow]:
    """The rows that a snapshot taken now would hold. Another rule than the standing one is applied in the session.

    What that stores is for the caller to commit, or not.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
        LookupError: If there is no such run, strategy or annotator.
    """
    run_id = None if config.run == "all" else runs.find_run(session, config.run)
    pairs = _pairs(session, run_id, config)
    rule = _rule(session, config, pairs)
    if rule["name"] != STANDING_RULE:
        preferences.recompute(session, pairs, **rule)
    fitting = [row for row in _rows(session, config, rule["name"], run_id) if unfit(row) is None]
    if not fitting:
        raise NoPreferencesError(_why_none(_undecided(session, rule["name"], pairs, config), config, run_id))
    return fitting


def export_pairs(path: Path, tool: LabelFormat, pairs: PairsConfig, *, seed: int, settings: Settings) -> WrittenPairs:
    """Write the pairs of a run for a labelling tool, or a file to fill in.

    Raises:
        LookupError: If there is no such run.
        NothingToDoError: If it has no pair that fits.
    """
    with open_database(settings) as sessions, sessions() as session:
        run_id, _ = chosen_pairs(session, pairs)
        rows = labelling.exported_pairs(session, run_id, strategies=pairs.strategies, limit=pairs.limit, seed=seed)
        return write_pairs(rows, path, tool)


def no_labels(run_id: int | None) -> str:
    """The message where no pair of a run, or of any run, is labelled."""
    run = "ID" if run_id is None else run_id
    return f"no pair is labelled yet; label some: antipode web --run {run}, or antipode label --pairs.run {run}"


def _pairs(session: Session, run_id: int | None, config: PreferencesConfig) -> list[PairKey]:
    """The pairs that preferences are taken of: those selected, and what people have made of their responses.

    Raises:
        LookupError: If no strategy has one of the names.
    """
    check_names(session, run_id, [name for name in config.strategies if name != edits.STRATEGY])
    selected = labelling.pair_keys(session, run_id, strategies=config.strategies)
    return list(dict.fromkeys([*selected, *edits.pair_keys(session, run_id, strategies=config.strategies)]))


def _rows(session: Session, config: PreferencesConfig, rule: str, run_id: int | None) -> Iterator[PreferenceRow]:
    return snapshots.preference_rows(
        session,
        rule,
        run_id=run_id,
        strategies=config.strategies,
        min_support=config.min_support,
        min_votes=config.min_votes,
    )


def _query(config: PreferencesConfig, run_id: int | None) -> dict[str, Any]:
    """What chose a snapshot's rows, as it is stored."""
    fields = {name: getattr(config, name) for name in PreferencesConfig.model_fields}
    query = PreferencesConfig(**fields).model_dump(mode="json") | {"run": run_id or "all"}
    if query["min_votes"] == 1:  # versions before had no such limit: the same rows are the same snapshot
        del query["min_votes"]
    return query


def _apply_rule(sessions: Sessions, config: PreferencesConfig, pairs: Sequence[PairKey]) -> str:
    """Recompute the preferences of these pairs under the configured rule; return the name they are stored under.

    In short transactions, so that people can label meanwhile. Those of the standing rule are what every judgement
    brought up to date as it was stored.
    """
    with sessions() as session:
        rule = _rule(session, config, pairs)
    if rule["name"] == STANDING_RULE:
        return rule["name"]
    for batch in batches(pairs, PAIRS_PER_TRANSACTION):
        with sessions.begin() as session:
            preferences.recompute(session, batch, **rule)
    return rule["name"]


class _Rule(TypedDict):
    """A rule as `recompute` takes it."""

    rule: Rule
    of: list[int] | None
    model: VoteModel | None
    name: str


def _rule(session: Session, config: PreferencesConfig, pairs: Sequence[PairKey]) -> _Rule:
    annotator_ids = judgements.find_annotators(session, config.annotators) if config.annotators else None
    model = None
    if config.rule == "weighted":
        model = fit_votes(list(preferences.votes(session, pairs, of=annotator_ids).values()))
    ids = sorted(annotator_ids or ())
    name = config.rule if annotator_ids is None else f"{config.rule} of annotators {','.join(map(str, ids))}"
    if len(name) > LONGEST_RULE_NAME:
        name = f"{config.rule} of annotators {content_key(ids)[:16]}"
    return _Rule(rule=config.rule, of=annotator_ids, model=model, name=name)


def _undecided(session: Session, rule: str, pairs: Sequence[PairKey], config: PreferencesConfig) -> Counter[str]:
    """Counts of the pairs that make no row, by reason."""
    preference_of = preferences.preferences_of(session, rule, pairs)
    by_whom = " by these annotators" if config.annotators else ""
    counts: Counter[str] = Counter()
    for pair in pairs:
        preference = preference_of.get(pair)
        if preference is None:
            counts[f"without a vote{by_whom}"] += 1
        elif preference.outcome not in {"first", "second"}:
            counts[preference.outcome.replace("_", " ")] += 1
        elif preference.vote_count < config.min_votes:
            counts[f"with fewer votes than {config.min_votes}"] += 1
        elif preference.support < config.min_support:
            counts[f"with less support than {config.min_support:g}"] += 1
    return counts


def _why_none(left_out: Counter[str], config: PreferencesConfig, run_id: int | None) -> str:
    if not left_out:
        return NO_PAIRS
    if not config.annotators and set(left_out) == {"without a vote"}:
        return no_labels(run_id)
    counts = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"no pair has a chosen and a rejected response; there are: {counts}; label more pairs, or ask for less"
