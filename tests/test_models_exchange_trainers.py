"""Preferences for trainers: TRL's columns, three file formats, one content hash, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from models.exchange import PreferenceRow
from models.exchange.shapes.table import TrainerShape
from models.exchange.trainers import TrainerFormat, as_record, content_hash, write_preferences
from models.records import Message, Prompt

FORMATS: tuple[TrainerFormat, ...] = ("jsonl", "parquet", "datasets")
SHAPES: tuple[TrainerShape, ...] = ("standard", "conversational")
DIALOGUE = Prompt((Message("system", "Be brief."), Message("user", "Name a colour.")))
METADATA = {"snapshot_id": 3, "content_hash": "ab", "query": {"strategies": ["easy", "härd"]}}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


def row(number: int = 1, **changes: Any) -> PreferenceRow:
    values: dict[str, Any] = {
        "prompt": DIALOGUE,
        "chosen": f"Blue {number}.",
        "rejected": "A stone.",
        "prompt_id": number,
        "chosen_response_id": 2 * number,
        "rejected_response_id": 2 * number - 1,
        "chosen_model": "demo",
        "rejected_model": None,
        "run_id": 7,
        "strategies": ("easy", "random"),
        "similarity": 0.25,
        "rule": "majority",
        "support": 0.75,
        "vote_count": 4,
        "strength": 0.5,
        "split": None,
    }
    return PreferenceRow(**(values | changes))


def files_of(path: Path) -> dict[str, bytes]:
    paths = sorted(path.rglob("*")) if path.is_dir() else sorted(path.parent.glob(f"{path.name}*"))
    root = path if path.is_dir() else path.parent
    return {str(one.relative_to(root)): one.read_bytes() for one in paths if one.is_file()}


def loaded(path: Path, format: TrainerFormat) -> list[dict[str, Any]]:
    if format == "datasets":
        return list(load_from_disk(str(path)))
    builder = {"jsonl": "json", "parquet": "parquet"}[format]
    return list(load_dataset(builder, data_files=str(path), split="train", cache_dir=str(path.parent / "cache")))


def test_a_standard_record_is_three_texts_and_where_they_come_from() -> None:
    assert as_record(row(), "standard") == {
        "prompt": "System: Be brief.\n\nUser: Name a colour.",
        "chosen": "Blue 1.",
        "rejected": "A stone.",
        "prompt_id": 1,
        "chosen_response_id": 2,
        "rejected_response_id": 1,
        "chosen_model": "demo",
        "rejected_model": None,
        "run_id": 7,
        "similarity": 0.25,
        "rule": "majority",
        "support": 0.75,
        "vote_count": 4,
        "strength": 0.5,
        "split": None,
        "is_chosen_cut": False,
        "is_rejected_cut": False,
        "strategies": ["easy", "random"],
    }


def test_a_conversational_record_has_the_prompts_turns_and_one_answer_on_each_side() -> None:
    record = as_record(row(), "conversational")
    assert record["prompt"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Name a colour."},
    ]
    assert record["chosen"] == [{"role": "assistant", "content": "Blue 1."}]
    assert record["rejected"] == [{"role": "assistant", "content": "A stone."}]
    assert record.keys() == as_record(row(), "standard").keys()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chosen": "same", "rejected": "same"}, "same text"),
        ({"chosen": ""}, "chosen response is empty"),
        ({"rejected": " \n"}, "rejected response is empty"),
        ({"prompt": Prompt((Message("user", "Hi"), Message("assistant", "Hi.")))}, "last turn.*'assistant'"),
        ({"prompt": Prompt(())}, "last turn.*'no turn'"),
    ],
)
def test_a_row_that_teaches_nothing_is_refused_with_its_ids(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=rf"prompt 41, chosen response 82, rejected response 81: .*{reason}"):
        as_record(row(41, **changes), "standard")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_what_is_loaded(tmp_path: Path, format: TrainerFormat, shape: TrainerShape) -> None:
    rows = [
        row(1, chosen='Line one\nline two "quoted", ünïcode \u2028 🎨', split="test", run_id=2**62),
        *(row(number, similarity=None, run_id=None, strategies=()) for number in range(2, 1100)),  # two batches
    ]
    path = tmp_path / "preferences"
    assert write_preferences(iter(rows), path, format=format, shape=shape, metadata=lambda: METADATA) == len(rows)
    assert loaded(path, format) == [as_record(one, shape) for one in rows]


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_data_set_is_written_too(tmp_path: Path, format: TrainerFormat) -> None:
    path = tmp_path / "none"
    assert write_preferences([], path, format=format, shape="standard", metadata=dict) == 0
    # `load_dataset` refuses files without rows
    if format == "jsonl":
        assert path.read_bytes() == b""
    elif format == "parquet":
        assert parquet.read_table(path).to_pylist() == []
    else:
        assert loaded(path, format) == []


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, format: TrainerFormat) -> None:
    written = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "preferences"
        write_preferences(
            map(row, range(1, 1500)), path, format=format, shape="conversational", metadata=lambda: METADATA
        )
        written.append(files_of(path))
    assert written[0] == written[1]
    assert sum(map(len, written[0].values())) > 10_000


def test_the_metadata_lies_beside_the_rows(tmp_path: Path) -> None:
    for format in FORMATS:
        write_preferences([row()], tmp_path / format, format=format, shape="standard", metadata=lambda: METADATA)
    assert json.loads((tmp_path / "jsonl.meta.json").read_text()) == METADATA
    assert json.loads(parquet.read_schema(tmp_path / "parquet").metadata[b"antipode"]) == METADATA
    assert json.loads((tmp_path / "datasets" / "meta.json").read_text()) == METADATA
    assert json.loads(load_from_disk(str(tmp_path / "datasets")).info.description) == METADATA


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_leaves_what_was_there_and_nothing_half_written(tmp_path: Path, format: TrainerFormat) -> None:
    path = tmp_path / "preferences"
    write_preferences([row()], path, format=format, shape="standard", metadata=lambda: METADATA)
    before = {str(one): one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    spoilt = [*(row(number) for number in range(1, 1200)), row(1200, chosen="", rejected="x")]
    with pytest.raises(ValueError, match="prompt 1200"):
        write_preferences(spoilt, path, format=format, shape="standard", metadata=dict)
    assert {str(one): one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()} == before


@pytest.mark.parametrize("format", FORMATS)
def test_an_earlier_export_is_replaced(tmp_path: Path, format: TrainerFormat) -> None:
    path = tmp_path / "preferences"
    for rows in ([row(1), row(2)], [row(3)]):
        write_preferences(rows, path, format=format, shape="standard", metadata=dict)
    assert [record["prompt_id"] for record in loaded(path, format)] == [3]


def test_a_folder_that_is_no_data_set_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")
    for format in FORMATS:
        with pytest.raises(FileExistsError, match="photos is a folder, but no data set"):
            write_preferences([row()], tmp_path / "photos", format=format, shape="standard", metadata=dict)
    assert [one.name for one in tmp_path.rglob("*")] == ["photos", "one.jpg"]


def test_rows_are_read_while_they_are_written(tmp_path: Path) -> None:
    sizes = []

    def rows() -> Iterator[PreferenceRow]:
        for number in range(1, 5000):
            unfinished = [one.stat().st_size for one in tmp_path.glob(".*") if not one.name.endswith(".meta.json")]
            sizes.append(max(unfinished, default=0))
            yield row(number)

    for format in ("jsonl", "parquet"):
        sizes.clear()
        write_preferences(rows(), tmp_path / format, format=format, shape="standard", metadata=dict)  # type: ignore[arg-type]
        assert sizes[-1] > sizes[0] + 1000


def test_the_content_hash_is_that_of_the_sorted_rows() -> None:
    def digest(data: str | bytes) -> bytes:
        return hashlib.sha256(data.encode() if isinstance(data, str) else data).digest()

    turns = '[["system","Be brief."],["user","Name a colour."]]'
    parts = [digest(f'[{turns},"Blue {number}.","A stone."]') for number in (1, 2)]
    assert content_hash([row(1), row(2)]) == digest(b"".join(sorted(parts))).hex()
    assert content_hash([]) == hashlib.sha256().hexdigest()


@settings(max_examples=50)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=6), st.randoms(use_true_random=False))
def test_the_content_hash_knows_texts_but_neither_ids_nor_order(texts: list[tuple[str, str, str]], random: Any) -> None:
    rows = [row(7, prompt=Prompt.from_text(p), chosen=c, rejected=r) for p, c, r in texts]
    elsewhere = [
        one._replace(prompt_id=n, chosen_response_id=n, rule="other", run_id=None, split="x", strategies=())
        for n, one in enumerate(rows)
    ]
    random.shuffle(elsewhere)
    assert content_hash(iter(elsewhere)) == content_hash(rows)
    assert content_hash([*rows, row()]) != content_hash(rows)
    if rows:
        assert content_hash([*rows, rows[0]]) != content_hash(rows)


def test_the_content_hash_changes_with_the_side_and_the_role() -> None:
    other_role = Prompt((Message("user", "Be brief."), Message("user", "Name a colour.")))
    rows = [
        row(),
        row(chosen="A stone.", rejected="Blue 1."),
        row(prompt=other_role),
        row(prompt=Prompt.from_text("x")),
    ]
    assert len({content_hash([one]) for one in rows}) == len(rows)
