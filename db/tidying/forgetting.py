"""What is forgotten with a thing, told or done. Sessions first, no commit: to tell, end the transaction by going back.

Files are the caller's: `Forgotten` says whose, and `moved` says where vectors that stay lie from now on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, delete, distinct, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.engine import batches, take_turn
from db.findings.pair_search import forget_words
from db.labels.preferences import recompute
from db.labels.queues import labels_came
from db.schema import curation, labels, policies, teams
from db.schema.base import Base
from db.tidying.marks import Marks
from db.tidying.needs import Kept, Need, kept, needs
from db.tidying.ties import Tie, naming
from models.labelling.records import PairKey
from models.labelling.rules import STANDING_RULE
from models.records import Embedded

BATCH = 5_000
_PLACES: dict[Embedded, tuple[Any, Any]] = {
    "responses": (curation.Embedding, curation.Embedding.response_id),
    "prompts": (curation.PromptEmbedding, curation.PromptEmbedding.prompt_id),
}
_LOCKED = ("snapshots", "snapshot_rows", "gate_looks", "promotions")  # triggers refuse every change of them
_TURNS = ("leases", "judgements", "preferences")  # in the order in which those who store verdicts take them
_PATIENCE = "500ms"  # PostgreSQL breaks off one of two that have waited for each other for a second
_PAUSE_S = 0.2
_CANCELED = "57014"  # PostgreSQL's code of a statement that took too long


class Vectors(NamedTuple):
    """The vectors of one embedder: the key that its folder is named by, and what has them."""

    embedder_key: str
    of: Embedded


class Place(NamedTuple):
    """Where a vector lies."""

    shard: str
    row: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What goes with a thing.

    Attributes:
        rows: how many rows of each table; tables of which none goes are left out.
        needs: what forbids it. Nothing may go while there is any.
        kept: the texts that stay, and for whom.
        verdicts_kept: judgements that stay and lose the name of their run or queue.
        vectors: the ids of the responses or prompts whose vectors go, in order, by embedder.
        runs: the runs that go, with their kinds.
        policies: the policies that go, with their keys.
        sources: the sources that go: their names and content hashes.
        locations: where those were read, if no source that stays was read there.
        embedder_keys: the embedders that go, with all their vectors.
        guide_folders: guides of rounds that no run uses any more, by their folders' names.
        shown_runs: runs that stay and whose pages may show what goes.
        shown_policies: policies likewise.
    """

    rows: Mapping[str, int]
    needs: Sequence[Need] = ()
    kept: Sequence[Kept] = ()
    verdicts_kept: int = 0
    vectors: Mapping[Vectors, list[int]] = field(default_factory=dict)
    runs: Mapping[int, str] = field(default_factory=dict)
    policies: Mapping[int, str] = field(default_factory=dict)
    sources: Sequence[tuple[str, str]] = ()
    locations: Sequence[str] = ()
    embedder_keys: Sequence[str] = ()
    guide_folders: Sequence[str] = ()
    shown_runs: Sequence[int] = ()
    shown_policies: Sequence[int] = ()


def told(session: Session, table: str, ids: Collection[int]) -> Forgotten:
    """What would go with these rows; nothing is changed but temporary tables."""
    marks = Marks(session, table, _with_settling(session, table, ids))
    found = _told(session, marks)
    marks.clear()
    return found


def take_turns(session: Session) -> None:
    """Let nobody write until this transaction ends; on SQLite what is deleted is overwritten. Call it first.

    On SQLite the database does not look for names of each row that is deleted, which takes a scan each; that none is
    left is seen once at the end.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
        take_turn(session, "")
        return
    while not _is_locked(session):
        time.sleep(_PAUSE_S)


def _is_locked(session: Session) -> bool:
    """Lock all tables of PostgreSQL against writers; whether it was done within a moment, else nothing is locked.

    Who writes to two tables may have one that is wanted here and want one that is locked here: it gets it, and this
    begins anew.
    """
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    patience = func.set_config("statement_timeout", _PATIENCE, True)
    try:
        with session.begin_nested():
            before = session.scalar(select(func.current_setting("statement_timeout")))
            session.execute(select(patience))
            for name in _TURNS:
                take_turn(session, name)
            session.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
            session.execute(select(func.set_config("statement_timeout", before, True)))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _CANCELED:
            raise
        return False
    return True


def forget(
    session: Session, table: str, ids: Collection[int], moved: Mapping[Vectors, Mapping[int, Place]]
) -> Forgotten:
    """Delete these rows and all that goes with them, and store where the vectors that stay lie now.

    Args:
        session: after `take_turns`.
        table: of the rows.
        ids: of the rows.
        moved: response or prompt id → its vector's new place.

    Returns:
        What went; where something needs it, nothing did.
    """
    marks = Marks(session, table, _with_settling(session, table, ids))
    found = _told(session, marks)
    if not found.needs:
        changed = _judged_otherwise(session, marks)
        with _quick_deletes(session, sum(found.rows.values())), _unlocked(session):
            _delete(session, marks)
        forget_words(session)
        _bring_up_to_date(session, changed)
        for vectors, places in moved.items():
            _move(session, vectors, places)
    marks.clear()
    if session.get_bind().dialect.name == "sqlite":
        left = session.connection().exec_driver_sql("PRAGMA foreign_key_check").first()
        assert left is None, f"a row of {left and left[0]} names one of {left and left[2]} that is gone"
    return found


def flush(session: Session) -> None:
    """Let SQLite's log hold nothing of what was deleted either, unless somebody reads just now. After the commit."""
    if session.get_bind().dialect.name == "sqlite":
        session.connection().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def places(session: Session, vectors: Vectors, shards: Collection[str]) -> dict[int, Place]:
    """Where the vectors lie that are recorded in these shards: response or prompt id → place."""
    table, id_ = _PLACES[vectors.of]
    query = (
        select(id_, table.shard, table.row)
        .join(curation.Embedder, curation.Embedder.id == table.embedder_id)
        .where(curation.Embedder.key == vectors.embedder_key, table.shard.in_(shards))
    )
    return {found: Place(shard or "", row or 0) for found, shard, row in session.execute(query)}


def shards_of(session: Session, vectors: Vectors, ids: Collection[int]) -> set[str]:
    """The shards that the vectors of these responses, or prompts, are recorded in."""
    table, id_ = _PLACES[vectors.of]
    query = select(distinct(table.shard)).join(curation.Embedder, curation.Embedder.id == table.embedder_id)
    query = query.where(curation.Embedder.key == vectors.embedder_key, table.shard.is_not(None))
    return {shard for batch in batches(ids, BATCH) for shard in session.scalars(query.where(id_.in_(batch))) if shard}


def _with_settling(session: Session, table: str, ids: Collection[int]) -> Collection[int]:
    """These rows; with queues, those that settle their contradictions: else they would be open to everybody."""
    if table != "queues":
        return ids
    settling = select(teams.Adjudication.queue_id).where(teams.Adjudication.settled_queue_id.in_(ids))
    return {*ids, *session.scalars(settling)}


def _told(session: Session, marks: Marks) -> Forgotten:
    source, run, embedder = curation.Source, curation.Run, curation.Embedder
    policy, judgement = policies.Policy, labels.Judgement
    rows = {table.name: marks.count(table.name) for table in Base.metadata.sorted_tables if table.name != "forgettings"}

    def rows_of(one: Any, other: Any, name: str) -> list[Any]:
        table = Base.metadata.tables[name]
        query = select(one, other).where(marks.goes(name)).order_by(table.c.id)
        return [tuple(row) for row in session.execute(query)]

    loses_name = marks.among_going(judgement.run_id, "runs") | marks.among_going(judgement.queue_id, "queues")
    return Forgotten(
        rows={name: count for name, count in rows.items() if count},
        needs=needs(session, marks),
        kept=kept(session, marks),
        verdicts_kept=session.scalar(select(func.count()).where(loses_name, ~marks.goes("judgements"))) or 0,
        vectors=_vectors(session, marks),
        runs=dict(rows_of(run.id, run.kind, "runs")),
        policies=dict(rows_of(policy.id, policy.key, "policies")),
        sources=rows_of(source.name, source.content_hash, "sources"),
        locations=_locations(session, marks),
        embedder_keys=session.scalars(select(embedder.key).where(marks.goes("embedders")).order_by(embedder.id)).all(),
        guide_folders=_guide_folders(session, marks),
        shown_runs=_shown_runs(session, marks),
        shown_policies=_shown_policies(session, marks),
    )


def _vectors(session: Session, marks: Marks) -> dict[Vectors, list[int]]:
    found: dict[Vectors, list[int]] = {}
    for of, (table, id_) in _PLACES.items():
        query = select(curation.Embedder.key, id_).join(table, table.embedder_id == curation.Embedder.id)
        query = query.where(marks.goes(table.__tablename__), table.shard.is_not(None)).order_by(id_)
        for key, going in session.execute(query):
            found.setdefault(Vectors(key, of), []).append(going)
    return found


def _locations(session: Session, marks: Marks) -> Sequence[str]:
    location, goes = curation.Source.location, marks.goes("sources")
    stays = select(location).where(~goes)
    return session.scalars(select(location).where(goes, location.not_in(stays)).distinct().order_by(location)).all()


def _guide_folders(session: Session, marks: Marks) -> Sequence[str]:
    folder, goes = policies.GuideCheck.folder, marks.goes("guide_checks")
    stays = select(folder).where(~goes, folder.is_not(None))
    return [one for one in session.scalars(select(folder).where(goes, folder.not_in(stays)).distinct()) if one]


def _shown_runs(session: Session, marks: Marks) -> Sequence[int]:
    """The runs that stay and have a pair of which a judgement goes, or are compared with one that goes."""
    pair, judgement = curation.Pair, labels.Judgement
    same = (pair.first_response_id == judgement.first_response_id) & (
        pair.second_response_id == judgement.second_response_id
    )
    query = select(pair.run_id).join(judgement, same).where(_loses_judgement(marks), ~marks.goes("pairs"))
    return session.scalars(query.distinct().order_by(pair.run_id)).all()


def _shown_policies(session: Session, marks: Marks) -> Sequence[int]:
    """The policies that stay and lose an evaluation or a judgement on one."""
    evaluation, pair, judgement = policies.Evaluation, policies.EvaluationPair, labels.Judgement
    sides = (pair.policy_response_id, pair.baseline_response_id)
    same = judgement.first_response_id.in_(sides) & judgement.second_response_id.in_(sides)
    judged = select(pair.evaluation_id).join(judgement, same).where(marks.goes("judgements"))
    query = select(evaluation.policy_id).where(marks.goes("evaluations") | evaluation.id.in_(judged))
    query = query.where(~marks.among_going(evaluation.policy_id, "policies"))
    return session.scalars(query.distinct().order_by(evaluation.policy_id)).all()


def _judged_otherwise(session: Session, marks: Marks) -> list[PairKey]:
    """The pairs that stay and lose a judgement, or what it decides."""
    table = labels.Judgement
    query = select(table.first_response_id, table.second_response_id).where(
        _loses_judgement(marks),
        ~marks.among_going(table.first_response_id, "responses"),
        ~marks.among_going(table.second_response_id, "responses"),
    )
    return [PairKey(*pair) for pair in session.execute(query.distinct())]


def _loses_judgement(marks: Marks) -> ColumnElement[bool]:
    """Whether a judgement goes, or the queue in which it settles a contradiction: then it is a vote like others."""
    queue_id = labels.Judgement.queue_id
    settles = marks.among_going(queue_id, "queues") & queue_id.in_(select(teams.Adjudication.queue_id))
    return marks.goes("judgements") | settles


def _delete(session: Session, marks: Marks) -> None:
    """Take the name from what stays and loses it; then delete, what names others first."""
    tables = [table for table in reversed(Base.metadata.sorted_tables) if table.name != "forgettings"]
    for parent in dict.fromkeys(table.name for table in tables):
        for one in naming(parent, Tie.LOOSE):
            loses = marks.among_going(one.column, parent) & ~marks.goes(one.table.name)
            session.execute(update(one.table).where(loses).values({one.column: None}))
    for table in tables:
        session.execute(delete(table).where(marks.goes(table.name)))


def _bring_up_to_date(session: Session, pairs: Sequence[PairKey]) -> None:
    """What is made of judgements: preferences by the standing rule, counts of queues; what is made on demand goes."""
    table = labels.Preference
    outdated = delete(table).where(
        table.rule != STANDING_RULE,
        table.first_response_id == bindparam("first"),
        table.second_response_id == bindparam("second"),
    )
    for batch in batches(pairs, BATCH):
        session.connection().execute(outdated, [{"first": first, "second": second} for first, second in batch])
    recompute(session, pairs)
    labels_came(session, pairs)


def _move(session: Session, vectors: Vectors, moved: Mapping[int, Place]) -> None:
    table, id_ = _PLACES[vectors.of]
    columns = table.__table__.c
    embedder_id = session.scalar(select(curation.Embedder.id).filter_by(key=vectors.embedder_key))
    statement = (
        update(table.__table__)
        .where(columns.embedder_id == embedder_id, columns[id_.key] == bindparam("of"))
        .values(shard=bindparam("new_shard"), row=bindparam("new_row"))
    )
    for batch in batches(moved.items(), BATCH):
        values = [{"of": of, "new_shard": place.shard, "new_row": place.row} for of, place in batch]
        session.connection().execute(statement, values)


@contextmanager
def _unlocked(session: Session) -> Iterator[None]:
    """Let this transaction change what never changes; the triggers are back before anybody else can write."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        for name in _LOCKED:
            connection.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
        yield
        for name in _LOCKED:
            connection.execute(text(f"ALTER TABLE {name} ENABLE TRIGGER USER"))
        return
    query = text("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = :name ORDER BY name")
    triggers = [row for name in _LOCKED for row in connection.execute(query, {"name": name}).all()]
    for name, _ in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, statement in triggers:
        connection.exec_driver_sql(statement)


_FEW = 200


@contextmanager
def _quick_deletes(session: Session, count: int) -> Iterator[None]:
    """Give PostgreSQL indexes to find what names a row that is deleted, for this transaction; few rows need none."""
    connection = session.connection()
    if connection.dialect.name != "postgresql" or count < _FEW:
        yield
        return
    made: list[str] = []
    for table in Base.metadata.sorted_tables:
        first = {next(iter(index.columns)).name for index in table.indexes} | {next(iter(table.primary_key)).name}
        for column in (key.parent for key in table.foreign_keys if key.parent.name not in first):
            made.append(name := f"tidying_{len(made)}")
            connection.exec_driver_sql(f"CREATE INDEX {name} ON {table.name} ({column.name})")
    yield
    for name in made:
        connection.exec_driver_sql(f"DROP INDEX {name}")
