"""Any bytes and any nearly right rows: every reader answers with rows, rejected rows or its one error."""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pyarrow
from fuzzing import fuzz
from hostile_texts import HOSTILE, RAW_CONTROL
from hypothesis import strategies as st
from pyarrow import parquet
from written_files import PACKINGS

from models.exchange.label_files import LabelFormat, read_labels
from models.files import file_name
from models.ingestion.formats import SOURCE_FORMATS, SourceFormat
from models.ingestion.rows import SourceError
from models.ingestion.source import read_source
from models.protocols.question_files import read_questions
from models.records import MAX_ID, REJECTED_TEXT, RejectedRow
from tasks.terminal import printable

KEYS = (
    "prompt", "instruction", "input", "text", "question", "responses", "messages", "conversations", "chosen",
    "rejected", "history", "human_ref_A", "human_ref_B", "labels", "score_A", "completions", "response", "reference",
    "score_chosen", "role", "content", "from", "value", "model", "score", "pair_id", "left_response_id",
    "right_response_id", "verdict", "annotator", "seconds", "rationale", "data", "annotations", "result", "id", "type",
    "fields", "metadata", "user_id", "preference", "status", "_server_id", "preference.responses", "turns",
    "preference.responses.users", "question_id", "uid", "category", "cluster", "completed_by", "was_cancelled",
    "choices", "selected", "from_name", "strength", "judged_at", "ranking", "annotation_id", "updated_at", "ranker",
    "system", "context", "tools", "tool_calls", "reasoning_content", "label", "kto_tag", "rating", "ratings",
    "helpfulness", "answers", "generations", "rank", "ranks", "response_0", "response_1", "response_2", "winner",
    "better_response_id", "safer_response_id", "overall_preference", "preference_strength", "conversation_a",
    "conversation_b", "model_a", "rejected_response", "chosen_score", "message_id", "parent_id", "replies", "deleted",
    "overall_score", "fine-grained_score", "thinking",
)  # fmt: skip
ODD = (
    "", " ", "user", "assistant", "system", "human", "gpt", "first", "left", "tie", "skip", "submitted", "discarded",
    "\n\nHuman: a\n\nAssistant: b", "[", "[1]", '[{"role": "user", "content": "a"}]', "9" * 30, "1e400", "nan", "-1",
    "A>>B", "-3", "slightly", "2026-01-01", "[1, [2]]",
    "\x00", "\ud800", "１", *HOSTILE, *KEYS[:4],
)  # fmt: skip
NUMBERS = (0, 1, 2, -1, MAX_ID, MAX_ID + 1, 10**30, 0.5, 1e308, math.inf, -math.inf, math.nan, True, False, None)
leaves = st.sampled_from(ODD) | st.sampled_from(NUMBERS) | st.text(max_size=5)
keys = st.sampled_from(KEYS)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=9
)
rows = st.lists(st.dictionaries(keys, values, max_size=6) | values, max_size=5)
KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
suffixes = st.sampled_from(KINDS) | st.tuples(st.sampled_from(KINDS), st.sampled_from(list(PACKINGS))).map("".join)
encodings = st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
# Where bytes are changed, taken out and put in: (place, bytes) in a file of any length.
pieces = st.sampled_from([b"", b"\xff", b"\x00", b'"', b"\\", b"[", b"{", b"\r", b"\n", b",", b"9"])
changes = st.lists(st.tuples(st.floats(0, 1), pieces), max_size=4)


def rows_of(path: Path, format: SourceFormat | None) -> Iterable[Any]:
    return read_source(str(path), format=format, split=None, limit=None)


READERS: list[Callable[[Path], Iterable[Any]]] = [
    *(partial(rows_of, format=format) for format in (None, *SOURCE_FORMATS)),
    *(partial(read_labels, format=format) for format in (None, *get_args(LabelFormat))),
    *[read_questions] * 4,
]


def jsonl(content: list[Any]) -> bytes:
    return "\n".join(json.dumps(row) for row in content).encode()


def csv(content: list[Any]) -> bytes:
    tables = [row for row in content if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in tables for name in row))
    cells = [[row.get(name, "") for name in names] for row in tables]
    texts = [[json.dumps(cell) if isinstance(cell, list | dict) else str(cell) for cell in line] for line in cells]
    quoted = [",".join('"' + text.replace('"', '""') + '"' for text in line) for line in [names, *texts]]
    return "\n".join(quoted).encode("utf-8", "surrogatepass")


def table(content: list[Any]) -> bytes:
    sink = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_pylist([row for row in content if isinstance(row, dict)]), sink)
    except (pyarrow.ArrowException, OverflowError, UnicodeError, TypeError):
        return b"PAR1"
    return sink.getvalue()


def by_column(content: list[Any]) -> bytes:
    """An object of objects or lists, as pandas and others write tables, or one under a key."""
    tables = [row for row in content if isinstance(row, dict)]
    if len(tables) % 2:
        return json.dumps({"data": content, "version": 1}).encode()
    return json.dumps({str(place): row for place, row in enumerate(tables)}).encode()


WRITERS: dict[str, Callable[[list[Any]], bytes]] = {
    ".jsonl": jsonl,
    ".ndjson": jsonl,
    ".tsv": lambda content: csv(content).replace(b'","', b'"\t"'),
    ".txt": lambda content: b"sep=;\n" + csv(content).replace(b'","', b'";"'),
    ".json": lambda content: by_column(content) if len(content) > 2 else json.dumps(content).encode(),
    ".csv": csv,
    ".parquet": table,
}


def changed(content: bytes, edits: list[tuple[float, bytes]]) -> bytes:
    for place, piece in edits:
        at = int(place * len(content))
        content = content[:at] + piece + content[at + 1 :]
    return content


def check(read: Callable[[], list[Any]]) -> None:
    try:
        records = read()
    except SourceError as error:
        assert str(error) and not RAW_CONTROL.search(printable(str(error)))
        return
    for record in records:
        if isinstance(record, RejectedRow):
            assert record.reason and max(len(record.reason), len(record.content)) <= REJECTED_TEXT
            (record.reason + record.content).encode()


@fuzz(0.1, content=rows, suffix=suffixes, encoding=encodings, edits=changes, reader=st.sampled_from(READERS))
def test_any_file_gives_rows_or_reasons(
    content: list[Any],
    suffix: str,
    encoding: str,
    edits: list[tuple[float, bytes]],
    reader: Callable[[Path], Iterable[Any]],
) -> None:
    written = changed(WRITERS["." + suffix.split(".")[1]](content), edits)
    kind, _, packing = suffix[1:].partition(".")
    if encoding != "utf-8" and kind != "parquet":
        written = written.decode("utf-8", "ignore").encode(encoding, "ignore")
    packed = PACKINGS[f".{packing}"](written, f".{kind}") if packing else written
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"rows{'.zip' if packing == 'zip' else suffix}")
        path.write_bytes(changed(packed, edits[:1]) if len(edits) > 3 else packed)
        check(lambda: list(reader(path)))
        assert [one.name for one in Path(folder).iterdir()] == [path.name]


names = st.text(max_size=40) | st.text(st.sampled_from("./\\ aA\x00\n\ud800\u202eé:-"), max_size=300)


@fuzz(0.28, name=names)
def test_any_name_stays_in_its_folder_and_any_text_is_printable(name: str) -> None:
    safe = file_name(name)
    assert safe and "/" not in safe and safe[0] not in ".-" and len(safe.encode()) < 140
    assert Path("/folder", f"{safe}.jsonl").parent == Path("/folder")
    assert not RAW_CONTROL.search(printable(name)) and printable(printable(name)) == printable(name)
