"""What the command line prints: tables, exports, where things are. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from db.pairs import SelectedPair
from db.runs import RunSummary
from flows.terminal.failures import shown_url
from flows.terminal.pager import paged
from flows.terminal.table_files import Kind, TableRows, check_output, write_table
from models.records import shortened
from tasks.console import PlainConsole, cell
from tasks.settings import Settings
from tasks.terminal import printable, show

if TYPE_CHECKING:
    from models.processes.ray_cluster import Cluster
    from tasks.curation.similar import SimilarPrompt, SimilarResponse

PROMPT_WIDTH, RESPONSE_WIDTH = 44, 56
WRAPPED_WIDTH, CELL_PADDING = 40, 3
WIDTH_WITHOUT_TERMINAL = 220
ROWS_PER_BATCH = 10_000
TABLE_ROWS = 20  # where no --limit is given


def show_service(
    prefect_port: int,
    page_port: int,
    links: Sequence[str],
    leading: Sequence[str],
    cluster: Cluster | None,
    settings: Settings,
) -> None:
    """Print where everything is, and what to do there; `links` sign people in to label, `leading` to the workbench."""
    show(f"\nWorkbench       {leading[0] if leading else 'nobody leads: antipode people --lead NAME'}")
    for link in leading[1:]:
        show(f"                {link}")
    show(f"Prefect UI      http://127.0.0.1:{prefect_port}/deployments   start runs, change schedules, watch")
    if links:
        show(f"Labelling page  http://127.0.0.1:{page_port}   each link signs one person in:")
    for link in links:
        show(f"                {link}")
    if cluster is not None:
        show(f"Ray cluster     {cluster}")
    show(f'Database        {shown_url(settings)}   antipode sql "SELECT * FROM run_summary"')
    show("Ctrl-C stops all of them; nothing is lost.", flush=True)


def rejected_line(word: str, count: int, kept: int, path: Path) -> str:
    """How many rows were rejected or refused, and how many of them the file had room for."""
    some = f" the first {kept:,} of them" if count > kept else ""
    return f"{count:,} rows {word},{some} with their reasons in {path}"


@paged()
def show_runs(summaries: Sequence[RunSummary]) -> None:
    """Print the runs as a table."""
    if not summaries:
        show("no runs yet; make one: antipode demo, or antipode curate")
        return
    words = ("name", "status", "kind", "started")
    counts = ("prompts", "skipped", "responses", "duplicates", "pairs", "judgements")
    rows = []
    for run in summaries:
        kind = run.kind if run.labelled_run_id is None else f"{run.kind} run {run.labelled_run_id}"
        kind += f" by {run.annotator}" if run.annotator else ""
        figures = (run.prompts, run.skipped_prompts, run.responses, run.duplicates, run.pairs, run.judgements)
        cells = (f"{figure:,}" if figure else "" for figure in figures)
        rows.append((str(run.run_id), run.run, run.status, kind, str(run.started_at)[:16], *cells))
    print_rows(make_console(), ("run", *words, *counts), rows, text_columns=1 + len(words))


def print_rows(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int, title: str = ""
) -> None:
    """Print a table whose first columns are text, the rest figures; one that is too wide as a paragraph a row."""
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(cell_len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    widths[:text_columns] = [min(width, WRAPPED_WIDTH) for width in widths[:text_columns]]
    if sum(widths) + CELL_PADDING * len(columns) > console.width:
        if title:
            console.print(Text(title, style="bold"))
        for row in rows:
            cells = (f"{column} {text}" for column, text in zip(columns, row, strict=True) if text not in {"", "–"})
            console.print(Text(" · ".join(cells)))
        console.print()
        return
    table = Table(box=SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left", title_style="bold")
    for position, column in enumerate(columns):
        is_text = position < text_columns
        table.add_column(column, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def show_similar(responses: Sequence[SimilarResponse]) -> None:
    """Print a response and its nearest ones."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("similarity", justify="right")
    table.add_column("response", justify="right")
    table.add_column("prompt", max_width=PROMPT_WIDTH, no_wrap=True)
    table.add_column("text", max_width=2 * RESPONSE_WIDTH, no_wrap=True)
    for response in responses:
        table.add_row(
            f"{response.similarity:.4f}",
            str(response.response_id),
            cell(shortened(response.prompt, PROMPT_WIDTH)),
            cell(shortened(response.response, 2 * RESPONSE_WIDTH)),
        )
    make_console().print(table)


def show_similar_prompts(prompts: Sequence[SimilarPrompt]) -> None:
    """Print a prompt and its nearest ones."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("similarity", justify="right")
    table.add_column("prompt", justify="right")
    table.add_column("text", max_width=2 * RESPONSE_WIDTH, no_wrap=True)
    for prompt in prompts:
        text = cell(shortened(prompt.prompt, 2 * RESPONSE_WIDTH))
        table.add_row(f"{prompt.similarity:.4f}", str(prompt.prompt_id), text)
    make_console().print(table)


@paged()
def show_pairs(pairs: Sequence[SelectedPair], total: int) -> None:
    """Print pairs as a table, and how many of all they are."""
    make_console().print(pair_table(pairs))
    show(shown_of(len(pairs), total, "pair"))


def shown_of(shown: int, total: int, noun: str) -> str:
    """How much of it a table shows, and how to see all."""
    if shown < total:
        return f"{shown:,} of {total:,} {noun}s; all: --format jsonl, or --limit {total}"
    return f"1 {noun}" if total == 1 else f"{total:,} {noun}s"


def write_pairs(pairs: Iterator[SelectedPair], format: str, output: Path | None) -> None:
    """Write pairs to a file, or as lines to the terminal.

    Raises:
        ValueError: If a table is asked for in a file, or Parquet on a terminal.
    """
    check_output(format, output)
    write_table(pair_rows(pairs), format, output)


def make_console() -> Console:
    """Rich takes 80 columns where there is no terminal; a file or a log has room."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=WIDTH_WITHOUT_TERMINAL)


def pair_table(pairs: Sequence[SelectedPair]) -> Table:
    """Figures whole; the texts share what room is left."""
    table = Table(box=SIMPLE_HEAD, expand=True)
    table.add_column("pair", justify="right", no_wrap=True)
    table.add_column("strategy", no_wrap=True)
    table.add_column("similarity", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    for name, ratio in (
        ("prompt", PROMPT_WIDTH),
        ("first response", RESPONSE_WIDTH),
        ("second response", RESPONSE_WIDTH),
    ):
        table.add_column(name, ratio=ratio, no_wrap=True, overflow="ellipsis")
    for pair in pairs:
        table.add_row(
            str(pair.pair_id),
            pair.strategy,
            f"{pair.similarity:.4f}",
            f"{pair.rank}/{pair.pair_count}",
            cell(shortened(pair.prompt, PROMPT_WIDTH)),
            cell(shortened(f"{pair.first_response_id}: {pair.first_response}", RESPONSE_WIDTH)),
            cell(shortened(f"{pair.second_response_id}: {pair.second_response}", RESPONSE_WIDTH)),
        )
    return table


def pair_rows(pairs: Iterator[SelectedPair]) -> TableRows:
    """Pairs as rows, with every field of theirs."""
    columns = tuple(field.name for field in fields(SelectedPair))
    kinds = tuple(cast(Kind, str(field.type).removesuffix(" | None")) for field in fields(SelectedPair))
    return TableRows(columns, map(attrgetter(*columns), pairs), kinds)
