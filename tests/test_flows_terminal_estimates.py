"""What a dry run prints: aligned, within a terminal's width, nothing invented."""

from __future__ import annotations

import pytest
from rich.console import Console

from flows.terminal.estimates import as_shown
from tasks.estimates import Estimate, Figure


def printed(estimate):
    console = Console(width=80)
    with console.capture() as shown:
        console.print(as_shown(estimate))
    return [line.rstrip() for line in shown.get().splitlines()]


def test_figures_stand_under_each_other_and_long_reasons_wrap_beside_them():
    figures = (
        Figure("requests", 1952, "one a reply to a server with a rather long address; 18 a reply at most", "≈"),
        Figure("money", 1.016, "0.4 a million tokens in, 1.6 out", "≤", "money"),
        Figure("time", None, "no rate known yet: the first replies will tell", unit="seconds"),
        Figure("disk", 0, "[bold]no markup[/bold]", unit="bytes"),
    )
    note = "budget: judge.max_cost 0.1 pays for about 10% of it, 190 requests; then it ends with what is judged"
    assert printed(Estimate("label", figures, (note,), "EUR")) == [
        "Dry run of label: nothing is stored, loaded or sent",
        "  requests     ≈ 1,952  one a reply to a server with a rather long address; 18 a",
        "                        reply at most",
        "  money     ≤ 1.02 EUR  0.4 a million tokens in, 1.6 out",
        "  time         unknown  no rate known yet: the first replies will tell",
        "  disk             0 B  [bold]no markup[/bold]",
        "budget: judge.max_cost 0.1 pays for about 10% of it, 190 requests; then it ends",
        "with what is judged",
        "Next: the same command without --dry-run",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (999, "bytes", "999 B"), (1000, "bytes", "1.0 kB"), (2_097_152, "bytes", "2.1 MB"),
        (3.2e13, "bytes", "32.0 TB"),
        (0.2, "seconds", "0 s"), (119, "seconds", "119 s"), (150, "seconds", "2 min"), (7200, "seconds", "2.0 h"),
        (3 * 86_400, "seconds", "3.0 d"), (0.004, "money", "0.004"), (1234.5, "money", "1,234.50"),
        (0, "money", "0.00"), (1e6, "", "1,000,000"),
    ],
)  # fmt: skip
def test_amounts_are_written_as_people_say_them(value, unit, text):
    assert printed(Estimate("label", (Figure("amount", value, "so", unit=unit),)))[1] == f"  amount  {text}  so"
