"""The documentation as a site, for everyone who is signed in: files that `make docs` wrote, served as they are."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles

from web.access import CurrentPerson, CurrentSite

# Its symbols are pictures within its style sheet; its search runs in a worker of its own, from here too.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

router = APIRouter(prefix="/docs")


@router.get("/{path:path}")
async def show_document(request: Request, path: str, site: CurrentSite, person: CurrentPerson) -> Response:
    """A page of the documentation, or what belongs to it; 404 where it was not built."""
    if site.documents is None:
        raise HTTPException(404, "the documentation is not built here: make docs")
    response = await StaticFiles(directory=site.documents).get_response(path or "index.html", request.scope)
    response.headers.update(HEADERS)
    return response


def built_documents() -> Path | None:
    """The folder of the site: in a clone once `make docs` has run, in a wheel of `make wheel` always; else None."""
    folder = Path(__file__).parent / "site"
    return folder if (folder / "index.html").is_file() else None
