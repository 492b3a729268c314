"""Rows of a table as JSON Lines, CSV or Parquet, on the terminal or in a file. Knows nothing of what the rows mean."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from db.engine import batches
from models.arrow_columns import arrow_array
from models.files import whole_file
from tasks.terminal import EscapingStream

if TYPE_CHECKING:
    import pyarrow

    from db.read_only import Cell

Kind = Literal["int", "float", "str", "bool"]

ROWS_PER_BATCH = 500  # a group of rows of Parquet; with 1,000 the process held 2 MB more


class MixedColumnError(ValueError):
    """A column has values of several kinds, and the format takes one."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows to be read once, and the names of their columns.

    `kinds`: of the columns' values, which may be None beside. Without them Parquet finds the kinds out, and holds all
    rows in memory for it.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Cell, ...]]
    kinds: tuple[Kind, ...] | None = None


def check_output(format: str, output: Path | None) -> None:
    """Refuse a table for people in a file, and Parquet on a terminal.

    Raises:
        ValueError: If it is one of the two.
    """
    if (format in ("table", "record") and output is not None) or (format == "parquet" and output is None):
        raise ValueError(f"format {format} {'needs an' if output is None else 'takes no'} --output file")


def write_table(table: TableRows, format: str, output: Path | None) -> None:
    """Write the rows to a file, or to stdout; a file that was there is replaced only by a whole new one.

    Files, and what is piped, hold the texts as they are; on a terminal they are escaped.

    Raises:
        MixedColumnError: If Parquet is to find out a column's kind, and there are several.
    """
    if output is None:
        _write_lines(table, format, EscapingStream(sys.stdout) if sys.stdout.isatty() else sys.stdout)
        return
    with whole_file(output) as draft:
        if format == "parquet":
            _write_parquet(table, draft)
        else:
            with draft.open("w", encoding="utf-8", newline="") as file:
                _write_lines(table, format, file)


def _write_lines(table: TableRows, format: str, file: TextIO | EscapingStream) -> None:
    if format == "jsonl":
        for row in table.rows:
            file.write(json.dumps(dict(zip(table.columns, row, strict=True)), ensure_ascii=False) + "\n")
        return
    writer = csv.writer(file)
    writer.writerow(table.columns)
    writer.writerows(table.rows)


def _write_parquet(table: TableRows, path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    if table.kinds is None:
        parquet.write_table(_inferred(table), path)
        return
    types = {"int": pyarrow.int64(), "float": pyarrow.float64(), "str": pyarrow.string(), "bool": pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in zip(table.columns, table.kinds, strict=True)])
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in batches(table.rows, ROWS_PER_BATCH):
            typed_columns = zip(zip(*rows, strict=True), schema.types, strict=True)
            columns = [arrow_array(values, kind) for values, kind in typed_columns]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))


def _inferred(table: TableRows) -> pyarrow.Table:
    """The whole table: a column's type is known when its last value is."""
    import pyarrow

    try:
        parts = [
            pyarrow.table([pyarrow.array(column) for column in zip(*rows, strict=True)], names=table.columns)
            for rows in batches(table.rows, ROWS_PER_BATCH)
        ]
        empty = pyarrow.table({name: pyarrow.array([], pyarrow.null()) for name in table.columns})
        return pyarrow.concat_tables([empty, *parts], promote_options="permissive")
    except (pyarrow.ArrowTypeError, pyarrow.ArrowInvalid) as error:
        raise MixedColumnError(
            f"Parquet takes values of one kind in a column, CAST them or use jsonl: {error}"
        ) from error
