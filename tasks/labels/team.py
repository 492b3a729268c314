"""What whoever leads a team sets for its queues, as one command says it. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from db.engine import Session
from db.labels import labelling, queues
from db.labels.queueing import adjudication, changing, figures, gold, guidelines, settings
from db.labels.queueing.figures import PersonFigures
from db.labels.queueing.tallies import Tally, tallies
from db.labels.queues import QueueInfo
from models.exchange import ImportedJudgement
from models.exchange.label_files import read_labels
from models.labelling import as_judgement
from models.labelling.records import Opinion, PairKey
from models.labelling.votes import Vote
from models.records import RejectedRow
from tasks.config.section import Section
from tasks.database import open_database
from tasks.settings import Settings

__all__ = [
    "PersonFigures",
    "QueueChanges",
    "QueuePeople",
    "QueueState",
    "change_queue",
    "list_queues",
    "order_queues",
    "people_of_queues",
]

_VOTES = get_args(Vote)


class QueueChanges(Section):
    """What is to change in a queue; None: nothing."""

    is_closed: bool | None = None
    judgements_per_pair: int | None = None
    overlap: float | None = None
    guidelines: Path | None = None
    has_strength: bool | None = None
    has_comment: bool | None = None
    has_editing: bool | None = None
    gold_annotators: tuple[str, ...] = ()
    gold_file: Path | None = None
    gold_share: float | None = None
    gold_bar: float | None = None
    has_stop: bool | None = None
    adjudicators: tuple[str, ...] = ()
    readmit: str | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as it is led. `adjudicators`: of one that settles contradictions, who may judge in it."""

    info: QueueInfo
    guidelines_version: int | None
    gold_pairs: int
    adjudicators: tuple[str, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class QueuePeople:
    """A queue and how those are doing who have judged in it, by name."""

    info: QueueInfo
    people: list[PersonFigures]


def list_queues(config: Settings) -> list[QueueState]:
    """All queues, as people meet them."""
    with open_database(config) as sessions, sessions() as session:
        return _states(session, queues.list_queues(session))


def order_queues(queue_ids: Sequence[int], config: Settings) -> None:
    """Let people meet these queues first, in this order.

    Raises:
        LookupError: If there is no queue of one of the ids.
    """
    with open_database(config) as sessions, sessions.begin() as session:
        settings.set_order(session, queue_ids)


def change_queue(queue_id: int, changes: QueueChanges, config: Settings) -> list[QueueState]:
    """Change a queue, all of it or nothing; returns it, and the queue that settles its contradictions if one is named.

    Raises:
        LookupError: If there is no such queue, or nobody of a name.
        ValueError: If something cannot be set so.
        SourceError: If the file of gold pairs cannot be read.
    """
    given = changes.model_dump(exclude={"guidelines", "gold_file"})
    text = None if changes.guidelines is None else _text(changes.guidelines)
    with open_database(config) as sessions, sessions.begin() as session:
        answers = None if changes.gold_file is None else dict(_answers_of_file(session, changes.gold_file))
        whole = changing.QueueChanges(**given, guidelines=text, gold_answers=answers)
        changed = changing.change(session, queue_id, whole)
        return _states(session, [queues.get_queue(session, id_) for id_ in changed])


def people_of_queues(config: Settings) -> list[QueuePeople]:
    """Every queue with the people who have judged in it, as people meet the queues."""
    with open_database(config) as sessions, sessions() as session:
        return [QueuePeople(info, figures.people_in(session, info.id)) for info in queues.list_queues(session)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise ValueError(
            f"the guidelines in {str(path)!r} cannot be read: {reason}; name a file in Markdown"
        ) from error


def _states(session: Session, infos: Sequence[QueueInfo]) -> list[QueueState]:
    counted = tallies(session, [info.id for info in infos])
    return [_state(session, info, counted[info.id]) for info in infos]


def _state(session: Session, info: QueueInfo, tally: Tally) -> QueueState:
    asked = guidelines.newest(session, info.id)
    named = adjudication.adjudicators(session, info.id)
    version = None if asked is None else asked.version
    return QueueState(info, version, gold.pair_count(session, info.id), tuple(named), tally)


def _answers_of_file(session: Session, path: Path) -> Iterator[tuple[PairKey, Vote]]:
    """The answers of a file of labels; rows that skip a pair say nothing.

    Raises:
        ValueError: At the first row that cannot be read, or names no pair that a run has selected.
    """
    rows = []
    for row in read_labels(path, None):
        if isinstance(row, RejectedRow):
            raise ValueError(f"{path}, row {row.row_number}: {row.reason}")
        rows.append(row)
    by_id = labelling.find_pairs(session, sorted({row.pair_id for row in rows if row.pair_id is not None}))
    pairs = {row.row_number: _pair(row, by_id) for row in rows}
    selected = labelling.selected_among(session, sorted({pair for pair in pairs.values() if pair is not None}))
    for row in rows:
        pair = pairs[row.row_number]
        if pair is None or pair not in selected:
            raise ValueError(f"{path}, row {row.row_number}: names no pair of a run; give pair_id or both response ids")
        verdict = row.verdict
        if verdict in ("left", "right"):
            left_id = row.left_response_id or pair.first_response_id
            verdict = as_judgement(pair, left_id, Opinion(verdict)).verdict  # type: ignore[assignment]
        if verdict in _VOTES:
            yield pair, verdict  # type: ignore[misc]


def _pair(row: ImportedJudgement, by_id: dict[int, PairKey]) -> PairKey | None:
    if row.pair_id is not None:
        return by_id.get(row.pair_id)
    if row.left_response_id is None or row.right_response_id is None:
        return None
    first_id, second_id = sorted((row.left_response_id, row.right_response_id))
    return PairKey(first_id, second_id)
