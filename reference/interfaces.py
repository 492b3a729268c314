"""What a notebook imports, and what the labelling page and the workbench answer over HTTP."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import antipode
from db.engine import make_engine, make_session_factory
from models.selection import select_pairs
from reference.commands import as_cell
from web.access import get_lead, get_person
from web.app import create_app


def python_page() -> str:
    """Functions and classes with their signatures and docstrings."""
    lines = [
        "# Python",
        "`import antipode` gives what is stored as pandas frames and starts curations ([the notebook]"
        "(../notebook.md)); `models/` is plain Python without a database or a server:",
        "```python\nfrom models.selection import select_pairs\n\n"
        'pairs = select_pairs(embeddings, offsets, strategy="centroid", seed=0)  # (n, d), (groups + 1,)\n'
        "pairs.first, pairs.second, pairs.similarity\n```",
        *_function("antipode.connect", antipode.connect),
    ]
    for kind in (antipode.Connection, antipode.StartedRun):
        lines += [f"## antipode.{kind.__name__}", *_docstring(kind)]
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                lines += _function(f"{kind.__name__}.{name}", method, depth=3)
    lines += _function("models.selection.select_pairs", select_pairs)
    return "\n\n".join(lines) + "\n"


def http_page() -> str:
    """Addresses by who may ask them."""
    rows = [
        f"| `{method} {route.path}` | {_who(route.dependant)} | {as_cell(_docstring(route.endpoint)[0])} |"
        for route in sorted(routes(), key=lambda route: route.path)
        for method in sorted(route.methods)
    ]
    return "\n".join([
        "# HTTP",
        "",
        "What the labelling page and the workbench (`antipode web`, `antipode up`) answer. A person is known by the "
        "cookie that their sign-in link gives; a change must be JSON and come from the page itself "
        "([security](../security.md)). "
        "Prefect's own API, which starts runs, is at Prefect's server.",
        "",
        "| address | who | what |",
        "|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def routes() -> list[APIRoute]:
    """All addresses of the application."""
    app = create_app(
        make_session_factory(make_engine("sqlite:///never-opened.db")), secret=b"no link is signed", lease_s=1
    )
    return [route for route in app.routes if isinstance(route, APIRoute)]


def _who(asked: Dependant) -> str:
    """Who may ask: what the address depends on says it."""
    needs = set(_dependencies(asked))
    return "who leads" if get_lead in needs else "who is signed in" if get_person in needs else "anyone"


def _dependencies(asked: Dependant) -> Iterator[Any]:
    for one in asked.dependencies:
        yield one.call
        yield from _dependencies(one)


def _function(name: str, function: Any, *, depth: int = 2) -> list[str]:
    # Annotations are kept as text, and shown in quotes.
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))
    signature = signature.replace("(self, ", "(").replace("(self)", "()")
    return [f"{'#' * depth} {name}", f"```python\n{name}{signature}\n```", *_docstring(function)]


def _docstring(documented: Any) -> list[str]:
    """A docstring's paragraphs; its sections (Raises) as lists."""
    paragraphs = []
    for paragraph in (inspect.getdoc(documented) or "").split("\n\n"):
        head, *lines = paragraph.splitlines()
        if head in ("Args:", "Raises:", "Returns:"):
            points = [f"- {line.strip()}" if not line.startswith(" " * 8) else f"  {line.strip()}" for line in lines]
            paragraphs.append("\n".join([f"*{head}*", "", *points]))
        else:
            paragraphs.append(paragraph)
    return paragraphs
