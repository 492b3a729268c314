"""The commands about what is stored: sql, backup, restore, vectors; and what they print."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg
from rich.box import SIMPLE_HEAD
from rich.table import Table

from db.backups import Copied, back_up, restore
from db.read_only import Answer, Cell, ask
from flows.terminal.failures import fail, shown_url
from flows.terminal.pager import paged
from flows.terminal.table_files import TableRows, check_output, write_table
from flows.terminal.tables import CELL_PADDING, TABLE_ROWS, make_console, print_rows, shown_of
from flows.terminal.vectors import show_vectors
from models.records import MAX_ID, shortened
from tasks.console import cell
from tasks.settings import Settings
from tasks.terminal import printable, show

COUNTED_ROWS = 100_000
CELL_WIDTH, NARROWEST_CELL = 60, 8
GRACE_S = 2.0
STDIN = "-"


class Sql(BaseModel):
    """Ask the database a question in SQL; nothing can be changed. Views and worked questions: docs/database.md."""

    statement: CliPositionalArg[str] = Field(description="One SELECT; `-` reads it from standard input.")
    limit: int | None = Field(None, ge=1, le=MAX_ID, description="At most so many rows. A table shows 20 unless told.")
    format: Literal["table", "record", "jsonl", "csv", "parquet"] = Field(
        "table", description="How to write them; `record`: a line a value, for wide results and long texts."
    )
    output: Path | None = Field(None, description="File to write; empty: the terminal.")
    timeout_s: float = Field(
        60.0, gt=0, le=86_400, description="Seconds until it is given up, writing included (0 to 86,400)."
    )

    def cli_cmd(self) -> None:
        """Run the command."""
        statement = sys.stdin.read() if self.statement == STDIN else self.statement
        check_output(self.format, self.output)
        # The pager comes last: while somebody reads, no clock runs and no transaction is open.
        with (
            paged() if self.format in {"table", "record"} else nullcontext(),
            _ended_after(self.timeout_s + GRACE_S),
            ask(statement, Settings().database, timeout_s=self.timeout_s) as answer,
        ):
            if answer.warning is not None:
                fail(answer.warning, status=0)
            if self.format == "table":
                _show(answer, self.limit or TABLE_ROWS)
            elif self.format == "record":
                _show_records(answer, self.limit or TABLE_ROWS)
            else:
                write_table(TableRows(answer.columns, islice(answer.rows, self.limit)), self.format, self.output)


class Backup(BaseModel):
    """Copy the database into a file, while others may write to it."""

    file: CliPositionalArg[Path] = Field(description="File to write; one that is there is replaced when all is done.")

    def cli_cmd(self) -> None:
        """Run the command."""
        _print_copy(back_up(self.file, Settings().database), f"backup of {shown_url(Settings())} in {self.file}")


class Restore(BaseModel):
    """Bring a backup back into an empty database, the one that ANTIPODE_DATABASE_URL names."""

    file: CliPositionalArg[Path] = Field(description="File that `antipode backup` wrote.")

    def cli_cmd(self) -> None:
        """Run the command."""
        _print_copy(restore(self.file, Settings().database), f"{self.file} is restored in {shown_url(Settings())}")


class Vectors(BaseModel):
    """Check that the vectors on disk are those that were written; have damaged ones embedded anew."""

    action: CliPositionalArg[Literal["check"]] = Field(description="What to do: check.")
    run: str | None = Field(None, description="Only the vectors of this run (id, name or `last`); empty: all.")
    repair: bool = Field(False, description="Forget the shards that are missing or damaged; a run embeds them anew.")
    lost: bool = Field(False, description="With --repair: also where not one shard is left of a folder.")

    def cli_cmd(self) -> None:
        """Run the command; exit status 1 if something is broken and stays so."""
        from tasks.curation.vectors import check_vectors, forget_broken
        from tasks.reports.run_queries import find_run

        settings = Settings()
        checks = check_vectors(settings, find_run(self.run, settings) if self.run else None)
        for check in checks:
            show_vectors(check)
        broken = [check for check in checks if check.missing or check.damaged]
        if not broken:
            show("all vectors are as they were written")
        elif self.repair:
            forgotten = list(forget_broken(broken, settings, are_lost=self.lost))
            show(f"forgotten: {len(forgotten):,} shards with {sum(count for _, count in forgotten):,} vectors")
            if forgotten:
                show("Next: give the command of the run again, which embeds them anew")
        else:
            repair = "antipode vectors check --repair"
            if settings.artifact_url:
                show(f"Next: {repair}, first on a host that has copies of them; without one they are embedded anew")
            else:
                show(f"Next: bring the folder back, or have them embedded anew: {repair}")
            sys.exit(1)


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """End the process if it is still there: within one function of its own, such as instr, SQLite looks at no clock."""

    def end() -> None:
        os._exit(fail("the question was given up within a single function; narrow it down", status=1))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _print_copy(copied: Copied, message: str) -> None:
    show(f"{message}: {copied.size_bytes / 1e6:,.1f} MB, {copied.runs:,} runs, {copied.judgements:,} judgements")
    settings = Settings()
    shared = f", and objects at {settings.artifact_url}" if settings.artifact_url else ""
    show(
        f"Vectors, policies and reports are files in {settings.artifact_root.resolve()} (ANTIPODE_ARTIFACT_ROOT)"
        f"{shared}; they need a copy of their own"
    )
    if copied.outdated:
        show(f"Next: {copied.outdated}")


def _show_records(answer: Answer, limit: int) -> None:
    """Print the first rows, a line a value and the whole of it; further rows are counted up to COUNTED_ROWS."""
    width = max(map(len, answer.columns))
    count = 0
    for count, row in enumerate(islice(answer.rows, limit), start=1):
        show(f"─── {count:,} ───")
        for name, value in zip(answer.columns, row, strict=True):
            first, *others = (_text(value).splitlines()) or [""]
            show("\n".join((f"{name:<{width}}  {first}".rstrip(), *(f"{'':<{width}}  {line}" for line in others))))
    show(_of_all(count, answer))


def _show(answer: Answer, limit: int) -> None:
    """Print a table of the first rows; further rows are counted up to COUNTED_ROWS."""
    rows = [[_cut(value) for value in row] for row in islice(answer.rows, limit)]
    console = make_console()
    figures = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(answer.columns))]
    cells = [[printable(shortened(_text(value), CELL_WIDTH)) for value in row] for row in rows]
    widths = [max(len(row[at]) for row in (answer.columns, *cells)) for at in range(len(answer.columns))]
    room = console.width - CELL_PADDING * len(widths)
    room -= sum(width for width, is_figure in zip(widths, figures, strict=True) if is_figure)
    if room < NARROWEST_CELL * (len(figures) - sum(figures)):
        print_rows(console, answer.columns, cells, text_columns=len(widths))
    else:
        table = Table(box=SIMPLE_HEAD)
        for name, width, is_figure in zip(answer.columns, widths, figures, strict=True):
            least = width if is_figure else NARROWEST_CELL
            justify: Literal["right", "left"] = "right" if is_figure else "left"
            table.add_column(cell(name), justify=justify, min_width=least, no_wrap=is_figure, overflow="ellipsis")
        for row in cells:
            table.add_row(*map(cell, row))
        console.print(table)
    show(_of_all(len(rows), answer))


def _of_all(shown: int, answer: Answer) -> str:
    """How many of all rows were shown, and how to see all."""
    more = sum(1 for _ in islice(answer.rows, COUNTED_ROWS))
    if more < COUNTED_ROWS:
        return shown_of(shown, shown + more, "row")
    return f"{shown:,} of more than {COUNTED_ROWS:,} rows; all: --format jsonl"


def _cut(value: Cell) -> Cell:
    """No more of a text than may be shown: a cell can be large."""
    return value[: 100 * CELL_WIDTH] if isinstance(value, str) else value


def _text(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
