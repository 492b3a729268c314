"""The lead's pages of runs: how each stands, with what settings, what came of it; and runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from db import runs as stored
from db.engine import Session, as_utc
from db.findings.prompts import prompt_groups_of
from db.labels.judgements import annotators
from db.overviews import runs
from db.overviews.counted import Counted
from db.overviews.snapshots import snapshots_of
from models.files import ReportKind
from models.intervals import Interval
from models.report.similarities_picture import shares_svg
from models.report.templates import duration
from web.access import CurrentLead, CurrentSite, Site
from web.guard import SELF_CONTAINED
from web.pages import workbench_page
from web.workbench.asked import ON_A_PAGE, Before, Ids, ItemId, chosen_ids, found, list_page
from web.workbench.reports import report_address
from web.workbench.settings_rows import differing_rows, setting_rows

GROUPS, EXAMPLES = 3, 2
router = APIRouter(prefix="/runs")


@router.get("")
def show_runs(request: Request, site: CurrentSite, person: CurrentLead, before: Before = None) -> Response:
    """All runs, the newest first."""
    with site.sessions() as session:
        page = list_page(runs.run_lines(session, before=before, limit=ON_A_PAGE + 1))
    return workbench_page(
        request,
        "runs/list.html",
        person,
        lines=[(line, _took(line.started_at, line.finished_at)) for line in page.lines],
        has_older=page.has_older,
        is_first=before is None,
    )


@router.get("/compare")
def compare_runs(request: Request, site: CurrentSite, person: CurrentLead, ids: Ids = None) -> Response:
    """Runs beside each other: the settings that differ, their figures, how alike their pairs are."""
    chosen = chosen_ids(ids)
    with site.sessions() as session, found():
        figures = [runs.run_figures(session, run_id) for run_id in chosen]
        counts = runs.similarity_counts(session, chosen)
    records = [each.run for each in figures]
    names = dict.fromkeys(strategy for of_run in counts.values() for strategy in of_run)
    return workbench_page(
        request,
        "runs/compare.html",
        person,
        runs=records,
        heads=[f"run {record.id}" for record in records],
        took=[_took(record.started_at, record.finished_at) for record in records],
        settings=differing_rows([record.config for record in records]),
        figures=_figure_rows(figures),
        strategies=[(name, [_pairs_words(counts.get(run_id, {}).get(name)) for run_id in chosen]) for name in names],
        picture=f"/runs/compare.svg?ids={','.join(map(str, chosen))}" if names else None,
    )


@router.get("/compare.svg")
def draw_compared(site: CurrentSite, person: CurrentLead, ids: Ids = None) -> Response:
    """How alike the pairs of each strategy are in each of the runs, over each other."""
    chosen = chosen_ids(ids)
    with site.sessions() as session, found():
        names = {run_id: f"run {run_id}, {stored.get_run(session, run_id).name}" for run_id in chosen}
        counts = runs.similarity_counts(session, chosen)
    strategies = dict.fromkeys(strategy for of_run in counts.values() for strategy in of_run)
    pictures = {
        strategy: {names[run_id]: counts[run_id][strategy].bins for run_id in counts if strategy in counts[run_id]}
        for strategy in strategies
    }
    return _picture(shares_svg(pictures, width=runs.BIN))


@router.get("/{item_id}/similarities.svg")
def draw_similarities(item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """How alike the pairs of each strategy of a run are, over each other."""
    with site.sessions() as session, found():
        stored.get_run(session, item_id)
        found_ones = runs.similarity_counts(session, [item_id]).get(item_id, {})
    counts = {strategy: one.bins for strategy, one in found_ones.items()}
    of_first = ", in the first of each strategy" if any(one.pairs.has_more for one in found_ones.values()) else ""
    title = f"How alike the selected pairs are{of_first}"
    return _picture(shares_svg({title: counts} if counts else {}, width=runs.BIN))


@router.get("/{item_id}")
def show_run(request: Request, item_id: ItemId, site: CurrentSite, person: CurrentLead) -> Response:
    """One run: its state, what came of it, what it cost, its settings, its report."""
    with site.sessions() as session, found():
        figures = runs.run_figures(session, item_id)
        run = figures.run
        content = _content(session, run)
    took = _took(run.started_at, run.finished_at)
    return workbench_page(
        request,
        "runs/one.html",
        person,
        run=run,
        has_pairs=bool(figures.pairs),
        figures=[(name, values[0]) for name, values in _figure_rows([figures])] + [("took", took)],
        settings=setting_rows(run.config),
        report=_report(site, run),
        logs=f"{site.logs}{run.flow_run_id}" if site.logs and run.flow_run_id else None,
        **content,
    )


def _content(session: Session, run: stored.RunRecord) -> dict[str, Any]:
    """What is linked with a run, and what its checks found; of a kind that has no such thing nothing."""
    is_curation = run.kind == stored.CURATE
    return {
        "done": runs.prompts_done(session, run.id) if run.status == stored.RUNNING else None,
        "skipped": stored.skip_counts(session, run.id) if is_curation else {},
        "strategies": runs.pair_counts(session, run.id),
        "annotator": _annotator(session, run),
        "groups": prompt_groups_of(session, run.id, shown=GROUPS, examples=EXAMPLES) if is_curation else None,
        "labellings": runs.labelling_runs(session, run.id),
        "snapshots": snapshots_of(session, run.id) if is_curation else [],
        "policies": runs.policies_of(session, run.id),
    }


def _report(site: Site, run: stored.RunRecord) -> tuple[str, str | None] | None:
    """The words and the address of a run's report (None: not written); of a labelling that of the run it labels."""
    kinds: Mapping[str, tuple[ReportKind, int | None]] = {
        stored.CURATE: ("run", run.id),
        stored.LABEL: ("run", run.labelled_run_id),
        stored.STUDY: ("study", run.id),
    }
    kind, number = kinds.get(run.kind, ("run", None))
    return None if number is None else (f"{kind} {number}", report_address(site.artifacts, kind, number))


def _annotator(session: Session, run: stored.RunRecord) -> str | None:
    """The name of who judges in a run."""
    return None if run.annotator_id is None else annotators(session, [run.annotator_id])[run.annotator_id].name


def _figure_rows(figures: Sequence[runs.RunFigures]) -> list[tuple[str, list[str]]]:
    """A row a figure, a value a run; a figure that is 0 or unknown in all of them is left out."""
    counts: dict[str, list[Counted | None]] = {
        "prompts": [each.prompts for each in figures],
        "of them without a pair": [each.skipped_prompts for each in figures],
        "responses": [each.responses for each in figures],
        "duplicates": [each.duplicates for each in figures],
        "cut at max_tokens": [each.cut_responses for each in figures],
        "pairs": [each.pairs for each in figures],
        "judgements": [each.judgements for each in figures],
        "tokens in responses": [each.tokens for each in figures],
        "requests": [Counted(each.run.requests, False) for each in figures],
    }
    rows = [
        (name, ["not counted" if value is None else value.words for value in values])
        for name, values in counts.items()
        if any(value is None or value for value in values)
    ]
    summaries = [each.run for each in figures]
    if any(each.cost for each in summaries):
        rows.append(("cost, in the currency of the prices", [f"{each.cost:,.4g}" for each in summaries]))
    if any(each.device_seconds for each in summaries):
        held = [duration(timedelta(seconds=each.device_seconds)) for each in summaries]
        rows.append(("GPU or processor held for", held))
    if any(each.length_correlation is not None for each in summaries):
        rows.append(
            ("similarity with difference in length, rank correlation", [_correlation(one) for one in summaries])
        )
    return rows


def _pairs_words(found: runs.Similarities | None) -> str:
    """How many pairs there are, and how alike on average: to half a bin, as counted by bins."""
    if found is None:
        return "–"
    mean = sum((at + 0.5) * runs.BIN * count for at, count in found.bins.items()) / sum(found.bins.values()) - 1
    of_first = f" in the first {found.pairs.count:,}" if found.pairs.has_more else ""
    return f"{found.pairs.words}, {mean:.2f}{of_first}".replace("-", "−")


def _correlation(summary: stored.RunRecord) -> str:
    value, low, high = summary.length_correlation, summary.length_correlation_low, summary.length_correlation_high
    if value is None or low is None or high is None:
        return "–"
    return f"{Interval(value, low, high):.2f}"


def _took(started_at: datetime, finished_at: datetime | None) -> str:
    """How long a run took, or has been at it."""
    end = as_utc(finished_at) if finished_at else max(datetime.now(UTC), as_utc(started_at))
    return duration(end - as_utc(started_at))


def _picture(svg: str) -> Response:
    return Response(svg, media_type="image/svg+xml", headers=SELF_CONTAINED)
