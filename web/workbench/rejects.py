"""The file of rows that an import refused, as far as a page shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from models.files import rejects_file
from models.records import RejectedRow

SHOWN = 20
MOST_READ = 2**20  # bytes that are counted for a list


@dataclass(frozen=True, slots=True)
class Rejects:
    """Of the refused rows how many a file holds, as far as it was read, and the first ones."""

    count: int
    has_more: bool
    first: list[RejectedRow]
    path: Path | None


def rejects_of(artifacts: Path | None, name: str, content_hash: str) -> Rejects:
    """What was refused of a source, by its name and content; nothing where there is no file of it here."""
    path = None if artifacts is None else rejects_file(artifacts, name, content_hash)
    if path is None or not path.is_file():
        return Rejects(0, False, [], None)
    with path.open("rb") as file:
        read = file.read(MOST_READ)
        has_more = bool(file.read(1))
    first = [RejectedRow(**json.loads(line)) for line in islice(_whole(read), SHOWN)]
    return Rejects(read.count(b"\n"), has_more, first, path)


def _whole(read: bytes) -> list[bytes]:
    """The lines that end: what an import that was killed was writing does not."""
    return read.split(b"\n")[:-1]
