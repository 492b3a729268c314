"""What a reader yields: one row as the source has it, or the problem that kept it from being read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.records import REJECTED_TEXT, FolderFile, RejectedRow

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


class SourceError(ValueError):
    """A source cannot be read at all, or not to its end. The message is one line for the user and says what to do."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as it was read, not yet checked. `row_number` counts from 1 (the line, for JSON Lines)."""

    row_number: int
    content: object
    split: str | None = None


SourceRecord = SourceRow | RejectedRow


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was found. Every call of `read` starts again at the first row; rows are streamed.

    Attributes:
        part: what of the source is read, where it holds more: a file in a zip, the list under a key. For the user.
        files: of a folder of data files each file, whether it is read or not.
    """

    name: str
    content_hash: str
    read: Callable[[], Iterator[SourceRecord]]
    part: str | None = None
    files: tuple[FolderFile, ...] = ()


def rejected(row: SourceRow, reason: str) -> RejectedRow:
    """Set a row aside with its content as JSON, so that it can be mended and imported again."""
    return RejectedRow(row.row_number, reason, _as_json(row.content))


def encodable(text: str) -> str:
    r"""The text with lone surrogates written as `\udc80`, so that any file can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _as_json(content: object) -> str:
    """As much of the content as a rejected row keeps, and a piece more, for it to be seen as cut."""
    text = ""
    try:
        for piece in _ENCODER.iterencode(content):
            text += piece
            if len(text) > REJECTED_TEXT:
                break
    except RecursionError:
        return "(nested too deeply to be written)"
    return encodable(text)
