"""The table of all pairs and the page of each; pairs of it as a queue or as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from db import prompts
from db.engine import Session
from db.findings.pair_details import pair_details
from db.findings.pair_filters import FLAGS
from db.findings.pair_table import ListedPair, PairPage, all_pairs, listed_pairs, neighbours, pair_keys, pair_page
from db.findings.pair_table import strategies_by_run as strategies_of_runs
from db.labels import judgements, queues
from db.labels.queueing.settings import MOST_JUDGEMENTS
from models.labelling.records import PairKey
from models.records import MAX_ID
from web.access import CurrentLead, CurrentSite, Site
from web.contents import Told
from web.pages import workbench_page
from web.rendering import render_pair, render_prompt, render_thought
from web.workbench.pair_lists import LABELS, SORTS, PairList
from web.workbench.searching import searchable

router = APIRouter()
LARGEST_QUEUE = 100_000
WHOLE = 2**31 - 1  # characters
ResponseId = Annotated[int, Path(ge=1, le=MAX_ID)]
PairText = Annotated[str, Field(pattern=r"^[0-9]{1,18}-[0-9]{1,18}-[0-9]{1,18}$")]


class Chosen(BaseModel):
    """The pairs that somebody chose: those ticked, each `pair id-first-second`, or all of a list by its address."""

    model_config = ConfigDict(extra="ignore")

    scope: Literal["ticked", "all"] = "ticked"
    ticked: list[PairText] = Field(default=[], max_length=500)
    query: str = Field(default="", max_length=4_000)

    def pair_list(self) -> PairList:
        """The list that they are of.

        Raises:
            HTTPException: 422 if its address was changed to something that is none.
        """
        try:
            return PairList.model_validate(dict(parse_qsl(self.query)))
        except ValidationError as error:
            raise HTTPException(422, f"the list's address does not fit: {error.errors()[0]['msg']}") from error


class QueueBody(Chosen):
    """A queue to be opened."""

    name: Told = Field(min_length=1, max_length=200, pattern=r"\S")
    judgements_per_pair: int = Field(default=1, ge=1, le=MOST_JUDGEMENTS)


class FileQuery(Chosen):
    """A file to be written."""

    format: Literal["jsonl", "csv"] = "jsonl"


@router.get("/pairs")
def show_pairs(request: Request, shown: Annotated[PairList, Query()], site: CurrentSite, lead: CurrentLead) -> Response:
    """A page of the table."""
    address = shown.address()
    if any(value == "" for _, value in parse_qsl(request.url.query, keep_blank_values=True)):
        return RedirectResponse(f"/pairs?{address}" if address else "/pairs", 303)  # a form sends its empty fields too
    index = searchable(site.sessions) if shown.q else None
    with site.sessions() as session:
        page = pair_page(session, shown.wanted, shown.order, place=shown.place)
        choices = _choices(session)
    return workbench_page(
        request, "pairs.html", lead, shown=shown, page=page, choices=choices, index=index, **_ways(shown, page)
    )


@router.get("/pairs/file")
def write_file(
    request: Request, chosen: Annotated[FileQuery, Query()], site: CurrentSite, _lead: CurrentLead
) -> Response:
    """The chosen pairs with texts, label and permalink, row by row."""
    shown, ids = chosen.pair_list(), [int(ticked.split("-")[0]) for ticked in chosen.ticked]
    if chosen.scope == "ticked" and not ids:
        raise HTTPException(422, "no pair is ticked; tick some, or choose all of the list")
    write = _csv if chosen.format == "csv" else _jsonl
    rows = _rows(site, shown, None if chosen.scope == "all" else ids, f"{site.address(request)}/")
    headers = {"Content-Disposition": f'attachment; filename="pairs.{chosen.format}"'}
    media_type = "text/csv; charset=utf-8" if chosen.format == "csv" else "application/jsonl"
    return StreamingResponse(write(rows), media_type=media_type, headers=headers)


@router.post("/pairs/queue")
def open_queue(body: QueueBody, site: CurrentSite, _lead: CurrentLead) -> dict[str, str]:
    """Open a queue of the chosen pairs; one that holds the same pairs already is shown instead."""
    shown = body.pair_list()
    with site.sessions() as session:
        if body.scope == "all":
            keys = pair_keys(session, shown.wanted, most=LARGEST_QUEUE + 1)
        else:
            keys = {PairKey(one.first_response_id, one.second_response_id) for one in _ticked(session, body)}
    if not keys:
        raise HTTPException(422, "no pair is ticked; tick some, or choose all of the list")
    if len(keys) > LARGEST_QUEUE:
        raise HTTPException(422, f"the list has more than {LARGEST_QUEUE:,} pairs; narrow it down for a queue")
    with site.sessions.begin() as session:
        queue_id = queues.open_queue(
            session, name=body.name, pairs=keys, judgements_per_pair=body.judgements_per_pair, seed=0
        )
    return {"next": f"/queues/{queue_id}"}


@router.get("/pairs/{first}-{second}")
def show_pair(
    request: Request,
    first: ResponseId,
    second: ResponseId,
    shown: Annotated[PairList, Query()],
    site: CurrentSite,
    lead: CurrentLead,
) -> Response:
    """Everything about one pair, with the way on in the list that it was come from."""
    with site.sessions() as session:
        try:
            pair = pair_details(session, PairKey(first, second))
        except LookupError as error:
            raise HTTPException(404, str(error)) from error
        beside = (None, None) if shown.at is None else neighbours(session, shown.wanted, shown.order, shown.at)
        found = {one.pair_id: one for one in listed_pairs(session, [id_ for id_ in beside if id_ is not None])}
    rendered = render_pair(pair.first.text, pair.second.text)
    return workbench_page(
        request,
        "pair.html",
        lead,
        pair=pair,
        turns=render_prompt(pair.prompt),
        sides=[
            (response, render_thought(response.thought) + html)
            for response, html in zip((pair.first, pair.second), (rendered.left, rendered.right), strict=True)
        ],
        previous=_permalink(shown, found.get(beside[0] or 0)),
        next=_permalink(shown, found.get(beside[1] or 0)),
        back=f"/pairs?{shown.address()}" if shown.address() else "/pairs",
        has_list=shown.at is not None,
    )


def _ticked(session: Session, chosen: Chosen) -> list[ListedPair]:
    return listed_pairs(session, [int(ticked.split("-")[0]) for ticked in chosen.ticked])


def _choices(session: Session) -> dict[str, Any]:
    """What the table can be filtered by."""
    of_runs = strategies_of_runs(session)
    return {
        "runs": list(of_runs),
        "strategies": sorted({name for names in of_runs.values() for name in names}),
        "sources": prompts.source_names(session),
        "annotators": sorted(judgements.annotators(session).values(), key=lambda one: (one.kind != "person", one.name)),
        "flags": FLAGS,
        "labels": LABELS,
        "sorts": SORTS,
    }


def _ways(shown: PairList, page: PairPage) -> dict[str, Any]:
    """Addresses of the pages beside this one and of its pairs."""
    return {
        "next": None if page.next is None else f"/pairs?{shown.address(page.next)}",
        "previous": None if page.previous is None else f"/pairs?{shown.address(page.previous)}",
        "links": {pair.pair_id: _permalink(shown, pair) for pair in page.pairs},
    }


def _permalink(shown: PairList, pair: ListedPair | None) -> str | None:
    if pair is None:
        return None
    query = "&".join(filter(None, (shown.address(), f"at={pair.pair_id}")))
    return f"/pairs/{pair.first_response_id}-{pair.second_response_id}?{query}"


def _rows(site: Site, shown: PairList, ids: list[int] | None, base: str) -> Iterator[dict[str, Any]]:
    with site.sessions() as session:
        parts = (
            all_pairs(session, shown.wanted, shown.order, size=200, excerpt=WHOLE)
            if ids is None
            else [listed_pairs(session, ids, excerpt=WHOLE)]
        )
        for part in parts:
            for pair in part:
                yield {
                    "pair_id": pair.pair_id,
                    "run_id": pair.run_id,
                    "run": pair.run,
                    "strategy": pair.strategy,
                    "prompt_id": pair.prompt_id,
                    "first_response_id": pair.first_response_id,
                    "second_response_id": pair.second_response_id,
                    "prompt": pair.prompt,
                    "first_response": pair.first,
                    "second_response": pair.second,
                    "similarity": pair.similarity,
                    "length_ratio": pair.length_ratio,
                    "outcome": pair.outcome,
                    "support": pair.support,
                    "vote_count": pair.vote_count,
                    "permalink": f"{base}pairs/{pair.first_response_id}-{pair.second_response_id}",
                }


def _jsonl(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    has_head = False
    for row in rows:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(row))
        if not has_head:
            writer.writeheader()
            has_head = True
        writer.writerow(row)
        yield buffer.getvalue()
