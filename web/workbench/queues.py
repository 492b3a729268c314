"""The lead's page of queues: how far each is, and the way to open another."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from db.labels import queues
from web.access import CurrentLead, CurrentSite
from web.pages import workbench_page

router = APIRouter()


@router.get("/queues")
def show_queues(request: Request, site: CurrentSite, person: CurrentLead) -> Response:
    """Every queue, the newest first."""
    with site.sessions() as session:
        found = queues.list_queues(session)
    return workbench_page(request, "lead/queues.html", person, queues=found, is_served=site.service is not None)
