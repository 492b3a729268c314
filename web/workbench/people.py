"""The lead's page of people: who labels, how much; links given and taken back, leads made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from models.labelling import records
from models.labelling.records import LONGEST_NAME
from web.access import CurrentLead, CurrentSite, Person
from web.pages import workbench_page
from web.people import list_people, new_token, set_lead, sign_out

router = APIRouter(prefix="/people")


class NameBody(BaseModel):
    """Whom it is about."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=4 * LONGEST_NAME)


class LeadBody(NameBody):
    """Whether they are to see the workbench."""

    is_lead: bool


@router.get("")
def show_people(request: Request, site: CurrentSite, person: CurrentLead) -> Response:
    """Everybody who was given a link or has labelled."""
    return workbench_page(request, "lead/people.html", person, people=list_people(site.sessions), days=site.link_days)


@router.post("/link")
def give_link(request: Request, body: NameBody, site: CurrentSite, person: CurrentLead) -> dict[str, str]:
    """A new link for a person, who may be new; earlier ones end. It is shown once, here."""
    with _one_line():
        name = records.person(body.name).name
    _require_other(name, person, "a new link would end the one that you are here by; use: antipode people --renew")
    token = new_token(site.sessions, site.secret, name, days=site.link_days)
    return {"name": name, "link": f"{site.address(request)}/sign-in?token={token}"}


@router.post("/revoke")
def take_link_back(body: NameBody, site: CurrentSite, person: CurrentLead) -> dict[str, str]:
    """Take a person's link back; their verdicts stay."""
    with _one_line():
        name = records.person(body.name).name
        _require_other(name, person, "nobody can take their own link back here; use: antipode people --revoke")
        sign_out(site.sessions, name)
    return {"next": "/people", "words": f"{name}'s link no longer works; their verdicts stay"}


@router.post("/lead")
def make_lead(body: LeadBody, site: CurrentSite, person: CurrentLead) -> dict[str, str]:
    """Let a person see the workbench, or no longer."""
    with _one_line():
        name = records.person(body.name).name
        _require_other(name, person, "nobody can stop leading by themselves; another lead can, or antipode people")
        set_lead(site.sessions, name, is_lead=body.is_lead)
    return {"next": "/people", "words": f"{name} {'leads now' if body.is_lead else 'sees the queues alone now'}"}


def _require_other(name: str, person: Person, why: str) -> None:
    if name == person.name:
        raise HTTPException(409, why)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError) as error:
        raise HTTPException(409, str(error)) from error
