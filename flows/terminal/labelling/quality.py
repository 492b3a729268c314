"""What `antipode quality` prints: agreement, annotators, suspect pairs, and what is missing. No maths."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from flows.terminal.pager import paged
from flows.terminal.tables import make_console, print_rows
from models.quality.quality import LabelQuality
from models.report.labels import (
    QualityTable,
    agreement_table,
    annotator_table,
    couple_table,
    has_agreement,
    headline,
    rates_table,
    suspect_table,
    trend,
    warnings,
)
from tasks.terminal import show

if TYPE_CHECKING:
    from tasks.labels.quality import SecondLook

NO_PAIRS = "no pairs yet; make some: antipode demo, or antipode curate"
NO_JUDGEMENTS = "no judgements yet; make some: antipode web --run {run}, or antipode label --pairs.run {run}"
NO_SECOND_ANNOTATOR = (
    "no pair has two judgements yet; ask a second annotator: antipode label --pairs.run {run}, or "
    "antipode web --run {run} --judgements_per_pair 2"
)
SECOND_LOOK = "all of them into a queue for people: antipode quality --run {run} --queue second-look"
NO_SUSPECTS = "no suspect pairs: annotators and their margins do not contradict each other"


@paged()
def show_quality(quality: LabelQuality, run_id: int) -> None:
    """Print how far a run's labels can be trusted; what is not there yet is a line that says what makes it."""
    show_agreement(quality, run_id)
    if not quality.judgement_count:
        return
    console = make_console()
    if any(row.ties or row.both_bad or row.skips for row in quality.rates):
        _show(console, rates_table(quality))
    _show(console, annotator_table(quality))
    _show(console, couple_table(quality))
    if quality.suspects:
        _show(console, suspect_table(quality))
        _print_line(console, SECOND_LOOK.format(run=run_id))
    elif has_agreement(quality):
        _print_line(console, NO_SUSPECTS)


def show_second_look(second_look: SecondLook) -> None:
    """Print which queue holds the pairs that are worth another look, and who can judge them."""
    queue = f"{second_look.pairs:,} pairs are in queue {second_look.queue_id} ({second_look.name})"
    show(f"{queue}, each until {second_look.judgements_per_pair:,} people have judged it; nobody is asked twice")
    show("Next: antipode web --every_queue --annotators NAME, somebody who has not judged them")


def print_json(quality: LabelQuality) -> None:
    """Print the figures as JSON."""
    show(json.dumps(asdict(quality), ensure_ascii=False, indent=2))


def show_agreement(quality: LabelQuality, run_id: int) -> None:
    """Print agreement by strategy and by similarity, and what it says, or what is missing."""
    console = make_console()
    if not quality.judgement_count:
        _print_line(console, NO_JUDGEMENTS.format(run=run_id) if quality.pair_count else NO_PAIRS)
        return
    _print_line(console, headline(quality))
    for warning in warnings(quality):
        _print_line(console, warning)
    if has_agreement(quality):
        _show(console, agreement_table(quality))
        _print_line(console, trend(quality))
    else:
        _print_line(console, NO_SECOND_ANNOTATOR.format(run=run_id))


def _print_line(console: Console, line: str) -> None:
    console.print(Text(line))


def _show(console: Console, table: QualityTable) -> None:
    """Print a table; one without a row is left out."""
    if table.rows:
        print_rows(console, table.columns, table.rows, text_columns=table.text_columns, title=table.title)
