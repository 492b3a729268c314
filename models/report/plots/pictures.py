"""Any plot as a drawing, and drawings as an SVG document of their own. Knows no plot's geometry."""

from __future__ import annotations

from collections.abc import Sequence

from models.report.plots.bars import draw_bars
from models.report.plots.drawing import WIDTH, Drawing, wrapped
from models.report.plots.fields import draw_field
from models.report.plots.lines import draw_lines
from models.report.plots.rows import draw_rows
from models.report.templates import make_environment
from models.studies.findings import HistogramPlot, IntervalPlot, LinePlot, Plot

_CAPTION_LINES = 8


def draw_plot(plot: Plot) -> Drawing:
    """The plot as places, paths and words, for a page: the macro `drawing` of drawings.html makes an SVG of it.

    Raises:
        ValueError: if a histogram's edges and counts do not fit each other.
    """
    match plot:
        case LinePlot():
            return draw_lines(plot)
        case IntervalPlot():
            return draw_rows(plot)
        case HistogramPlot():
            return draw_bars(plot)
        case _:
            return draw_field(plot)


def plot_svg(plot: Plot) -> str:
    """The plot as an SVG document on a sheet of its own, its caption below: dark where the viewer prefers dark.

    Raises:
        ValueError: as `draw_plot`.
    """
    return drawings_svg((draw_plot(plot),), title=plot.title, caption=plot.caption)


def drawings_svg(drawings: Sequence[Drawing], *, title: str, caption: str = "", nothing: str = "") -> str:
    """Drawings on one sheet, two in a row, with notes and a caption below; `nothing` is what it says without any."""
    columns = 1 if len(drawings) == 1 else 2
    rows = [drawings[first : first + columns] for first in range(0, len(drawings), columns)]
    said = [f"{drawing.title}: {note}" if columns > 1 else note for drawing in drawings for note in drawing.notes]
    said += [caption] if caption else []
    said = said if drawings else [nothing]
    room = WIDTH * columns + 28 * (columns - 1)
    lines = [line for words in said for line in wrapped(words, room, most=_CAPTION_LINES)]
    return (
        make_environment()
        .get_template("sheet.html")
        .render(rows=rows, title=title, lines=lines, column_width=WIDTH, gap=28, width=room + 32)
    )
