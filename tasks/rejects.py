"""The file of rows that an import refused, each with its reason; those that it has no room for are counted alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from models.files import rejects_file
from models.records import RejectedRow
from tasks.settings import Settings

MOST_REJECTS = 10_000  # in a file; of each what `RejectedRow` keeps
MOST_BYTES = 2**26  # of a file: a character may take twelve of them


def rejects_path(name: str, content_hash: str, settings: Settings) -> Path:
    """Where the rejected rows of a source go: a file for each name and content."""
    return rejects_file(settings.artifact_root, name, content_hash)


class Rejects:
    """A rejects file, made at the first rejected row.

    Attributes:
        count: all rejected rows.
        kept: of these the first, at most 10,000 and 64 MiB, which the file holds.
        path: the file, None until there is one.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path | None = None
        self.count = 0
        self.kept = 0
        self._room = MOST_BYTES
        self._place = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, row: RejectedRow) -> None:
        """Add a row as one line of JSON, unless the file is full."""
        if self._file is None:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            # Line by line: what is refused is on record before what is accepted is stored.
            self._file = self._place.open("w", encoding="utf-8", buffering=1)
            self.path = self._place
        self.count += 1
        line = json.dumps(asdict(row)) + "\n"  # ASCII: as many bytes as characters
        self._room -= len(line)
        if self.count <= MOST_REJECTS and self._room >= 0:
            self._file.write(line)
            self.kept += 1
