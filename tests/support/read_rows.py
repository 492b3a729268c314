"""Rows read in the format that is recognised, as tests want them."""

from __future__ import annotations

from typing import Any

from models.ingestion.formats import AS_THEY_ARE, Columns, SourceFormat, parse_row, recognised_format
from models.ingestion.rows import SourceRow
from models.records import ImportedRow, RejectedRow


def turn(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def imported(content: dict[str, Any], source_format: SourceFormat, columns: Columns = AS_THEY_ARE) -> ImportedRow:
    """The row, which is recognised as of this format and fits it."""
    assert recognised_format([columns.of(content)]) == source_format
    row = parse_row(SourceRow(7, content), source_format, columns)
    assert isinstance(row, ImportedRow), row
    return row


def refused(content: dict[str, Any], source_format: SourceFormat, columns: Columns = AS_THEY_ARE) -> str:
    """Why the row is not imported."""
    row = parse_row(SourceRow(7, content), source_format, columns)
    assert isinstance(row, RejectedRow), row
    return row.reason


def turns(row: ImportedRow) -> list[tuple[str, str]]:
    """The prompt, as pairs of role and text."""
    return [(message.role, message.content) for message in row.prompt.messages]


def dialogue(*said: tuple[str, str]) -> list[dict[str, object]]:
    return [turn(role, content) for role, content in said]
