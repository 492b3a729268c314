"""What a request has at hand: the site it belongs to, and the person who makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Cookie, Depends, HTTPException, Request

from db.engine import Sessions
from db.labels import judgements
from models.labelling.records import AnnotatorIdentity
from web.sign_in import signed_in_name


@dataclass(frozen=True, slots=True)
class Site:
    """What the whole application shares.

    `lease_s`: for how many seconds a pair shown is kept for its person. `on_labels` is called when labels were stored
    or taken back; it must return at once.
    """

    sessions: Sessions
    secret: bytes
    lease_s: float
    on_labels: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Person:
    """Who makes a request: the name their link proved, and their annotator's id."""

    annotator_id: int
    name: str


def get_site(request: Request) -> Site:
    """The site that the request's application serves."""
    return cast(Site, request.app.state.site)


def get_person(site: Annotated[Site, Depends(get_site)], antipode: Annotated[str, Cookie()] = "") -> Person:
    """The person whose token the cookie holds; whoever comes for the first time becomes an annotator.

    Raises:
        HTTPException: 401 if there is no cookie or it proves no name.
    """
    name = signed_in_name(site.secret, antipode)
    if name is None:
        raise HTTPException(401, "you are not signed in; open your own link again")
    # A transaction of its own: what works on a queue must be the first in its transaction.
    with site.sessions.begin() as session:
        annotator_id = judgements.find_person(session, name)
        return Person(annotator_id or judgements.add_annotator(session, AnnotatorIdentity("person", name)), name)


CurrentSite = Annotated[Site, Depends(get_site)]
CurrentPerson = Annotated[Person, Depends(get_person)]
