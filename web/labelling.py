"""The requests of the page's script: the pair that comes next, a verdict on it, and taking one back.

Each is one transaction, committed before its texts are rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from db.engine import Session
from db.labels import leases, queues
from db.labels.judgements import judgements_on
from models.labelling import as_judgement
from models.labelling.records import Opinion
from web.access import CurrentPerson, CurrentSite, Person, Site
from web.contents import PersonBody, QueueContent, VerdictBody, VerdictContent, queue_content

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
            now=now,
        )
        is_stored = is_new or _is_stored_verdict(session, person, body)
        queued = queues.take_next(session, queue_id, person.annotator_id, now=now, lease_s=site.lease_s)
        progress = queues.queue_progress(session, queue_id, person.annotator_id)
    site.on_labels()
    content = queue_content(queued, progress)
    return VerdictContent(content.pair, content.progress, is_stored)


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
    site.on_labels()
    return queue_content(queued, progress)


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
    except ValueError as error:
        raise HTTPException(409, str(error)) from error


def _is_stored_verdict(session: Session, person: Person, body: VerdictBody) -> bool:
    """Whether the person's stored verdict on the pair says the same."""
    verdict = as_judgement(body.pair, body.left_id, Opinion(body.verdict)).verdict
    stored = judgements_on(session, [body.pair])
    return any(judgement.annotator_id == person.annotator_id and judgement.verdict == verdict for judgement in stored)


def _now() -> datetime:
    return datetime.now(UTC)
