"""The lead's pages of sources: what was imported, what was refused, what it looks like, which runs use it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from db.findings.prompts import prompt_groups_of
from db.overviews import sources
from web.access import CurrentLead, CurrentSite
from web.pages import workbench_page
from web.rendering import render_prompt, render_text, render_thought
from web.workbench.asked import ON_A_PAGE, Before, ItemId, found, list_page
from web.workbench.rejects import rejects_of

SAMPLES = 10
GROUPS, EXAMPLES = 5, 2
router = APIRouter(prefix="/sources")


@router.get("")
def show_sources(request: Request, site: CurrentSite, person: CurrentLead, before: Before = None) -> Response:
    """All sources, the newest first."""
    with site.sessions() as session:
        page = list_page(sources.source_lines(session, before=before, limit=ON_A_PAGE + 1))
    rejects = [rejects_of(site.artifacts, line.name, line.content_hash) for line in page.lines]
    lines = zip(page.lines, rejects, strict=True)
    return workbench_page(
        request, "sources/list.html", person, lines=list(lines), has_older=page.has_older, is_first=before is None
    )


@router.get("/{item_id}")
def show_source(request: Request, item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """One source: its counts, what was refused, nearly equal prompts, samples, the runs that use it."""
    with site.sessions() as session, found():
        source = sources.source_line(session, item_id)
        counts = sources.source_counts(session, item_id)
        uses = sources.source_uses(session, source)
        samples = sources.sample_rows(session, item_id, SAMPLES)
        checked = next((use for use in uses if use.has_checked_prompts), None)
        groups = checked and prompt_groups_of(session, checked.run_id, shown=GROUPS, examples=EXAMPLES)
    return workbench_page(
        request,
        "sources/one.html",
        person,
        source=source,
        counts=counts,
        uses=uses,
        checked=checked,
        groups=groups,
        rejects=rejects_of(site.artifacts, source.name, source.content_hash),
        samples=[_rendered(sample) for sample in samples],
    )


def _rendered(sample: sources.SampleRow) -> dict[str, object]:
    return {
        "row": sample,
        "turns": render_prompt(sample.prompt),
        "responses": [
            (response, render_thought(response.thought) + render_text(response.text)) for response in sample.responses
        ],
    }
