"""What `--dry-run` prints: the figures of an estimate, each with how it is known. Decides nothing."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.terminal.tables import make_console
from tasks.estimates import Estimate, Figure

UNKNOWN = "unknown"
MINUTE, HOUR, DAY = 60, 3600, 86_400
CENT = 0.01


def show_estimate(estimate: Estimate) -> None:
    """Print an estimate."""
    make_console().print(as_shown(estimate))


def as_shown(estimate: Estimate) -> Group:
    """An aligned table, what else is to be known, and what does the real thing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for figure in estimate.figures:
        table.add_row(Text(f"  {figure.name}"), Text(shown_figure(figure, estimate.currency)), Text(figure.basis))
    title = Text(f"Dry run of {estimate.command}: nothing is stored, loaded or sent", style="bold")
    return Group(title, table, *map(Text, estimate.notes), Text("Next: the same command without --dry-run"))


def shown_figure(figure: Figure, currency: str) -> str:
    """A figure with its sign and unit; `currency` is what the user calls it."""
    if figure.value is None:
        return UNKNOWN
    sign = f"{figure.sign} " if figure.sign else ""
    match figure.unit:
        case "bytes":
            return sign + size(figure.value)
        case "seconds":
            return sign + duration(figure.value)
        case "money":
            amount = f"{figure.value:,.2f}" if figure.value >= CENT or not figure.value else f"{figure.value:.1g}"
            return f"{sign}{amount} {currency}".rstrip()
        case _:
            return f"{sign}{figure.value:,.0f}"


def size(count: float) -> str:
    """A number of bytes, for people."""
    if count < 1000:
        return f"{count:,.0f} B"
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def duration(seconds: float) -> str:
    """A time, for people."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} d"
