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


class BrokenValueError(ValueError):
    """The next value is no JSON, or larger than a row may be; the message says which."""


class JsonText:
    """A JSON text read value by value, of which no more than the largest row is held.

    Attributes:
        line_count: line ends that lie before the place that was read to.
        read_count: characters that were taken from the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._buffer = ""
        self._position = 0
        self.line_count = 0
        self.read_count = 0

    def sign(self) -> str:
        """The next character that is not blank, which stays the next; empty at the end."""
        while True:
            self._move(_space_end(self._buffer, self._position))
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            self._buffer, self._position = self._read(_CHUNK), 0
            if not self._buffer:
                return ""

    def skip(self) -> None:
        """Pass over the sign."""
        self._move(self._position + 1)

    def value(self, ends: str) -> object:
        """Read the next value; the sign behind it, one of `ends`, is then the next.

        A value counts only once that sign is in sight: the buffer may end within a number (`12` of `12.5`).

        Raises:
            BrokenValueError: there is none.
        """
        while True:
            found = self._decoded(ends)
            waiting = len(self._buffer) - self._position
            if found is not None:
                value, end = found
                if end - self._position > LARGEST_ROW:
                    raise BrokenValueError(f"broken or {TOO_LARGE},")
                self._move(end)
                return value
            # reading as much again as is waiting keeps the work linear in the value's size; without an end to it a
            # broken value would be looked for to the end of the file, in memory
            more = self._read(min(max(_CHUNK, waiting), LARGEST_ROW)) if waiting <= LARGEST_ROW else ""
            if not more:
                raise BrokenValueError(f"broken or {TOO_LARGE}," if waiting > LARGEST_ROW else "broken")
            self._buffer, self._position = self._buffer[self._position :] + more, 0

    def items(self) -> Iterator[object]:
        """Read the list whose `[` is the next sign, item by item, and its `]`.

        Raises:
            BrokenValueError: an item is none; those before it have been yielded.
        """
        self.sign()
        self.skip()
        if self.sign() == "]":
            self.skip()
            return
        is_last = False
        while not is_last:
            item = self.value(",]")
            is_last = self.sign() == "]"
            self.skip()
            yield item

    def _decoded(self, ends: str) -> tuple[object, int] | None:
        """The value at the position, and the position of the sign behind it; None if it is broken or not complete."""
        try:
            value, end = _DECODER.raw_decode(self._buffer, _space_end(self._buffer, self._position))
        except (ValueError, RecursionError):
            return None
        end = _space_end(self._buffer, end)
        is_ended = end < len(self._buffer) and self._buffer[end] in ends
        return (value, end) if is_ended else None

    def _read(self, size: int) -> str:
        text = self._stream.read(size)
        self.read_count += len(text)
        return text

    def _move(self, position: int) -> None:
        self.line_count += self._buffer.count("\n", self._position, position)
        self._position = position


def list_items(stream: TextIO, path: Path) -> Iterator[object]:
    """Yield the items of the list the stream holds; nothing if the stream is blank or the list is empty.

    Raises:
        SourceError: the stream is no JSON list, an item is broken or larger than a row may be, or text follows the
            list. Items before the fault have been yielded.
        UnicodeDecodeError: the stream is no text.
    """
    text = JsonText(stream)
    sign = text.sign()
    if not sign:
        return
    if sign != "[":
        raise SourceError(f"{path}: expected a JSON list, it starts with {sign!r}; check that it is the right file")
    count = 0
    try:
        for item in text.items():
            count += 1
            yield item
    except BrokenValueError as error:
        raise broken_item(path, count + 1, "the list", error) from error
    if text.sign():
        raise SourceError(f"{path}: text follows the list of {count} items; keep one list a file")


def broken_item(path: Path, number: int, of: str, error: BrokenValueError) -> SourceError:
    """What is said of an item that hides those behind it."""
    return SourceError(
        f"{path}: item {number} of {of} is {error} and hides the rest; mend it, or convert the file to .jsonl, where a "
        "bad line costs one row"
    )


def _space_end(buffer: str, position: int) -> int:
    match = _SPACE.match(buffer, position)
    return match.end() if match else position
