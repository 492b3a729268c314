"""Preferences as files that trainers load: TRL's columns in JSON Lines, Parquet or a directory of `datasets`.

A row that no trainer could learn from is refused here. Which preferences leave is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.exchange import PreferenceRow
from models.files import whole_file, whole_folder
from models.records import content_key

if TYPE_CHECKING:
    import pyarrow

TrainerFormat = Literal["jsonl", "parquet", "datasets"]
TrainerShape = Literal["standard", "conversational"]
Record = dict[str, object]

_BATCH_ROWS = 1024
_METADATA_KEY = b"antipode"
_LINEAGE = (
    "prompt_id",
    "chosen_response_id",
    "rejected_response_id",
    "chosen_model",
    "rejected_model",
    "run_id",
    "similarity",
    "rule",
    "support",
    "vote_count",
    "strength",
    "split",
    "is_chosen_cut",
    "is_rejected_cut",
)


def as_record(row: PreferenceRow, shape: TrainerShape) -> Record:
    """Give a preference as TRL takes it: `prompt`, `chosen` and `rejected`, and the columns of where it comes from.

    Standard: three texts, which a trainer joins as they are; the prompt of several turns names their roles.
    Conversational: lists of messages with `role` and `content`, to which the model's chat template is applied; the
    prompt is always a column of its own, never a part of `chosen` and `rejected`. Most trainers append an end token to
    every response; `is_chosen_cut` and `is_rejected_cut` say which ones have none.

    Raises:
        ValueError: If both responses are the same text, one is empty, or the prompt's last turn is not the user's.
    """
    fault = unfit(row)
    if fault is not None:
        raise ValueError(
            f"prompt {row.prompt_id}, chosen response {row.chosen_response_id}, rejected response "
            f"{row.rejected_response_id}: {fault}; leave the pair out"
        )
    texts: Record = {"prompt": row.prompt.text, "chosen": row.chosen, "rejected": row.rejected}
    if shape == "conversational":
        texts = {
            "prompt": [{"role": message.role, "content": message.content} for message in row.prompt.messages],
            "chosen": [{"role": "assistant", "content": row.chosen}],
            "rejected": [{"role": "assistant", "content": row.rejected}],
        }
    return texts | {name: getattr(row, name) for name in _LINEAGE} | {"strategies": list(row.strategies)}


def file_format(path: Path) -> TrainerFormat:
    """The format that a file's ending asks for; a name without an ending is a folder of `datasets`.

    Raises:
        ValueError: If it has another ending.
    """
    formats: dict[str, TrainerFormat] = {".jsonl": "jsonl", ".parquet": "parquet", "": "datasets"}
    if path.suffix not in formats:
        raise ValueError(f"preferences are written to .jsonl, .parquet, or a folder (no ending), got {str(path)!r}")
    return formats[path.suffix]


def unfit(row: PreferenceRow) -> str | None:
    """Why no trainer can learn from a preference; None if one can."""
    last_role = row.prompt.messages[-1].role if row.prompt.messages else "no turn"
    if last_role != "user":
        return f"the prompt's last turn must be the user's, not {last_role!r}"
    for name, text in (("chosen", row.chosen), ("rejected", row.rejected)):
        if not text.strip():
            return f"the {name} response is empty"
    return "both responses are the same text" if row.chosen == row.rejected else None


def write_preferences(
    rows: Iterable[PreferenceRow],
    path: Path,
    *,
    format: TrainerFormat,
    shape: TrainerShape,
    metadata: Mapping[str, object],
) -> int:
    """Write the rows in their order, and what they are beside them; the same rows give the same bytes.

    Nothing appears at `path` before everything is written, what was there is replaced, and memory holds one batch of
    rows at a time. The metadata lies in `<path>.meta.json` (jsonl), in the schema's metadata under `antipode`
    (parquet), or in the data set's description and its `meta.json` (datasets).

    Returns:
        The number of rows.

    Raises:
        ValueError: If a row cannot be learnt from; nothing is written.
        FileExistsError: If `path` is a folder that is no saved data set.
    """
    records = (as_record(row, shape) for row in rows)
    metadata_json = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
    require_replaceable(path)
    if format == "datasets":
        with whole_folder(path, is_replacing=True) as draft:
            return _write_datasets(records, draft, shape, metadata_json)
    with ExitStack() as files:
        if format == "jsonl":  # the last to take its place
            files.enter_context(whole_file(meta_path(path))).write_text(metadata_json + "\n", encoding="utf-8")
        draft = files.enter_context(whole_file(path))
        count = (
            write_lines(records, draft) if format == "jsonl" else _write_parquet(records, draft, shape, metadata_json)
        )
        if path.is_dir():
            shutil.rmtree(path)  # a data set: no file takes a folder's place
        return count


def content_hash(rows: Iterable[PreferenceRow]) -> str:
    """Name a data set by its texts (64 hex digits): SHA-256 over the sorted SHA-256 of every row.

    A row counts with its prompt's turns, its chosen and its rejected text, as often as it occurs. Ids, models, rules
    and the order of the rows do not count, so the same texts in another database have the same hash. Memory: about
    75 bytes a row.
    """
    digests = [bytes.fromhex(_row_key(row)) for row in rows]
    digests.sort()
    digest = hashlib.sha256()
    for row_digest in digests:
        digest.update(row_digest)
    return digest.hexdigest()


def require_replaceable(path: Path) -> None:
    """Refuse to put an export in the place of a folder that is none.

    Raises:
        FileExistsError: If `path` is a folder that is no saved data set.
    """
    if path.is_dir() and not (path / "dataset_info.json").is_file():
        raise FileExistsError(f"{path} is a folder, but no data set that may be replaced; name a file or a new folder")


def write_lines(records: Iterable[Mapping[str, object]], path: Path) -> int:
    """Write one JSON object a line (UTF-8), and return how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def meta_path(path: Path) -> Path:
    """The file that tells what a JSON Lines file holds."""
    return path.with_name(f"{path.name}.meta.json")


def _row_key(row: PreferenceRow) -> str:
    turns = [[message.role, message.content] for message in row.prompt.messages]
    return content_key(turns, row.chosen, row.rejected)


def _write_parquet(records: Iterator[Record], path: Path, shape: TrainerShape, metadata_json: str) -> int:
    from pyarrow import parquet

    schema = _schema(shape).with_metadata({_METADATA_KEY: metadata_json.encode()})
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(records, schema):
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _write_datasets(records: Iterator[Record], path: Path, shape: TrainerShape, metadata_json: str) -> int:
    from datasets import Dataset, DatasetInfo, disable_progress_bars
    from datasets.table import MemoryMappedTable
    from pyarrow import ipc

    schema = _schema(shape)
    stream = path / "unsaved" / "rows.arrow"  # a folder of its own: save_to_disk refuses the one it reads from
    stream.parent.mkdir(parents=True)
    with ipc.new_stream(stream, schema) as writer:
        for batch in _batches(records, schema):
            writer.write_batch(batch)
    with stream.open("rb") as file:
        # without it the data set is given a random fingerprint, and the folder is never twice the same
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    rows = Dataset(
        MemoryMappedTable.from_file(str(stream)), info=DatasetInfo(description=metadata_json), fingerprint=fingerprint
    )
    disable_progress_bars()
    rows.save_to_disk(str(path), num_shards=None if len(rows) else 1)  # no shard at all could not be loaded
    count = len(rows)
    shutil.rmtree(stream.parent)
    (path / "meta.json").write_text(metadata_json + "\n", encoding="utf-8")
    return count


def _schema(shape: TrainerShape) -> pyarrow.Schema:
    import pyarrow

    text, number, identifier = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    message = pyarrow.struct([("role", text), ("content", text)])
    texts = pyarrow.list_(message) if shape == "conversational" else text
    lineage = dict.fromkeys(_LINEAGE, text)
    lineage |= dict.fromkeys(("similarity", "support", "strength"), number)
    lineage |= dict.fromkeys(("is_chosen_cut", "is_rejected_cut"), pyarrow.bool_())
    lineage |= {name: identifier for name in _LINEAGE if name.endswith("_id") or name == "vote_count"}
    columns = {"prompt": texts, "chosen": texts, "rejected": texts} | lineage | {"strategies": pyarrow.list_(text)}
    return pyarrow.schema(list(columns.items()))


def _batches(records: Iterator[Record], schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    while batch := list(islice(records, _BATCH_ROWS)):
        yield pyarrow.RecordBatch.from_pylist(batch, schema=schema)
