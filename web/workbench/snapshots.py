"""The lead's pages of data sets: what a snapshot holds, where it is from, its card, what was trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from db.engine import Sessions
from db.labels.snapshot_cards import card_facts
from db.labels.snapshots import snapshot_info, snapshot_query, snapshot_rows
from db.overviews import snapshots
from models.exchange import PreferenceRow
from models.exchange.card import card
from models.exchange.dataset_folder import file_split
from models.exchange.trainers import as_record
from web.access import CurrentLead, CurrentSite
from web.pages import workbench_page
from web.rendering import render_pair, render_prompt
from web.workbench.asked import ON_A_PAGE, Before, ItemId, found, list_page

SAMPLES = 10
LONGEST_TEXT = 4_000  # characters of a sample
router = APIRouter(prefix="/snapshots")


@router.get("")
def show_snapshots(request: Request, site: CurrentSite, person: CurrentLead, before: Before = None) -> Response:
    """All snapshots, the newest first."""
    with site.sessions() as session:
        page = list_page(snapshots.snapshot_lines(session, before=before, limit=ON_A_PAGE + 1))
    return workbench_page(
        request, "snapshots/list.html", person, lines=page.lines, has_older=page.has_older, is_first=before is None
    )


@router.get("/{item_id}")
def show_snapshot(request: Request, item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """One snapshot: what its rows are of, what chose them, what was trained on it, some of them."""
    with site.sessions() as session, found():
        info = snapshot_info(session, item_id)
        content = {
            "query": snapshot_query(session, item_id),
            "parts": snapshots.snapshot_parts(session, item_id),
            "policies": snapshots.trained_on(session, item_id),
        }
        samples = [_rendered(row) for row in snapshot_rows(session, item_id, limit=SAMPLES)]
    return workbench_page(request, "snapshots/one.html", person, info=info, samples=samples, **content)


@router.get("/{item_id}/card")
def show_card(request: Request, item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """The card of a snapshot, counted anew: who labelled its pairs, how far they agree, and the text that hubs show."""
    with site.sessions() as session, found():
        info = snapshot_info(session, item_id)
        facts = card_facts(session, item_id)
    files: dict[str, str] = {file_split(split): f"data/{file_split(split)}.parquet" for split in facts.splits}
    return workbench_page(request, "snapshots/card.html", person, info=info, facts=facts, text=card(facts, files))


@router.get("/{item_id}/preferences.jsonl")
def download(item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """The snapshot's preferences for TRL, one JSON object a line, as they were exported."""
    with site.sessions() as session, found():
        info = snapshot_info(session, item_id)
    name = f"snapshot-{info.id}-{info.content_hash[:12]}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(site.sessions, item_id), media_type="application/jsonl", headers=headers)


def _lines(sessions: Sessions, snapshot_id: int) -> Iterator[bytes]:
    with sessions() as session:
        for row in snapshot_rows(session, snapshot_id):
            yield (dumps(as_record(row, "conversational"), ensure_ascii=False) + "\n").encode()


def _rendered(row: PreferenceRow) -> dict[str, Any]:
    pair = render_pair(row.chosen[:LONGEST_TEXT], row.rejected[:LONGEST_TEXT])
    return {"row": row, "turns": render_prompt(row.prompt), "chosen": pair.left, "rejected": pair.right}
