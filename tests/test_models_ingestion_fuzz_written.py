"""Rows that are written to files in any way come back as they were: nothing misread, nothing dropped."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fuzzing import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_files import PACKINGS, WAYS, Rows, Way

from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError, SourceRow

MEMORY = Path("/dev/shm")  # a folder in memory, where there is one
PER_ROWS = 12  # files that the same rows are written to
names = st.sampled_from(["chosen", "rejected", "score", "Ünïcode", "a b", "1", "note, or not", "a;b", 'quo"te', "id"])
text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
odd = st.sampled_from(
    ["", " ", ",", ";", "\t", '"', '""', "\r\n", "\n", "a,b;c\td", "a;b;c", "1,500", "2,0", "2.0", "sep=;", "[1]", "{}",
     "[", "{'a': 1}", "null", "NaN", "=1+1", "'", "\ufeff", "\u2028", "\x0b", "\x1c", "\x85", "🙂", "#", "\\", "\\n"]
)  # fmt: skip
texts = odd | text
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=5
)
dialogues = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": texts}), min_size=1)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Rows, str]:
    """Rows with the same columns, the first of them `prompt`, and what their cells are.

    A list of messages in a table of texts stands there as Python writes it, as pandas does.
    """
    columns = ["prompt", *draw(st.lists(names, max_size=3, unique=True))]
    kind, cells = draw(st.sampled_from([("texts", texts), ("texts", texts), ("table", values), ("lists", dialogues)]))
    drawn = draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), min_size=1, max_size=4))
    return [dict(zip(columns, row, strict=True)) for row in drawn], kind


def written_and_read(folder: Path, rows: Rows, way: Way, packing: str) -> tuple[bytes, list[Any] | SourceError]:
    path = folder / f"rows{packing if packing == '.zip' else way.suffix + packing}"
    content = way.packed(rows, packing)
    path.write_bytes(content)
    try:
        return path.name.encode() + content, list(open_file(path).read())
    except SourceError as error:
        return path.name.encode() + content, error


def may_be_told(rows: Rows, way: Way, found: Exception) -> bool:
    """Refused are tables whose names hold another delimiter, one column in a .txt, one .json row of equal lists."""
    is_one_column = way.suffix == ".txt" and len(rows[0]) == 1 and "read as a table" in str(found)
    is_one_row = way.suffix == ".json" and len(rows) == 1 and "columns by their look" in str(found)
    return (
        is_one_column
        or is_one_row
        or (
            way.takes == "texts"
            and "may part its columns" in str(found)
            and any(sign in name for name in rows[0] for sign in ",;\t")
        )
    )


@pytest.mark.fuzz
def test_generated_files_hold_the_rows_that_were_written() -> None:
    seen: set[bytes] = set()
    told = 0
    packings = ["", *PACKINGS, ""]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:

        @settings(max_examples=round(0.13 * CASES), deadline=None, suppress_health_check=list(HealthCheck))
        @given(drawn=tables(), start=st.integers(0, len(WAYS) * len(packings) - 1))
        def each_way_gives_the_rows(drawn: tuple[Rows, str], start: int) -> None:
            nonlocal told
            rows, kind = drawn
            expected = [SourceRow(number, row) for number, row in enumerate(rows, start=1)]
            for place in range(start, start + PER_ROWS):
                way, packing = WAYS[place % len(WAYS)], packings[place % len(packings)]
                if way.takes == "texts" and kind == "table":
                    continue
                content, found = written_and_read(Path(directory), rows, way, packing)
                seen.add(hashlib.sha256(content).digest())
                if isinstance(found, SourceError):
                    assert may_be_told(rows, way, found), (way.suffix, rows, str(found))
                    told += 1
                else:
                    assert [row.content for row in found] == [row.content for row in expected], (way, content)

        each_way_gives_the_rows()
    assert len(seen) >= CASES and told < len(seen) / 20
