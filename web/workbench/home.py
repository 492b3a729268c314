"""The first page of who leads: the loop as it stands."""

from __future__ import annotations

from fastapi import Request, Response

from db.labels import queues
from web.access import Person, Site
from web.pages import workbench_page


def show_loop(request: Request, site: Site, person: Person) -> Response:
    """What there is, from sources to the policy in use."""
    with site.sessions() as session:
        open_queues = queues.list_queues(session)
    return workbench_page(request, "loop.html", person, queues=open_queues)
