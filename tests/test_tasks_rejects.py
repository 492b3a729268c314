"""The rejects file: bounded, however many rows an import refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.terminal.tables import rejected_line
from models.records import REJECTED_TEXT, RejectedRow
from tasks.rejects import MOST_BYTES, MOST_REJECTS, Rejects, rejects_path
from tasks.settings import Settings


def test_rows_beyond_those_that_the_file_holds_are_counted_and_the_user_is_told(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rejects" / "rows.jsonl") as rejects:
        assert rejects.path is None
        for number in range(1, MOST_REJECTS + 3):
            rejects.write(RejectedRow(number, "why", "x" * 10**4))
    assert rejects.path is not None and rejects.count == MOST_REJECTS + 2
    rows = [json.loads(line) for line in rejects.path.open()]
    assert len(rows) == MOST_REJECTS and len(rows[0]["content"]) == REJECTED_TEXT
    told = "10,002 rows rejected, the first 10,000 of them with their reasons in "
    assert rejected_line("rejected", rejects.count, rejects.kept, rejects.path).startswith(told)
    assert rejected_line("refused", 3, 3, Path("x")) == "3 rows refused, with their reasons in x"


def test_a_file_of_rejects_takes_no_more_than_64_mib_and_the_user_is_told(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rows.jsonl") as rejects:
        for number in range(1, 3_001):
            rejects.write(RejectedRow(number, "🙂" * REJECTED_TEXT, "🙂" * REJECTED_TEXT))
    assert rejects.path is not None and rejects.count == 3_000
    assert MOST_BYTES - 50_000 < rejects.path.stat().st_size <= MOST_BYTES
    assert len(rejects.path.read_text().splitlines()) == rejects.kept < 2_000
    told = rejected_line("rejected", rejects.count, rejects.kept, rejects.path)
    assert told.startswith(f"3,000 rows rejected, the first {rejects.kept:,} of them with their reasons in ")


@pytest.mark.parametrize("name", ["../../../escape", "/tmp/escape", "..", "a/b", "", "CON", "a\nb\x1b", "x" * 300])
def test_no_name_of_a_source_leads_out_of_the_folder_of_rejects(tmp_path: Path, name: str) -> None:
    settings = Settings(artifact_root=tmp_path)
    with Rejects(rejects_path(name, "0" * 64, settings)) as rejects:
        rejects.write(RejectedRow(1, "why", "x"))
    assert rejects.path is not None and rejects.path.resolve().parent == tmp_path.resolve() / "rejects"
    assert [path.name for path in tmp_path.iterdir()] == ["rejects"]
