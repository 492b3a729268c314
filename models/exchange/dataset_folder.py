"""A snapshot as the folder that a hub shows: rows by split, what they are, the card; and back to the same content hash.

Test splits lie in a file of their own, so that nobody trains on them by loading `train`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from models.exchange import PreferenceRow
from models.exchange.card import CARD_NAME, SnapshotFacts, card, is_card, shown_model
from models.exchange.trainers import content_hash, unfit, write_preferences
from models.files import whole_file
from models.records import Message, Prompt, Role, shortened
from models.splits import is_test_split

FACTS_NAME = "antipode.json"
FILES: Mapping[str, str] = {"train": "data/train.parquet", "test": "data/test.parquet"}
_FORM = 1  # of the folder, for programs that come later
_LARGEST_FACTS = 2**20  # bytes
_TEXT_COLUMNS = {"prompt", "chosen", "rejected"}
_ROLES = get_args(Role)


class DatasetFolderError(ValueError):
    """A folder is no snapshot, or not the one it says it is."""


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What a folder says of itself."""

    name: str
    content_hash: str
    row_count: int
    metadata: dict[str, Any]


def write_card(facts: SnapshotFacts, folder: Path, *, has_rows: Callable[[str], bool]) -> Path:
    """Write the card into a folder, which is made if need be; `has_rows`: whether a split does."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {split: path for split, path in FILES.items() if has_rows(split)}
    with whole_file(folder / CARD_NAME) as draft:
        draft.write_text(card(facts, files), encoding="utf-8")
    return folder / CARD_NAME


def require_card_place(folder: Path) -> None:
    """Refuse to put a card where no folder can be, or in the place of another README.md.

    Raises:
        FileExistsError: It would be.
    """
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    if there.exists() and not there.is_dir():
        raise FileExistsError(f"{there} is a file; name a folder for the card")
    place = folder / CARD_NAME
    if place.exists() and not is_card(place.read_text("utf-8", errors="replace")):
        raise FileExistsError(f"{place} is there and no card of a snapshot; name another folder for the card")


def write_folder(rows: Callable[[], Iterable[PreferenceRow]], facts: SnapshotFacts, folder: Path) -> dict[str, Path]:
    """Write a snapshot; the same one gives the same bytes.

    Args:
        rows: Gives its rows, anew each time.
        facts: What the card says.
        folder: An empty folder.

    Returns:
        The files by the names they have in the repository.
    """
    metadata = {
        "form": _FORM,
        "name": facts.name,
        "content_hash": facts.content_hash,
        "row_count": facts.row_count,
        "query": dict(facts.query),
    }
    (folder / "data").mkdir(parents=True)
    written = {}
    for split, name in FILES.items():
        if _has_rows(facts, split):
            of_split = (_shown(row) for row in rows() if file_split(row.split) == split)
            write_preferences(
                of_split, folder / name, format="parquet", shape="conversational", metadata=lambda: metadata
            )
            written[name] = folder / name
    (folder / FACTS_NAME).write_text(json.dumps(metadata, ensure_ascii=False, indent=1, sort_keys=True) + "\n", "utf-8")
    write_card(facts, folder, has_rows=lambda split: _has_rows(facts, split))
    return written | {name: folder / name for name in (FACTS_NAME, CARD_NAME)}


def file_split(split: str | None) -> Literal["train", "test"]:
    """The file that a row of a split of its source lies in."""
    return "test" if split is not None and is_test_split(split) else "train"


def read_facts(folder: Path) -> FolderFacts:
    """What a folder says of itself.

    Raises:
        DatasetFolderError: It says nothing, or nothing that can be read.
    """
    path = folder / FACTS_NAME
    if not path.is_file() or path.stat().st_size > _LARGEST_FACTS:
        raise DatasetFolderError(f"it has no {FACTS_NAME} of a snapshot; antipode import reads other data sets")
    try:
        metadata = json.loads(path.read_text("utf-8"))
        facts = FolderFacts(str(metadata["name"]), str(metadata["content_hash"]), int(metadata["row_count"]), metadata)
        form = metadata["form"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DatasetFolderError(f"its {FACTS_NAME} cannot be read ({shortened(str(error), 100)})") from error
    if form != _FORM:
        raise DatasetFolderError(f"it is of form {form!r}, this version reads {_FORM}; take a newer Antipode")
    return facts


def read_rows(folder: Path) -> Iterator[PreferenceRow]:
    """Stream the rows of a folder's files.

    Raises:
        DatasetFolderError: A file is no such Parquet file, or a row is none a trainer could learn from.
    """
    for name in FILES.values():
        path = folder / name
        if path.is_file():
            yield from _rows_of(path, name)


def check_folder(folder: Path, facts: FolderFacts) -> None:
    """Refuse a folder whose rows are not those it speaks of.

    Raises:
        DatasetFolderError: It is.
    """
    count = 0

    def counted() -> Iterator[PreferenceRow]:
        nonlocal count
        for row in read_rows(folder):
            count += 1
            yield row

    found = content_hash(counted())
    if (found, count) != (facts.content_hash, facts.row_count):
        raise DatasetFolderError(
            f"its {count:,} rows have the content hash {shortened(found, 12)}, it should be {facts.row_count:,} with "
            f"{shortened(facts.content_hash, 12)}: it was changed or is not whole; nothing is written"
        )


def _shown(row: PreferenceRow) -> PreferenceRow:
    """The row as it may leave this machine: no model's name says where it lay."""
    chosen, rejected = row.chosen_model, row.rejected_model
    return row._replace(chosen_model=chosen and shown_model(chosen), rejected_model=rejected and shown_model(rejected))


def _has_rows(facts: SnapshotFacts, file: str) -> bool:
    return any(file_split(split) == file for split, count in facts.splits.items() if count)


def _rows_of(path: Path, name: str) -> Iterator[PreferenceRow]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield _row(record)
    except (pyarrow.ArrowException, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = shortened(str(error) or type(error).__name__, 150)
        raise DatasetFolderError(f"{name}, row {number}: {reason}; it was changed or is not whole") from error


def _row(record: Mapping[str, Any]) -> PreferenceRow:
    """A record of the conversational shape; columns of other versions are passed over, or have their default."""
    values = {
        name: record[name]
        for name in PreferenceRow._fields
        if name not in _TEXT_COLUMNS and (name in record or name not in PreferenceRow._field_defaults)
    }
    row = PreferenceRow(
        prompt=Prompt(tuple(_message(message) for message in record["prompt"])),
        chosen=_answer(record["chosen"]),
        rejected=_answer(record["rejected"]),
        **values | {"strategies": tuple(record["strategies"])},
    )
    if (reason := unfit(row)) is not None:
        raise ValueError(reason)
    return row


def _message(message: Mapping[str, Any]) -> Message:
    if message["role"] not in _ROLES or not isinstance(message["content"], str):
        raise ValueError(f"a message needs one of the roles {', '.join(_ROLES)} and a text, got {message!r}")
    return Message(message["role"], message["content"])


def _answer(messages: Any) -> str:
    (message,) = messages
    if message["role"] != "assistant":
        raise ValueError(f"a response is the assistant's, got one of {message['role']!r}")
    return _message(message).content
