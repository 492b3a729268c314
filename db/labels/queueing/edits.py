"""Responses that people write from those that lie before them, as better ones. Sessions first, no commit.

Edit and original are a pair that its author has judged. No run has selected it; exports have it as of strategy `edit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, exists, insert, literal, null, select
from sqlalchemy.orm import Session

from db.engine import insert_new
from db.labels import leases
from db.labels.judgements import add_judgements
from db.labels.preferences import recompute
from db.labels.queueing.admission import require_admitted
from db.labels.queueing.opening import labels_came
from db.responses import ensure_generator
from db.schema import curation, labels, teams
from models.labelling.records import Judgement, PairKey
from models.records import GeneratorIdentity, content_key

STRATEGY = "edit"
WRITER = GeneratorIdentity("person", None)  # who wrote what is in `edits`: exports name no people
LONGEST_TEXT = 16_000


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def texts(session: Session, queue_id: int, annotator_id: int) -> dict[int, str]:
    """The two responses that lie before a person, as they were written, by id; empty where none do."""
    held_lease = leases.held_by(session, queue_id, annotator_id)
    if held_lease is None:
        return {}
    query = select(curation.Response.id, curation.Response.text).where(curation.Response.id.in_(held_lease.pair))
    return dict(session.execute(query).all())  # type: ignore[arg-type]


def save(
    session: Session,
    queue_id: int,
    annotator_id: int,
    *,
    showing: leases.Lease,
    original_id: int,
    text: str,
    guidelines_version: int | None = None,
) -> bool:
    """Store what a person has made of a response that lies before them, in the place of what they made of it before.

    Returns False if it is the original again, which takes the edit back. The pair before them still waits for its
    verdict.

    Raises:
        LookupError: If there is no such queue.
        PermissionError: If it settles contradictions and the person is not named for it.
        ValueError: If the person may not judge there, the queue asks for no edits, the text is empty or too long, or
            the pair does not lie before them with these sides since that time.
    """
    leases.take_turn(session)
    info = require_admitted(session, queue_id, annotator_id)
    if not info.has_editing:
        raise ValueError(f"queue {info.id} takes no edits; reload the page")
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise ValueError(f"an edited response has 1 to {LONGEST_TEXT:,} characters, got {len(text):,}")
    if leases.held_by(session, queue_id, annotator_id) != showing or original_id not in showing.pair:
        raise ValueError("the edit is not of a pair as it lies before you now; look at it again")
    _take_back(session, original_id, annotator_id)
    original = session.get_one(curation.Response, original_id)
    if _lines(text) == _lines(original.text):  # a browser's text field has line ends of its own
        return False
    response_id = _store(session, original, text)
    edit = {"response_id": response_id, "original_id": original_id, "annotator_id": annotator_id}
    session.execute(insert(teams.Edit).values(**edit, queue_id=queue_id))
    pair = PairKey(*sorted((response_id, original_id)))
    left_id = leases.left_side(STRATEGY, pair, annotator_id)
    judgement = Judgement(pair, left_id, "first" if pair.first_response_id == response_id else "second")
    add_judgements(session, annotator_id, [judgement], guidelines_version=guidelines_version)
    _verdict_changed(session, pair)
    return True


def pair_keys(session: Session, run_id: int | None, *, strategies: Sequence[str] = ()) -> list[PairKey]:
    """The different pairs of an edit and its original, of one run or of any; none if other strategies are asked for."""
    pairs = session.execute(edited_pairs(run_id, strategies))
    return sorted({PairKey(first_id, second_id) for first_id, second_id in pairs})


def edited_pairs(run_id: int | None, strategies: Sequence[str]) -> Select[tuple[int, int]]:
    """A query of the pairs of an edit and its original, of one run or of any; none if other strategies are asked for.

    Twice where two people have made the same of a response.
    """
    table = teams.Edit
    low = case((table.response_id < table.original_id, table.response_id), else_=table.original_id)
    high = case((table.response_id < table.original_id, table.original_id), else_=table.response_id)
    query = select(low.label("first_response_id"), high.label("second_response_id"))
    if strategies and STRATEGY not in strategies:
        return query.where(literal(False))
    return query if run_id is None else query.where(_is_of_run(run_id))


def edited_rows(run_id: int | None, strategies: Sequence[str], *columns: Any, where: Sequence[Any]) -> Select[Any]:
    """A query of preferences on edits and originals: prompt, ids, no run, the strategy, no similarity, `columns`."""
    pairs = edited_pairs(run_id, strategies).distinct().subquery()
    preference, first = labels.Preference, curation.Response
    is_about = (preference.first_response_id == pairs.c.first_response_id) & (
        preference.second_response_id == pairs.c.second_response_id
    )
    told = (null().label("run_id"), literal(STRATEGY).label("strategy"), null().label("similarity"))
    return (
        select(first.prompt_id, preference.first_response_id, preference.second_response_id, *told, *columns, null())
        .select_from(pairs)
        .join(preference, is_about)
        .join(first, first.id == pairs.c.first_response_id)
        .where(*where)
    )


def _is_of_run(run_id: int) -> ColumnElement[bool]:
    pair = curation.Pair
    is_original = (pair.first_response_id == teams.Edit.original_id) | (
        pair.second_response_id == teams.Edit.original_id
    )
    # By no index on runs, so that SQLite finds a response's few pairs and not a run's many.
    return exists().where(pair.run_id - run_id == 0, is_original)


def _store(session: Session, original: curation.Response, text: str) -> int:
    """The id of the response of this text by people, stored if it is new."""
    prompt_key = session.scalars(select(curation.Prompt.key).filter_by(id=original.prompt_id)).one()
    key = content_key(prompt_key, WRITER.key, text)
    generator_id = ensure_generator(session, WRITER)
    row = {"key": key, "prompt_id": original.prompt_id, "generator_id": generator_id, "text": text}
    insert_new(session, curation.Response, [row])
    return session.scalars(select(curation.Response.id).filter_by(key=key)).one()


def _take_back(session: Session, original_id: int, annotator_id: int) -> None:
    """What a person has made of a response is no edit any more, and no label; the text stays until one is forgotten."""
    table, judgement = teams.Edit, labels.Judgement
    made = session.scalars(
        select(table.response_id).filter_by(original_id=original_id, annotator_id=annotator_id)
    ).all()
    for response_id in made:
        pair = PairKey(*sorted((response_id, original_id)))
        session.execute(
            delete(judgement).where(leases.of_pair(judgement, pair), judgement.annotator_id == annotator_id)
        )
        edit = {"response_id": response_id, "original_id": original_id, "annotator_id": annotator_id}
        session.execute(delete(table).filter_by(**edit))
        _verdict_changed(session, pair)


def _verdict_changed(session: Session, pair: PairKey) -> None:
    """Bring up to date what goes by an author's verdict; their edit may have been chosen for a queue since."""
    recompute(session, [pair])
    labels_came(session, [pair])
