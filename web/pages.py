"""Pages from templates: what every one of them has."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from models.intervals import Interval
from web.access import Person

FOLDER = Path(__file__).parent
CODE = re.compile("`([^`]*)`")
# Of the workbench, in the order of the loop: address, title.
PLACES = (
    ("/", "Home"),
    ("/sources", "Sources"),
    ("/runs", "Runs"),
    ("/pairs", "Pairs"),
    ("/queues", "Queues"),
    ("/people", "People"),
    ("/snapshots", "Data sets"),
    ("/policies", "Policies"),
)
DOCUMENTS = ("/docs/", "Docs")  # after them, where they are built


def page(request: Request, template: str, **content: Any) -> Response:
    """A page of one of the folder's templates."""
    return TEMPLATES.TemplateResponse(request, template, content)


def workbench_page(request: Request, template: str, person: Person, **content: Any) -> Response:
    """A page of the workbench: with the way to its other places, and who is signed in."""
    here = "/" + request.url.path.strip("/").split("/")[0]
    places = PLACES if request.app.state.site.documents is None else (*PLACES, DOCUMENTS)
    return page(request, template, person=person.name, places=places, here=here, **content)


def _count(number: int) -> str:
    return f"{number:,}"


def _interval(interval: Interval) -> str:
    return f"{interval:.2f}"


def _time(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _marked(words: str) -> Markup:
    """Words with what stands between backticks as code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(words))))


TEMPLATES = Jinja2Templates(
    env=Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined)
)
TEMPLATES.env.filters |= {"count": _count, "time": _time, "interval": _interval, "marked": _marked}
