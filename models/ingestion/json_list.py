"""The items of one JSON list, decoded one after the other from a stream that is never held whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from models.ingestion.rows import SourceError

_CHUNK = 2**18
_LARGEST_ITEM = 2**26  # characters; without it a broken item would be looked for to the end of the file, in memory
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def list_items(stream: TextIO, path: Path) -> Iterator[object]:
    """Yield the items of the list the stream holds; nothing if the stream is blank or the list is empty.

    Raises:
        SourceError: the stream is no JSON list, an item is broken or larger than 64 Mi characters, or text follows the
            list. Items before the fault have been yielded.
    """
    try:
        yield from _items(stream, path)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from error


def _items(stream: TextIO, path: Path) -> Iterator[object]:
    buffer = _next_text(stream)
    if not buffer:
        return
    if not buffer.startswith("["):
        raise SourceError(
            f"{path}: expected a JSON list, it starts with {buffer[0]!r}; if it holds one object a line, name it .jsonl"
        )
    position, count, is_last = 1, 0, False
    while not is_last:
        if count == 0 and buffer.startswith("]", _space_end(buffer, position)):
            position = _space_end(buffer, position) + 1
            break
        next_item = _next_item(buffer, position)
        if next_item is None:
            # reading as much again as is waiting keeps the work linear in the item's size
            more = stream.read(max(_CHUNK, len(buffer) - position)) if len(buffer) - position < _LARGEST_ITEM else ""
            if not more:
                raise SourceError(
                    f"{path}: item {count + 1} of the list is broken and hides the rest; mend it, or convert the file "
                    "to .jsonl, where a broken line costs one row"
                )
            buffer, position = buffer[position:] + more, 0
            continue
        item, position, is_last = next_item
        count += 1
        yield item
    if buffer[position:].strip() or _next_text(stream):
        raise SourceError(f"{path}: text follows the list of {count} items; keep one list a file")


def _next_text(stream: TextIO) -> str:
    """The next piece of the stream that is not blank, without the blanks before it; empty at the stream's end."""
    while piece := stream.read(_CHUNK):
        if piece.lstrip():
            return piece.lstrip()
    return ""


def _next_item(buffer: str, position: int) -> tuple[object, int, bool] | None:
    """The item at `position`, the position behind its comma or bracket, and whether it is the last.

    None if the item is broken or not complete. An item counts only once its comma or closing bracket is in sight: the
    buffer may end within a number (`12` of `12.5`).
    """
    try:
        item, end = _DECODER.raw_decode(buffer, _space_end(buffer, position))
    except (ValueError, RecursionError):
        return None
    end = _space_end(buffer, end)
    if buffer[end : end + 1] not in (",", "]"):  # also "" where the buffer ends
        return None
    return item, end + 1, buffer[end] == "]"


def _space_end(buffer: str, position: int) -> int:
    match = _SPACE.match(buffer, position)
    return match.end() if match else position
