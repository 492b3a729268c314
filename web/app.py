"""The labelling page's web application: sign-in, the pages, and the answers to refused requests."""

from __future__ import annotations

import hmac
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from db.engine import Session, Sessions, ping
from db.labels import queues, sign_ins
from web import documents as documents_page
from web import labelling, monitoring
from web.access import CurrentPerson, CurrentSite, Site
from web.attempts import FailedSignIns
from web.guard import guard
from web.labelling import QueueId
from web.loop import RecentStarts, read_loop
from web.pages import FOLDER, page
from web.service import Service
from web.sign_in import cookie_of, require_long, token_hash
from web.watch import Watch
from web.workbench import files, home, leading, pairs, policies, reports, runs, snapshots, sources, starting
from web.workbench import people as people_page
from web.workbench import queues as queues_page

LONGEST_TOKEN = 200
REQUESTS_AT_ONCE = 4
EXPLANATIONS = {
    400: ("This cannot be shown", ""),  # the error says why
    401: (
        "Open this page with your own link",
        "Labels are kept under a name, so everyone signs in with a link of their own. "
        "It ends after some weeks, or when it is taken back. "
        "Ask the person who runs Antipode for yours (antipode people --renew NAME prints a new one) and open it here.",
    ),
    403: (
        "This is for who leads",
        "You are signed in, but this page is for the person who runs Antipode, and for whom they let "
        "(antipode people --lead NAME). Your queues are on the first page.",
    ),
    404: ("There is nothing here", "Nothing has this address. It may have been mistyped, or belong to another site."),
    422: ("This address does not fit", "Something in it is no value that the page knows. Go back, or begin anew."),
    503: ("Nothing can be started now", "Prefect does not answer; what is stored is safe. Try again in a minute."),
    429: (
        "Try again in a minute",
        "Too many links that are not valid were opened from here. Nothing is wrong with yours.",
    ),
}


def create_app(  # noqa: PLR0913 - all that a site is made of
    sessions: Sessions,
    *,
    secret: bytes,
    lease_s: float,
    on_labels: Callable[[], None] = lambda: None,
    service: Service | None = None,
    artifacts: Path | None = None,
    logs: str | None = None,
    held_devices: Callable[[], Mapping[str, int]] = dict,
    link_days: int = 30,
    page_url: str | None = None,
    documents: Path | None = None,
) -> FastAPI:
    """Make the application on a database with the current schema.

    `secret` is behind people's links and cookies (`web.sign_in`); `lease_s`: for how many seconds a pair is kept for
    its person; `on_labels` is called whenever labels were stored or taken back, and must return at once; `service`
    starts runs from the workbench, which has no buttons without it; `artifacts`: the folder that holds the reports;
    `logs`: where a flow run's logs are shown, its id follows; `held_devices` says which GPUs are held now
    (`web.monitoring`); `link_days`: for how many days a link that the workbench gives works;
    `page_url`: the page's address as people open it, None: the one that a request came to; `documents`: the folder of
    the documentation (`web.documents`).

    Raises:
        ValueError: If the secret is too short.
    """
    require_long(secret)
    # FastAPI's own pages would need scripts from elsewhere.
    app = FastAPI(title="Antipode", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_at_work)
    watch = Watch(partial(read_loop, sessions, RecentStarts(service)))
    app.state.site = Site(
        sessions,
        secret,
        lease_s,
        on_labels,
        FailedSignIns(),
        watch,
        link_days,
        service=service,
        artifacts=artifacts,
        logs=logs,
        page_url=page_url,
        documents=documents,
    )
    app.middleware("http")(guard)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_unfit)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    app.get("/health")(show_health)
    app.get("/sign-in")(sign_in)
    app.get("/")(show_home)
    app.get("/queues/{queue_id}")(show_queue)
    app.include_router(labelling.router)
    for place in (
        home,
        starting,
        files,
        sources,
        runs,
        pairs,
        queues_page,
        leading,
        people_page,
        snapshots,
        policies,
        reports,
    ):
        app.include_router(place.router)
    app.state.metrics = monitoring.Metrics(sessions, held_devices)
    app.include_router(monitoring.router)
    app.include_router(documents_page.router)
    return app


@asynccontextmanager
async def _at_work(app: FastAPI) -> AsyncIterator[None]:
    """Few requests at once: those that change a queue take turns in the database, and threads that wait cost time."""
    current_default_thread_limiter().total_tokens = REQUESTS_AT_ONCE
    app.state.site.watch.open()
    yield


def show_health(site: CurrentSite) -> dict[str, str]:
    """Say that the site answers and reaches its database."""
    with site.sessions() as session:
        ping(session)
    return {"status": "ok"}


def sign_in(
    request: Request, site: CurrentSite, token: str = "", queue: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> Response:
    """Take a person's link, give their browser a cookie, and move on to the link's queue, or to the choice of them."""
    address, now = request.client.host if request.client else "", datetime.now(UTC)
    with site.sessions() as session:
        known = sign_ins.of_token(session, token_hash(token)) if len(token) <= LONGEST_TOKEN else None
    if known is None or not known.is_valid(now):
        # A valid link is never told to wait, or whoever fails on purpose would keep everybody out.
        if wait_s := site.failed_sign_ins.wait_s(address):
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise HTTPException(429, f"too many links that are not valid; try again in {wait_s:.0f} s", headers)
        site.failed_sign_ins.failed(address)
        raise HTTPException(401, "this link is not valid (any more); ask for a new one")
    # A page that moves on by itself, not a redirect: after a click in a mail or a chat, browsers leave strict cookies
    # out on redirects, and the first page would greet the person as unknown.
    response = page(request, "signed_in.html", person=known.name, next_page=f"/queues/{queue}" if queue else "/")
    response.set_cookie(
        "antipode",
        cookie_of(site.secret, known.token_hash),
        int((known.expires_at - now).total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def show_home(request: Request, site: CurrentSite, person: CurrentPerson) -> Response:
    """Who leads sees the loop, others the only queue, or a choice of queues, or what to do without one."""
    if person.is_lead:
        return home.show_loop(request, site, person)
    with site.sessions() as session:
        open_queues = queues.queues_for(session, person.annotator_id)
    if len(open_queues) == 1:
        return RedirectResponse(f"/queues/{open_queues[0].id}", 303)
    return page(request, "home.html", person=person.name, queues=open_queues)


def show_queue(request: Request, queue_id: QueueId, site: CurrentSite, person: CurrentPerson) -> Response:
    """The page on which a queue is labelled; its script asks for the pair."""
    with site.sessions() as session:
        try:
            queue = queues.get_queue(session, queue_id)
        except LookupError as error:
            raise HTTPException(404, str(error)) from error
        has_others = any(other.id != queue_id for other in queues.queues_for(session, person.annotator_id))
        mark = _queue_mark(session, site.secret, queue_id)
    return page(request, "queue.html", person=person.name, queue=queue, has_others=has_others, mark=mark)


def _refuse(request: Request, error: Exception) -> Response:
    """Answer a person with a page, and the page's script with JSON."""
    assert isinstance(error, StarletteHTTPException)
    if error.status_code in EXPLANATIONS and "text/html" in request.headers.get("accept", ""):
        title, explanation = EXPLANATIONS[error.status_code]
        response = page(request, "message.html", title=title, explanation=explanation or error.detail)
        response.status_code = error.status_code
        response.headers.update(error.headers or {})
        return response
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


def _refuse_unfit(request: Request, error: Exception) -> Response:
    """Say what does not fit without repeating it: what came may be long, or no text that an answer can hold."""
    assert isinstance(error, RequestValidationError)
    first_error = error.errors()[0]
    if first_error["loc"][0] in ("path", "query") and "text/html" in request.headers.get("accept", ""):
        return _refuse(request, HTTPException(404 if first_error["loc"][0] == "path" else 422))
    # An unknown field's name came with the request.
    place = "body" if first_error["type"] == "extra_forbidden" else ".".join(map(str, first_error["loc"]))
    return JSONResponse({"detail": f"{place}: {first_error['msg']}; reload the page"}, 422)


def _queue_mark(session: Session, secret: bytes, queue_id: int) -> str:
    """Marks what a browser keeps for a queue: queues of other sites and databases may have the same number."""
    opened_at = queues.opened_at(session, queue_id)
    return hmac.digest(secret, f"antipode queue\n{queue_id} {opened_at.isoformat()}".encode(), "sha256").hex()[:16]
