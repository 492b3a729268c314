"""What is said of each strategy beside the others: on the report page, in Markdown, on a narrow terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from report_pages import report, result
from rich.console import Console

from flows.terminal.tables import print_rows
from models.quality.records import UNDEFINED, LabelQuality, StrategyRates
from models.report import render_report
from models.report.contents import StrategyFigures
from models.report.labels import labels_markdown, rates_table
from models.report.strategies import overlap_table, strategies_markdown, strategy_table

FIGURES = {
    "easy": StrategyFigures(200, 0.31, 0.4, 3, 50, {"hard": 50}),
    "hard": StrategyFigures(100, 0.91, 0.8, 0, 50, {"easy": 50}),
}
RATES = (StrategyRates("easy", "people", 40, 4, 2, 10), StrategyRates("easy", "machines", 0, 0, 0, 3))


def page_of(figures):
    bare = replace(report(), strategies={name: result([0.5]) for name in figures}, candidates=(), settings={})
    return render_report(replace(bare, figures=figures))


def rows_of(page):
    """The cells of every row, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]


def test_the_page_shows_what_is_flagged_and_what_two_chose_in_the_order_of_the_report():
    rows = [row for row in rows_of(page_of({"hard": FIGURES["hard"], "easy": FIGURES["easy"]})) if len(row) == 5]
    assert rows[-2:] == [["easy", "1.5 %", "25.0 %", "", "25.0 %"], ["hard", "0.0 %", "50.0 %", "50.0 %", ""]]


def test_one_strategy_shares_nothing():
    assert ["easy", "1.5 %"] in rows_of(page_of({"easy": FIGURES["easy"]}))
    assert overlap_table({}).rows == strategy_table({}).rows == ()
    assert "Flagged pairs" not in render_report(report())


def test_markdown_is_a_table_that_marks_nothing_else_up():
    shown = (
        MarkdownIt("commonmark").enable("table").render(strategies_markdown({"closest_lengths_easy": FIGURES["easy"]}))
    )
    assert "<td>closest_lengths_easy</td>" in shown and "<em>" not in shown
    assert strategies_markdown({}) == ""


def test_the_table_fits_80_columns(capsys):
    widest = StrategyFigures(1_000_000, -0.123, 0.99, 1_000_000, 1_000_000, {})
    table = strategy_table({"closest_lengths_easy": widest})
    print_rows(Console(width=80), table.columns, table.rows, text_columns=table.text_columns, title=table.title)
    shown = capsys.readouterr().out
    assert " · " not in shown and "100.0 %" in shown and max(map(len, shown.splitlines())) <= 80


def test_ties_are_shares_of_votes_and_skips_of_all_that_was_looked_at():
    quality = LabelQuality(0, 0, 0, UNDEFINED, UNDEFINED, (), (), (), (), (), RATES)
    assert rates_table(quality).rows == (
        ("easy", "people", "40", "10.0 %", "5.0 %", "20.0 %"),
        ("easy", "machines", "0", "0.0 %", "0.0 %", "100.0 %"),
    )
    assert "could not be decided, by strategy" in labels_markdown(quality)
    page = render_report(replace(report(), labels=replace(quality, judgement_count=1)))
    assert ["easy", "people", "40", "10.0 %", "5.0 %", "20.0 %"] in rows_of(page)


@pytest.mark.parametrize("name", ["easy", "<b>mine</b>"])
def test_a_name_is_shown_letter_by_letter(name):
    shown = MarkdownIt("commonmark").enable("table").render(strategies_markdown({name: FIGURES["easy"]}))
    assert name.replace("<", "&lt;").replace(">", "&gt;") in shown
