"""What `antipode head` prints: the learning curve, what more labels would add, strategies, where predictions are."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.text import Text

from flows.terminal.tables import make_console, print_rows
from models.head import MIN_LABELS, Worth
from models.records import plain
from models.report.worth import curve_table, headline, longer_words, promise_words, strategy_table, tested_words
from tasks.terminal import show

NO_PREDICTIONS = f"predictions take {MIN_LABELS} labels that prefer a side, of any run with the same embedder"
PREDICTED = (
    "{count:,} pairs without a label have a prediction with a 90 % interval: "
    'antipode sql "SELECT * FROM predicted_preferences WHERE run_id = {run}"'
)
NEXT = "Next: antipode web --run {run}, or antipode label --pairs.run {run}"
ALL_LABELLED = "every pair of the run has a label: nothing is left to predict"


def show_worth(worth: Worth, predicted: int | None, run_id: int) -> None:
    """Print what a run's labels are worth; what is not there yet is a line that says what it takes."""
    console = make_console()
    for line in (headline(worth), promise_words(worth), longer_words(worth)):
        if line:
            console.print(Text(line))
    for table in (curve_table(worth), strategy_table(worth)):
        if table.rows:
            print_rows(console, table.columns, table.rows, text_columns=table.text_columns, title=table.title)
    if worth.strategies:
        console.print(Text(tested_words(worth)))
    if predicted:
        console.print(Text(PREDICTED.format(count=predicted, run=run_id)))
    else:
        console.print(Text(NO_PREDICTIONS if predicted is None else ALL_LABELLED))
    if not worth.curve:
        console.print(Text(NEXT.format(run=run_id)))


def print_json(worth: Worth, predicted: int | None) -> None:
    """Print the figures as JSON."""
    figures = {**asdict(worth), "predicted": predicted or 0}
    show(json.dumps(plain(figures), ensure_ascii=False, indent=2))
