"""All that whoever leads a team changes in a queue, at once: the command and the page say the same. No commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from db.labels import judgements
from db.labels.queueing import adjudication, gold, guidelines, settings
from db.labels.queueing.infos import QueueInfo, get_queue
from models.labelling.records import PairKey, person
from models.labelling.votes import Vote
from models.records import content_key

MOST_GOLD_PAIRS = 1_000

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class QueueChanges:
    """What is to change in a queue; None, and nobody: nothing.

    `gold_annotators`, `gold_answers`: whose judgements, and which answers beside those, are known ones to mix in.
    `has_no_gold_bar`: nobody is warned or stopped any more. `readmit`: who begins anew with them.
    """

    name: str | None = None
    is_closed: bool | None = None
    judgements_per_pair: int | None = None
    overlap: float | None = None
    guidelines: str | None = None
    has_strength: bool | None = None
    has_comment: bool | None = None
    has_editing: bool | None = None
    gold_annotators: tuple[str, ...] = ()
    gold_answers: Mapping[PairKey, Vote] | None = None
    gold_share: float | None = None
    gold_bar: float | None = None
    has_no_gold_bar: bool = False
    has_stop: bool | None = None
    adjudicators: tuple[str, ...] = ()
    readmit: str | None = None


def change(session: Session, queue_id: int, changes: QueueChanges) -> list[int]:
    """Change a queue; returns its id, and that of the queue that settles its contradictions if somebody is named.

    Raises:
        LookupError: If there is no such queue, or nobody of a name.
        ValueError: If something cannot be set so.
    """
    info = get_queue(session, queue_id)
    if changes.name is not None:
        settings.rename(session, queue_id, changes.name)
    if changes.is_closed is not None:
        settings.set_closed(session, queue_id, is_closed=changes.is_closed)
    settings.set_options(
        session,
        queue_id,
        has_strength=changes.has_strength,
        has_comment=changes.has_comment,
        has_editing=changes.has_editing,
    )
    wanted, overlap = _or(changes.judgements_per_pair, info.judgements_per_pair), _or(changes.overlap, info.overlap)
    if (wanted, overlap) != (info.judgements_per_pair, info.overlap):
        settings.set_overlap(session, queue_id, judgements_per_pair=wanted, overlap=overlap)
    if changes.guidelines is not None:
        guidelines.write(session, queue_id, changes.guidelines)
    _change_gold(session, info, changes)
    changed = [queue_id]
    if changes.adjudicators:
        people = [judgements.add_annotator(session, person(name)) for name in changes.adjudicators]
        changed.append(adjudication.open_adjudication(session, queue_id, people))
    return changed


def _change_gold(session: Session, info: QueueInfo, changes: QueueChanges) -> None:
    if changes.gold_annotators or changes.gold_answers is not None:
        of_people = judgements.find_annotators(session, changes.gold_annotators) if changes.gold_annotators else []
        known = (gold.answers_known_to(session, of_people) if of_people else {}) | dict(changes.gold_answers or {})
        # So many are enough; which is drawn by what they are.
        drawn = sorted(known, key=content_key)[:MOST_GOLD_PAIRS]
        if not gold.set_pairs(session, info.id, {pair: known[pair] for pair in drawn}):
            raise ValueError(
                f"of {len(known)} pairs with a known answer none can be mixed in: queue {info.id} still waits for them "
                "itself; name others"
            )
    bars = (changes.gold_bar, changes.has_stop, changes.has_no_gold_bar or None)
    if changes.gold_share is not None or any(bar is not None for bar in bars):
        share = _or(changes.gold_share, info.gold_share)
        if share and not gold.pair_count(session, info.id):
            raise ValueError(f"queue {info.id} has no pairs with a known answer; name who has judged some, or a file")
        bar = None if changes.has_no_gold_bar else _or(changes.gold_bar, info.gold_bar)
        has_stop = _or(changes.has_stop, info.has_stop)
        settings.set_gold(session, info.id, share=share, bar=bar, has_stop=has_stop)
    if changes.readmit is not None:
        name = person(changes.readmit).name
        annotator_id = judgements.find_person(session, name)
        if annotator_id is None:
            raise LookupError(f"nobody called {name!r} has labelled; see: antipode people")
        gold.readmit(session, info.id, annotator_id)


def _or(changed: Value | None, before: Value) -> Value:
    return before if changed is None else changed
