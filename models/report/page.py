"""The page itself: fills page.html and writes it. Knows no pictures' geometry and makes no request."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from models.files import whole_file
from models.records import first_of_equals
from models.report.candidate_map import HEIGHT, WIDTH, CandidateMap, draw_map, most_telling
from models.report.contents import (
    OWN_MEANING,
    STRATEGY_MEANINGS,
    CurationReport,
    PromptCandidates,
    StrategyResult,
    in_order,
)
from models.report.histograms import draw_histograms
from models.report.labels import label_words
from models.report.strategies import OVERLAP_TABLE_WORDS, overlap_table
from models.report.templates import make_environment
from models.report.worth import worth_words


def write_report(report: CurationReport, path: Path) -> None:
    """Write the report as one self-contained HTML file; the same report gives the same bytes.

    Raises:
        OSError: as `write_page`.
    """
    write_page(render_report(report), path)


def write_page(page: str, path: Path) -> None:
    """Write a page, whole or not at all; folders on the way are made.

    Text that is no valid Unicode (lone surrogates) is shown as its escape.

    Raises:
        OSError: if the folder cannot be made or written to; a file already at `path` is then left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        draft.write_bytes(page.encode("utf-8", "backslashreplace"))


def render_report(report: CurationReport) -> str:
    """The report as the text of an HTML page: no script, nothing loaded from elsewhere, every text escaped."""
    strategies = {name: report.strategies[name] for name in in_order(report.strategies)}
    shown_prompt = most_telling(report.candidates)
    on_map = draw_map(shown_prompt) if shown_prompt else None
    template = make_environment().get_template("page.html")
    return template.render(
        report=report,
        strategies=strategies,
        meanings={name: STRATEGY_MEANINGS.get(name, OWN_MEANING) for name in strategies},
        histograms=draw_histograms({name: result.similarities for name, result in strategies.items()}),
        reasons=_reasons(strategies.values()),
        shown=shown_prompt,
        map=on_map,
        map_size=(WIDTH, HEIGHT),
        candidates=_listed(shown_prompt, on_map) if shown_prompt and on_map else [],
        overlaps=overlap_table({name: report.figures[name] for name in in_order(report.figures)}),
        overlaps_words=OVERLAP_TABLE_WORDS,
        labels=label_words(report.labels) if report.labels and report.labels.judgement_count else None,
        worth=worth_words(report.worth) if report.worth and report.worth.label_count else None,
    )


def _reasons(results: Iterable[StrategyResult]) -> list[str]:
    """Every reason for which some prompt has no pair, once, in the order of first mention."""
    return list(dict.fromkeys(reason for result in results for reason, count in result.unpaired.items() if count))


class ListedCandidate(NamedTuple):
    """A candidate beside the map: the strategies that chose it, and what is odd about it."""

    number: int
    text: str
    strategies: list[str]
    notes: list[str]


def _listed(candidates: PromptCandidates, on_map: CandidateMap) -> list[ListedCandidate]:
    """The candidates beside the map, texts that occur twice with a note."""
    numbers = {dot.number for dot in on_map.dots}
    listed = []
    for position, first in enumerate(first_of_equals(candidates.responses)):
        notes = [f"same text as {first + 1}"] if first != position else []
        notes += ["no embedding, not on the map"] if position + 1 not in numbers else []
        chosen_by = [name for name in in_order(candidates.pairs) if position in candidates.pairs[name]]
        text = candidates.responses[position]
        listed.append(ListedCandidate(position + 1, text, chosen_by, notes))
    return listed
