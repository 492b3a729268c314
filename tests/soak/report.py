"""The report of a soak."""

from __future__ import annotations

from pathlib import Path

from tests.soak.trials import Tally


def write_report(folder: Path, tallies: list[Tally]) -> None:
    """Later."""
