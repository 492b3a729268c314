"""What a request has at hand: the site it belongs to, and the person who makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

from fastapi import Cookie, Depends, HTTPException, Request

from db.engine import Sessions
from db.labels import sign_ins
from web.attempts import FailedSignIns
from web.loop import LoopState
from web.service import Service
from web.sign_in import link_of
from web.watch import Watch


@dataclass(frozen=True, slots=True)
class Site:
    """What the whole application shares.

    `lease_s`: for how many seconds a pair shown is kept for its person. `on_labels` is called when labels were stored
    or taken back; it must return at once. `watch` shows the loop to all who look; `link_days`: for how many days a new
    link works. `service` starts runs, `artifacts` is the folder of reports; None: there is none here. `logs`: the
    address of a flow run's logs but for its id at the end, None where it is not known. `documents`: the folder of the
    documentation, None where it is not built.
    """

    sessions: Sessions
    secret: bytes
    lease_s: float
    on_labels: Callable[[], None]
    failed_sign_ins: FailedSignIns
    watch: Watch[LoopState]
    link_days: int
    service: Service | None = None
    artifacts: Path | None = None
    logs: str | None = None
    page_url: str | None = None
    documents: Path | None = None

    def address(self, request: Request) -> str:
        """The page's address as people open it, without a slash at the end."""
        return (self.page_url or str(request.base_url)).rstrip("/")


@dataclass(frozen=True, slots=True)
class Person:
    """Who makes a request: the name that their link was made for, and their annotator's id.

    `is_lead`: whether they see more than the queues that they label.
    """

    annotator_id: int
    name: str
    is_lead: bool


async def get_site(request: Request) -> Site:
    """The site that the request's application serves."""
    return cast(Site, request.app.state.site)


def get_person(site: Annotated[Site, Depends(get_site)], antipode: Annotated[str, Cookie()] = "") -> Person:
    """The person whose link gave the cookie.

    Raises:
        HTTPException: 401 if there is no cookie, or its link has expired, was taken back or replaced.
    """
    link_hash, now = link_of(site.secret, antipode), datetime.now(UTC)
    with site.sessions() as session:
        sign_in = None if link_hash is None else sign_ins.of_token(session, link_hash)
    if sign_in is None or not sign_in.is_valid(now):
        raise HTTPException(401, "you are not signed in; open your own link again")
    if sign_ins.is_news(sign_in, now):
        # A transaction of its own: what works on a queue must be the first in its transaction.
        with site.sessions.begin() as session:
            sign_ins.take_turn(session)
            sign_ins.was_seen(session, sign_in, now)
    return Person(sign_in.annotator_id, sign_in.name, sign_in.is_lead)


def get_lead(person: Annotated[Person, Depends(get_person)]) -> Person:
    """The person, who must be a lead.

    Raises:
        HTTPException: 401 if nobody is signed in, 403 if it is somebody who only labels.
    """
    if not person.is_lead:
        raise HTTPException(403, "this is for who leads; ask the person who runs Antipode")
    return person


CurrentSite = Annotated[Site, Depends(get_site)]
CurrentPerson = Annotated[Person, Depends(get_person)]
CurrentLead = Annotated[Person, Depends(get_lead)]
