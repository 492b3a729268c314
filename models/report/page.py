"""The page itself: fills page.html and writes it. Knows no pictures' geometry and makes no request."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.records import first_of_equals, shortened
from models.report.candidate_map import HEIGHT, WIDTH, CandidateMap, draw_map, most_telling
from models.report.contents import STRATEGY_MEANINGS, CurationReport, PromptCandidates, StrategyResult
from models.report.histograms import draw_histograms


def write_report(report: CurationReport, path: Path) -> None:
    """Write the report as one self-contained HTML file, whole or not at all; folders on the way are made.

    The same report gives the same bytes. Text that is no valid Unicode (lone surrogates) is shown as its escape.

    Raises:
        OSError: if the folder cannot be made or written to; a file already at `path` is then left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(render_report(report).encode("utf-8", "backslashreplace"))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def render_report(report: CurationReport) -> str:
    """The report as the text of an HTML page: no script, nothing loaded from elsewhere, every text escaped."""
    strategies = {name: report.strategies[name] for name in STRATEGY_MEANINGS if name in report.strategies}
    shown = most_telling(report.candidates)
    on_map = draw_map(shown) if shown else None
    template = _environment().get_template("page.html")
    return template.render(
        report=report,
        strategies=strategies,
        meanings=STRATEGY_MEANINGS,
        histograms=draw_histograms({name: result.similarities for name, result in strategies.items()}),
        reasons=_reasons(strategies.values()),
        shown=shown,
        map=on_map,
        map_size=(WIDTH, HEIGHT),
        candidates=_listed(shown, on_map) if shown and on_map else [],
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shortened": shortened,
        "count": lambda number: f"{number:,}",
        "cosine": _cosine,
        "share": _share,
        "duration": _duration,
        "moment": lambda time: f"{time:%Y-%m-%d %H:%M %Z}".strip(),
    }
    return environment


def _reasons(results: Iterable[StrategyResult]) -> list[str]:
    """Every reason for which some prompt has no pair, once, in the order of first mention."""
    return list(dict.fromkeys(reason for result in results for reason, count in result.unpaired.items() if count))


def _listed(candidates: PromptCandidates, on_map: CandidateMap) -> list[dict[str, object]]:
    """The candidates beside the map: number, text, the strategies that chose it, and what is odd about it."""
    numbers = {dot.number for dot in on_map.dots}
    listed = []
    for position, first in enumerate(first_of_equals(candidates.responses)):
        notes = [f"same text as {first + 1}"] if first != position else []
        notes += ["no embedding, not on the map"] if position + 1 not in numbers else []
        chosen_by = [name for name in STRATEGY_MEANINGS if position in candidates.pairs.get(name, ())]
        text = candidates.responses[position]
        listed.append({"number": position + 1, "text": text, "strategies": chosen_by, "notes": notes})
    return listed


def _cosine(similarity: float) -> str:
    return f"{similarity:.3f}".replace("-0.000", "0.000").replace("-", "−")


def _share(part: int, whole: int) -> str:
    """A percentage; a part that is there is never rounded to none."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


def _duration(length: timedelta) -> str:
    seconds = round(length.total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {seconds % 60:02d} s" if minutes else f"{seconds} s"
