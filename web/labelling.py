"""The requests of the page's script: the pair that comes next, a verdict on it, and taking one back.

Each is one transaction, committed before its texts are rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from sqlalchemy.orm import Session

from db import leases, queues
from web.access import CurrentPerson, CurrentSite, Person, Site
from web.contents import PersonBody, QueueContent, VerdictBody, queue_content

QueueId = Annotated[int, Path(ge=1, le=2**31 - 1)]
router = APIRouter(prefix="/queues/{queue_id}")


@router.get("/pair")
def show_pair(queue_id: QueueId, site: CurrentSite, person: CurrentPerson) -> QueueContent:
    """The pair that lies before the person, or the next one."""
    with _changes(site) as session:
        queued = queues.take_next(session, queue_id, person.annotator_id, now=_now(), lease_s=site.lease_s)
        progress = queues.queue_progress(session, queue_id, person.annotator_id)
    return queue_content(queued, progress)


@router.post("/verdicts")
def add_verdict(queue_id: QueueId, body: VerdictBody, site: CurrentSite, person: CurrentPerson) -> QueueContent:
    """Store a verdict and answer with the next pair. The same verdict sent again changes nothing."""
    _require_own_page(body, person)
    now = _now()
    with _changes(site) as session:
        queues.record_verdict(
            session,
            queue_id,
            person.annotator_id,
            pair=body.pair,
            left_response_id=body.left_id,
            verdict=body.verdict,
            seconds=_believable_seconds(session, queue_id, person.annotator_id, body, now),
            now=now,
        )
        queued = queues.take_next(session, queue_id, person.annotator_id, now=now, lease_s=site.lease_s)
        progress = queues.queue_progress(session, queue_id, person.annotator_id)
    return queue_content(queued, progress)


@router.post("/undo")
def undo(queue_id: QueueId, body: PersonBody, site: CurrentSite, person: CurrentPerson) -> QueueContent:
    """Take the person's last verdict back and answer with its pair; with nothing to take back, with the next pair."""
    _require_own_page(body, person)
    now = _now()
    with _changes(site) as session:
        queued = queues.undo_last(session, queue_id, person.annotator_id, now=now, lease_s=site.lease_s)
        if queued is None:
            queued = queues.take_next(session, queue_id, person.annotator_id, now=now, lease_s=site.lease_s)
        progress = queues.queue_progress(session, queue_id, person.annotator_id)
    return queue_content(queued, progress)


def _require_own_page(body: PersonBody, person: Person) -> None:
    if body.person != person.name:
        raise HTTPException(401, f"this page is {body.person}'s, the browser is now signed in as {person.name}; reload")


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
    except ValueError as error:
        raise HTTPException(409, str(error)) from error


def _believable_seconds(
    session: Session, queue_id: int, annotator_id: int, body: VerdictBody, now: datetime
) -> float | None:
    """The seconds the browser counted, at most those since the pair was given out; None if it was not theirs."""
    leases.take_turn(session)
    held = leases.held_by(session, queue_id, annotator_id)
    if held is None or held.pair != body.pair:
        return None
    return min(body.seconds, max((now - held.shown_at).total_seconds(), 0.0))


def _now() -> datetime:
    return datetime.now(UTC)
