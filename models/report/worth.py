"""What labels are worth in words, tables and a picture: the same on the terminal, on the page and in Prefect."""

from __future__ import annotations

from models.head import MIN_CURVE_LABELS, MIN_DIALOGUES, Worth
from models.intervals import Interval
from models.report.contents import in_order
from models.report.labels import QualityTable, escaped, markdown_table
from models.report.plots import draw_plot, drawings_svg
from models.studies.findings import Line, LinePlot

CURVE_TITLE = "What labels teach"
CAPTION = (
    "Heads are fitted to growing numbers of labels and asked about labels of other prompts. Bands and bars: 90 % "
    "intervals; beyond the last label stands what the next hundred are expected to add. The flat line is what the "
    "longer response gets without a label, the dashed one a coin."
)
NO_CURVE = "A curve of what labels are worth takes {labels} labels that prefer a side, on {dialogues} prompts or more."


def headline(worth: Worth) -> str:
    """How many labels there are, and how often a head of them is right, or how many a curve takes."""
    if not worth.curve or worth.next is None:
        wanted = NO_CURVE.format(labels=MIN_CURVE_LABELS, dialogues=MIN_DIALOGUES)
        return f"{wanted} There are {worth.label_count:,} on {worth.dialogue_count:,}."
    return (
        f"A reward head made of {worth.label_count:,} labels is right about {_points(worth.next.accuracy)} of labels "
        "that it has not seen (a coin: 50 %)."
    )


def promise_words(worth: Worth) -> str:
    """What the next labels are expected to add; empty where there is no curve."""
    if worth.next is None:
        return ""
    gain = worth.next.gain
    if worth.next.is_measurable:
        half = (gain.high - gain.low) / 2
        return (
            f"The next {worth.next.step} labels are expected to add {_number(100 * gain.value)} ± "
            f"{_number(100 * half)} points (90 % interval {_number(100 * gain.low)} to {_number(100 * gain.high)})."
        )
    return (
        f"The next {worth.next.step} labels are expected to add nothing measurable: {_number(100 * gain.value)} "
        f"points, 90 % interval {_number(100 * gain.low)} to {_number(100 * gain.high)}."
    )


def longer_words(worth: Worth) -> str:
    """How far the longer response wins, and what similarity can say; empty without a label."""
    if worth.longer is None:
        return ""
    return (
        f"Without any label, the longer response is the preferred one in {_points(worth.longer)}. The similarity of "
        "two responses is the same from either side: it prefers neither, as a coin."
    )


def tested_words(worth: Worth) -> str:
    """What strategies are compared on."""
    is_random = worth.tested_on == "random"
    which = "pairs that the strategy random selected" if is_random else "pairs of all strategies together"
    return f"Strategies are compared on the same held-out labels, those on {which}, by as many labels each."


def curve_table(worth: Worth) -> QualityTable:
    """The learning curve; without a row where there are too few labels."""
    rows = tuple((f"{point.count:,}", _percent(point.accuracy), _bounds(point.accuracy)) for point in worth.curve)
    return QualityTable("Right about held-out labels", ("labels", "right", "90 % interval"), rows, 0)


def strategy_table(worth: Worth) -> QualityTable:
    """The strategies; without a row where fewer than two have labels enough."""
    by_name = {one.strategy: one for one in worth.strategies}
    common = worth.strategies[0].at_common.count if worth.strategies else 0
    columns = (
        "strategy",
        "labels",
        f"right, of {common:,} labels",
        "90 % interval",
        "next 100, points",
        "90 % interval",
    )
    rows = tuple(
        (
            one.strategy,
            f"{one.label_count:,}",
            _percent(one.at_common.accuracy),
            _bounds(one.at_common.accuracy),
            _number(100 * one.next.gain.value),
            f"{_number(100 * one.next.gain.low)} to {_number(100 * one.next.gain.high)}",
        )
        for one in map(by_name.__getitem__, in_order(by_name))
    )
    return QualityTable("What a strategy’s labels teach", columns, rows, 1)


def worth_markdown(worth: Worth) -> str:
    """The same as Markdown (GFM)."""
    lines = [line for line in (headline(worth), promise_words(worth), longer_words(worth)) if line]
    parts = ["## What the labels are worth", *map(escaped, lines)]
    if worth.strategies:
        parts += [markdown_table(strategy_table(worth)), escaped(tested_words(worth))]
    return "\n\n".join(parts) + "\n"


def worth_words(worth: Worth) -> dict[str, object]:
    """What the page's section reads: the lines, the picture, the tables."""
    return {
        "lines": [line for line in (headline(worth), promise_words(worth), longer_words(worth)) if line],
        "panel": draw_plot(plot) if (plot := worth_plot(worth)) else None,
        "caption": CAPTION,
        "tables": [table for table in (curve_table(worth), strategy_table(worth)) if table.rows],
        "tested": tested_words(worth) if worth.strategies else "",
    }


def worth_svg(worth: Worth) -> str:
    """The learning curve as an SVG document of its own; without a curve it says so in words."""
    plot = worth_plot(worth)
    return drawings_svg([draw_plot(plot)] if plot else [], title=CURVE_TITLE, nothing=headline(worth))


def worth_plot(worth: Worth) -> LinePlot | None:
    """Accuracy by number of labels with its 90 % band, what is expected further on, and the longer response beside."""
    if not worth.curve or worth.next is None or worth.longer is None:
        return None
    here, longer = worth.next.accuracy.value, 100 * worth.longer.value
    last = worth.next.count + worth.next.step
    expected = Interval(*(100 * (here + gain) for gain in worth.next.gain))
    measured = tuple(
        (float(point.count), Interval(*(100 * bound for bound in point.accuracy))) for point in worth.curve
    )
    ahead = ((float(worth.next.count), Interval(*[100 * here] * 3)), (float(last), expected))
    flat = tuple((at, Interval(longer, longer, longer)) for at in (0.0, float(last)))
    lines = (Line("measured", measured), Line("expected", ahead), Line("the longer response", flat))
    return LinePlot(CURVE_TITLE, "labels", "right about held-out labels, %", lines, CAPTION, reference=50)


def _points(share: Interval) -> str:
    return f"{_percent(share)} ({_bounds(share)})"


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.1f} %"


def _bounds(share: Interval) -> str:
    return f"{100 * share.low:.1f}–{100 * share.high:.1f} %"


def _number(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")
