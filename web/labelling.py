"""The requests of the page's script: the pair that comes next, a verdict on it, and taking one back.

Each is one transaction, committed before its texts are rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from db.engine import Session
from db.labels import leases, queues
from db.labels.judgements import judgements_on
from db.labels.queueing import adjudication, edits, gold, guidelines
from db.labels.queueing.admission import standing_of
from models.labelling import as_judgement
from models.labelling.records import Opinion
from web.access import CurrentPerson, CurrentSite, Person, Site
from web.contents import (
    EditBody,
    EditContent,
    GuidelinesContent,
    PersonBody,
    QueueContent,
    State,
    TextsContent,
    VerdictBody,
    VerdictContent,
    guidelines_content,
    queue_content,
)

QueueId = Annotated[int, Path(ge=1, le=2**31 - 1)]
STRENGTHS = {"slightly": 0.5, "clearly": 1.0}  # as label files have them
router = APIRouter(prefix="/queues/{queue_id}")


@router.get("/pair")
def show_pair(queue_id: QueueId, site: CurrentSite, person: CurrentPerson) -> QueueContent:
    """The pair that lies before the person, or the next one."""
    with _changes(site) as session:
        showing = _next_showing(session, queue_id, site, person, now=_now())
    return showing.content()


@router.get("/guidelines")
def show_guidelines(queue_id: QueueId, site: CurrentSite, _: CurrentPerson) -> GuidelinesContent:
    """The guidelines in force."""
    with site.sessions() as session:
        found = guidelines.newest(session, queue_id)
    return guidelines_content(found)


@router.post("/verdicts")
def add_verdict(queue_id: QueueId, body: VerdictBody, site: CurrentSite, person: CurrentPerson) -> VerdictContent:
    """Store a verdict and answer with the next pair; the same verdict sent again changes nothing.

    It must be on the pair that the server has put before this person, with the sides it has shown since then.
    """
    _require_own_page(body, person)
    now = _now()
    with _changes(site) as session:
        is_new = queues.record_verdict(
            session,
            queue_id,
            person.annotator_id,
            showing=leases.Lease(body.pair, body.left_id, body.shown_at),
            verdict=body.verdict,
            seconds=body.seconds,
            strength=None if body.strength is None else STRENGTHS[body.strength],
            comment=body.comment,
            guidelines_version=body.guidelines_version,
            now=now,
        )
        is_stored = is_new or _is_stored_verdict(session, person, body)
        showing = _next_showing(session, queue_id, site, person, now=now)
    site.on_labels()
    content = showing.content()
    return VerdictContent(
        **{field.name: getattr(content, field.name) for field in fields(content)}, is_stored=is_stored
    )


@router.get("/texts")
def show_texts(queue_id: QueueId, site: CurrentSite, person: CurrentPerson) -> TextsContent:
    """The responses that lie before the person, to be edited."""
    with site.sessions() as session:
        return TextsContent(edits.texts(session, queue_id, person.annotator_id))


@router.post("/edits")
def add_edit(queue_id: QueueId, body: EditBody, site: CurrentSite, person: CurrentPerson) -> EditContent:
    """Store what the person has made of a response before them, as a better one; the pair still waits for a verdict."""
    _require_own_page(body, person)
    with _changes(site) as session:
        is_stored = edits.save(
            session,
            queue_id,
            person.annotator_id,
            showing=leases.Lease(body.pair, body.left_id, body.shown_at),
            original_id=body.left_id if body.side == "left" else body.right_id,
            text=body.text,
            guidelines_version=body.guidelines_version,
        )
    site.on_labels()
    return EditContent(is_stored)


@router.post("/undo")
def undo(queue_id: QueueId, body: PersonBody, site: CurrentSite, person: CurrentPerson) -> QueueContent:
    """Take the person's last verdict back and answer with its pair; with nothing to take back, with the next pair."""
    _require_own_page(body, person)
    now = _now()
    with _changes(site) as session:
        queues.undo_last(session, queue_id, person.annotator_id, now=now, lease_s=site.lease_s)
        showing = _next_showing(session, queue_id, site, person, now=now)
    site.on_labels()
    return showing.content()


@router.post("/pause")
def pause(queue_id: QueueId, body: PersonBody, site: CurrentSite, person: CurrentPerson) -> QueueContent:
    """Give the pair that lies before the person back at once; they get it again, or the next one, when they ask."""
    _require_own_page(body, person)
    with _changes(site) as session:
        queues.leave(session, queue_id, person.annotator_id)
        showing = _showing(session, queues.get_queue(session, queue_id), None, person, state="paused")
    return showing.content()


@dataclass(frozen=True, slots=True)
class _Showing:
    """What was read within a transaction; its texts are rendered after it."""

    queue: queues.QueueInfo
    queued: queues.QueuedPair | None
    votes: list[adjudication.EarlierVote]
    progress: queues.QueueProgress
    state: State
    is_warned: bool
    guidelines_version: int | None

    def content(self) -> QueueContent:
        return queue_content(
            self.queue,
            self.queued,
            self.progress,
            votes=self.votes,
            state=self.state,
            is_warned=self.is_warned,
            guidelines_version=self.guidelines_version,
        )


def _next_showing(session: Session, queue_id: int, site: Site, person: Person, *, now: datetime) -> _Showing:
    """The pair that lies before the person, or the next one; none where the queue or they may not go on."""
    queue = queues.get_queue(session, queue_id)
    if queue.is_closed:
        return _showing(session, queue, None, person, state="closed")
    if standing_of(session, queue, person.annotator_id) == "stopped":
        return _showing(session, queue, None, person, state="stopped")
    queued = queues.take_next(session, queue_id, person.annotator_id, now=now, lease_s=site.lease_s)
    return _showing(session, queue, queued, person, state="open")


def _showing(
    session: Session, queue: queues.QueueInfo, queued: queues.QueuedPair | None, person: Person, *, state: State
) -> _Showing:
    asked = guidelines.newest(session, queue.id)
    return _Showing(
        queue,
        queued,
        _votes(session, queue, queued),
        queues.queue_progress(session, queue.id, person.annotator_id),
        state,
        is_warned=standing_of(session, queue, person.annotator_id) == "warned",
        guidelines_version=None if asked is None else asked.version,
    )


def _votes(
    session: Session, queue: queues.QueueInfo, queued: queues.QueuedPair | None
) -> list[adjudication.EarlierVote]:
    """What whoever settles the pair is to know of it; labels are given blind."""
    return [] if queued is None or queue.settles is None else adjudication.earlier_votes(session, queued.pair)


def _require_own_page(body: PersonBody, person: Person) -> None:
    if body.person != person.name:
        raise HTTPException(
            401, f"somebody else opened this page, the browser is now signed in as {person.name}; reload"
        )


@contextmanager
def _changes(site: Site) -> Iterator[Session]:
    """One transaction; what the queue refuses becomes an answer that says why."""
    try:
        with site.sessions.begin() as session:
            yield session
    except LookupError as error:
        if isinstance(error, (KeyError, IndexError)):
            raise
        raise HTTPException(404, str(error)) from error
    except PermissionError as error:
        raise HTTPException(403, str(error)) from error
    except ValueError as error:
        raise HTTPException(409, str(error)) from error


def _is_stored_verdict(session: Session, person: Person, body: VerdictBody) -> bool:
    """Whether the person's stored verdict on the pair says the same."""
    verdict = as_judgement(body.pair, body.left_id, Opinion(body.verdict)).verdict
    stored = [one.verdict for one in judgements_on(session, [body.pair]) if one.annotator_id == person.annotator_id]
    said = gold.answer_to(session, person.annotator_id, body.pair)
    return verdict in (stored if said is None else [said])


def _now() -> datetime:
    return datetime.now(UTC)
