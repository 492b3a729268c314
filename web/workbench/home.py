"""The first page of who leads: the loop as it stands, live."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from web.access import CurrentLead, CurrentSite, Person, Site
from web.loop import LoopState
from web.pages import TEMPLATES, workbench_page

LONGEST_S = 300.0  # then the browser comes again by itself, and is asked again who it is
RETRY_MS = 2_000

router = APIRouter()


def show_loop(request: Request, site: Site, person: Person) -> Response:
    """What there is, from sources to the policy in use."""
    is_served = site.service is not None
    return workbench_page(request, "lead/loop.html", person, state=site.watch.now(), is_served=is_served)


@router.get("/events")
async def follow_loop(site: CurrentSite, _: CurrentLead) -> StreamingResponse:
    """The loop whenever it has changed, as server-sent events; all who follow share one reading of it."""
    return StreamingResponse(_events(site), media_type="text/event-stream")


async def _events(site: Site) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    async for state in site.watch.follow(LONGEST_S):
        yield ": still here\n\n" if state is None else f"data: {json.dumps(_shown(state, site))}\n\n"


def _shown(state: LoopState, site: Site) -> str:
    template = TEMPLATES.get_template("lead/state.html")
    return template.render(state=state, is_served=site.service is not None)
