"""The items of one JSON list, decoded one after the other from a stream that is never held whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from models.ingestion.limits import LARGEST_ROW, TOO_LARGE
from models.ingestion.rows import SourceError

_CHUNK = 2**18
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def list_items(stream: TextIO, path: Path) -> Iterator[object]:
    """Yield the items of the list the stream holds; nothing if the stream is blank or the list is empty.

    Raises:
        SourceError: the stream is no JSON list, an item is broken or larger than a row may be, or text follows the
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
            # reading as much again as is waiting keeps the work linear in the item's size; without an end to it a
            # broken item would be looked for to the end of the file, in memory
            waiting = len(buffer) - position
            more = stream.read(min(max(_CHUNK, waiting), LARGEST_ROW)) if waiting <= LARGEST_ROW else ""
            if not more:
                raise _broken(path, count + 1, is_large=waiting > LARGEST_ROW)
            buffer, position = buffer[position:] + more, 0
            continue
        start, (item, position, is_last) = position, next_item
        count += 1
        if position - start > LARGEST_ROW:
            raise _broken(path, count, is_large=True)
        yield item
    if buffer[position:].strip() or _next_text(stream):
        raise SourceError(f"{path}: text follows the list of {count} items; keep one list a file")


def _broken(path: Path, number: int, *, is_large: bool) -> SourceError:
    fault = f"broken or {TOO_LARGE}," if is_large else "broken"
    return SourceError(
        f"{path}: item {number} of the list is {fault} and hides the rest; mend it, or convert the file to .jsonl, "
        "where a bad line costs one row"
    )


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
