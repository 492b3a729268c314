"""The file of rows that an import refused, each with its reason."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from models.records import RejectedRow


class Rejects:
    """A rejects file, made at the first rejected row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, row: RejectedRow) -> None:
        """Add a row as one line of JSON."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
        self.count += 1
        self._file.write(json.dumps(asdict(row)) + "\n")
