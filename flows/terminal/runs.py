"""What the end of a curation prints: example pairs, figures, what to do next. Decides nothing."""

from __future__ import annotations

from db.runs import RunSummary
from flows.terminal.failures import shown_url
from flows.terminal.tables import make_console, pair_table, print_rows
from models.report.strategies import STRATEGY_TABLE_WORDS, strategy_table
from tasks.reports.run_ends import run_end
from tasks.reports.run_page import next_steps, report_path
from tasks.settings import Settings

SHOWN_REASONS = 5


def show_run(run_id: int, settings: Settings) -> None:
    """Print how a run ended: example pairs, figures, where things are, what to do next."""
    show_pairs_of(run_id, settings)
    show_next(run_id, settings, is_demo=False)


def show_pairs_of(run_id: int, settings: Settings) -> None:
    """Print example pairs of a run and its figures."""
    console = make_console()
    end = run_end(run_id, settings)
    console.print(pair_table(end.examples))
    console.print(_figures(end.summary))
    if end.guarded.rules:
        console.print(f"  {end.guarded.words}", soft_wrap=True)
    reasons = list(end.skipped.items())  # the most frequent first; a server may have words for every prompt
    for reason, count in reasons[:SHOWN_REASONS]:
        console.print(f"  {_prompts(count)} without a pair: {reason}")
    if others := reasons[SHOWN_REASONS:]:
        counted = sum(count for _, count in others)
        console.print(f"  {_prompts(counted)} without a pair, for {len(others):,} other reasons")
    for line in end.checks:
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)
    if end.strategies:
        table = strategy_table(end.strategies)
        print_rows(console, table.columns, table.rows, text_columns=table.text_columns, title=table.title)
        console.print(STRATEGY_TABLE_WORDS)
    if end.length_words:
        console.print(end.length_words, soft_wrap=True)


def show_next(run_id: int, settings: Settings, *, is_demo: bool) -> None:
    """Print where things are and what to do next."""
    console = make_console()
    report = report_path(run_id, settings).resolve()
    console.print(f"\nDatabase  {shown_url(settings)}\nReport    {report}", soft_wrap=True)
    console.print("\nNext:")
    for step in next_steps(run_id, is_demo=is_demo):
        console.print(f"  {step.command:<72} # {step.purpose}", soft_wrap=True)


def _prompts(count: int) -> str:
    return "1 prompt" if count == 1 else f"{count:,} prompts"


def _figures(summary: RunSummary) -> str:
    cut = f"cut at max_tokens{' and left out' if summary.left_out_responses else ''}"
    noted = (
        (summary.duplicates, "duplicates"),
        (summary.empty_responses, "empty"),
        (summary.cut_responses, cut),
        (summary.truncated_responses, "read in part by the embedder"),
    )
    notes = ", ".join(f"{count:,} {what}" for count, what in noted if count)
    return (
        f"Run {summary.run_id} ({summary.run}, {summary.status}): {_prompts(summary.prompts)}, "
        f"{summary.responses:,} responses{f' ({notes})' if notes else ''}, {summary.pairs:,} pairs"
    )
