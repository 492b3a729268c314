"""Parts of what the Prefect UI shows: pictures, links, lists."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.artifacts import create_image_artifact

from db import runs
from models.report.templates import duration
from tasks.settings import Settings


def show_picture(svg: str, *, key: str, description: str) -> UUID:
    """Show a picture in the Prefect UI, which takes an address: here the picture itself is the address.

    Within Markdown one of Prefect's two UIs shows no such picture, so it is an artifact of its own; returns its id.
    """
    encoded = base64.b64encode(svg.encode()).decode()
    picture_id = create_image_artifact(f"data:image/svg+xml;base64,{encoded}", key=key, description=description)
    return cast("UUID", picture_id)  # in a synchronous task it is no coroutine


def artifact_link(words: str, artifact_id: UUID) -> str:
    """A link from one artifact to another of the same server."""
    return f"[{words}](/artifacts/artifact/{artifact_id})"


def cost_section(summary: runs.RunSummary) -> list[str]:
    """What a run took, as one Markdown section; none where nothing was spent."""
    spent = []
    if summary.tokens:
        spent.append(f"{summary.tokens:,} tokens in its responses; those that were stored before cost nothing")
    if summary.device_seconds >= 1:
        spent.append(f"GPU or processor held for {duration(timedelta(seconds=summary.device_seconds))}")
    if summary.requests:
        spent.append(f"{summary.requests:,} requests to a judge")
    if summary.cost:
        spent.append(f"{summary.cost:,.4g} in the currency of the judge’s prices")
    return [listed("Cost", spent)] if spent else []


def page_line(settings: Settings, queue_id: int | None, run_id: int) -> str:
    """Where people label: a link where the page's address is known, else the command that serves the run's pairs."""
    words = "Labelling page" if queue_id is None else f"Queue {queue_id} is open: label in the browser"
    if settings.page_url is None:
        return f"{words}: `antipode web --run {run_id}`"
    queue = "/" if queue_id is None else f"/queues/{queue_id}"
    return f"[{words}]({settings.page_url.rstrip('/')}{queue})"


def report_line(settings: Settings, report: Path) -> str:
    """Where a report page is: its file and, where the page's address is known, a link to it there."""
    file = f"`{report.resolve()}`"
    if settings.page_url is None:
        return f"Report page: {file}"
    return f"[Report page]({settings.page_url.rstrip('/')}/reports/{report.name}), for who leads: {file}"


def listed(title: str, lines: Sequence[str]) -> str:
    """A section of Markdown: a title over a list."""
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)
