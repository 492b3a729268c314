"""How much of a source is held at once: no more than the largest row, as far as the format lets us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import IO, AnyStr

LARGEST_ROW = 2**24  # bytes of a line, characters of a JSON item or a CSV row, bytes of a Parquet row once unpacked
TOO_LARGE = f"larger than {LARGEST_ROW // 2**20} MiB, the most that a row may take"
UNPACKED_AT_LEAST = 2**28  # bytes: so much may come out of any packed file
UNPACKED_TIMES = 100  # the packed size: what is packed further is no text that somebody wrote

_SKIPPED_PIECE = 2**16


def lines_within(stream: IO[AnyStr], ends: tuple[AnyStr, ...]) -> Iterator[tuple[AnyStr, bool]]:
    """Yield each line, and whether it is whole: of one that is too large its beginning, and the rest is passed over."""
    while line := stream.readline(LARGEST_ROW + 1):
        is_whole = len(line) <= LARGEST_ROW or line.endswith(ends)
        if not is_whole:
            _skip_line(stream, ends)
        yield line, is_whole


def is_too_large(content: object) -> bool:
    """Whether the texts and the values of a row that was read elsewhere are more than a row may take."""
    size = 0
    waiting = [content]
    while waiting and size <= LARGEST_ROW:
        value = waiting.pop()
        if isinstance(value, Sized):
            size += len(value)
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple) and size <= LARGEST_ROW:
            waiting.extend(value)
    return size > LARGEST_ROW


def _skip_line(stream: IO[AnyStr], ends: tuple[AnyStr, ...]) -> None:
    while piece := stream.readline(_SKIPPED_PIECE):
        if piece.endswith(ends):
            return
