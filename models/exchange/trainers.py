"""Preferences as files that trainers load, in JSON Lines, Parquet or a directory of `datasets`.

What a trainer's rows look like is in `models.exchange.shapes`. A row that no trainer could learn from is refused here.
Which preferences leave is decided elsewhere.
"""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.arrow_columns import arrow_array
from models.exchange import PreferenceRow, UnpairedRow
from models.exchange.lines import write_lines
from models.exchange.shapes import Column, FileFormat, Record
from models.exchange.shapes.table import PAIRED_SHAPES, TrainerShape, shape_of
from models.files import whole_file, whole_folder
from models.records import Prompt, content_key

if TYPE_CHECKING:
    import pyarrow

TrainerFormat = FileFormat

_BATCH_ROWS = 1024
_METADATA_KEY = "antipode"
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
_UNPAIRED_LINEAGE = tuple(
    field.name for field in fields(UnpairedRow) if field.name not in {"prompt", "text", "is_desirable"}
)
_LAST_ROLES = ("user", "tool")  # what a response can answer


def as_record(row: PreferenceRow, shape: TrainerShape) -> Record:
    """Give a preference as a trainer of preferences takes it, and the columns of where it comes from.

    Most trainers append an end token to every response; `is_chosen_cut` and `is_rejected_cut` say which ones have none.

    Raises:
        ValueError: If both responses are the same text, one is empty, the prompt's last turn is neither the user's nor
            a tool's, or the shape cannot hold the prompt.
    """
    _require_fit(row, shape)
    return next(_records(iter([row]), shape))


def unpaired(row: PreferenceRow) -> tuple[UnpairedRow, UnpairedRow]:
    """The two sides of a preference as rows of their own: the chosen response is wanted, the rejected one is not.

    A response that is a side of several preferences gives a row for each of them, as TRL does it.
    """
    return _side(row, is_desirable=True), _side(row, is_desirable=False)


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
    reason = _unanswerable(row.prompt)
    if reason is not None:
        return reason
    for name, text in (("chosen", row.chosen), ("rejected", row.rejected)):
        if not text.strip():
            return f"the {name} response is empty"
    return "both responses are the same text" if row.chosen == row.rejected else None


def unfit_single(row: UnpairedRow) -> str | None:
    """Why no trainer can learn from a single response; None if one can."""
    return _unanswerable(row.prompt) or (None if row.text.strip() else "the response is empty")


def misfit(prompt: Prompt, shape: TrainerShape) -> str | None:
    """Why a shape cannot hold a prompt that other trainers could learn from; None if it takes it."""
    return shape_of(shape).misfit(prompt)


def write_preferences(
    rows: Iterable[PreferenceRow],
    path: Path,
    *,
    format: TrainerFormat,
    shape: TrainerShape,
    metadata: Callable[[], Mapping[str, object]],
    feedback: Iterable[UnpairedRow] = (),
) -> int:
    """Write the rows in their order (`write_lines` has one exception), and what they are beside them.

    The same rows give the same bytes.

    `metadata`: asked for when the last row has been written.
    `feedback`: single responses, which follow the rows in an unpaired shape; no other takes them.
    Nothing appears at `path` before everything is written, what was there is replaced, and memory holds one batch of
    rows at a time. The metadata lies in `<path>.meta.json` (jsonl), in the file's metadata under `antipode`
    (parquet), or in the data set's description and its `meta.json` (datasets).

    Returns:
        The number of records: of an unpaired shape two a row, and the single responses.

    Raises:
        ValueError: If a row cannot be learnt from, or its trainer could not load the file; nothing is written.
        FileExistsError: If `path` is a folder that is no saved data set.
    """
    require_readable(path, format=format, shape=shape)
    sides = _sides(rows, shape, feedback)
    require_replaceable(path)
    if format == "datasets":
        with whole_folder(path, is_replacing=True) as draft:
            return _write_datasets(sides, draft, shape, metadata)
    with ExitStack() as files:
        meta_draft = files.enter_context(whole_file(meta_path(path))) if format == "jsonl" else None  # placed last
        draft = files.enter_context(whole_file(path))
        if meta_draft is None:
            count = _write_parquet(sides, draft, shape, metadata)
        else:
            count = write_lines(_records(sides, shape), draft)
            meta_draft.write_text(_json(metadata) + "\n", encoding="utf-8")
        if path.is_dir():
            shutil.rmtree(path)  # a data set: no file takes a folder's place
        return count


def require_readable(path: Path, *, format: TrainerFormat, shape: TrainerShape) -> None:
    """Refuse a file that the shape's trainer could not load, for its format or its name.

    Raises:
        ValueError: It could not.
    """
    form = shape_of(shape)
    if format not in form.formats:
        endings = " or ".join(f".{one}" for one in form.formats)
        raise ValueError(f"{shape} is read from {endings}, got {format}; name a file")
    form.entry(path, format)


def write_entry(path: Path, *, format: TrainerFormat, shape: TrainerShape) -> tuple[str, Path]:
    """Write beside an export what names it to its trainer, to be pasted; return the text and its file.

    What an earlier export of that name said to another trainer goes.

    Raises:
        ValueError: The trainer cannot be told of this path.
    """
    entry = shape_of(shape).entry(path, format)
    place = path.with_name(f"{path.name}.entry.{entry.ending}")
    with whole_file(place) as draft:
        draft.write_text(entry.text + "\n", encoding="utf-8")
    for other in path.parent.glob(f"{glob.escape(path.name)}.entry.*"):
        if other != place:
            other.unlink()
    return entry.text, place


class ContentHash:
    """The name of a data set by its texts (64 hex digits): SHA-256 over the sorted SHA-256 of every row.

    A row counts with its prompt's turns, its chosen and its rejected text, as often as it occurs. Ids, models, rules
    and the order of the rows do not count, so the same texts in another database have the same hash. Memory: about
    75 bytes a row.
    """

    def __init__(self) -> None:
        self._digests: list[bytes] = []

    def add(self, row: PreferenceRow) -> None:
        """Count a row."""
        turns = [[message.role, message.content] for message in row.prompt.messages]
        self._digests.append(bytes.fromhex(content_key(turns, row.chosen, row.rejected)))

    def hexdigest(self) -> str:
        """The name of the rows so far."""
        return hashlib.sha256(b"".join(sorted(self._digests))).hexdigest()


def content_hash(rows: Iterable[PreferenceRow]) -> str:
    """The content hash of these rows."""
    content = ContentHash()
    for row in rows:
        content.add(row)
    return content.hexdigest()


def require_replaceable(path: Path) -> None:
    """Refuse to put an export in the place of a folder that is none.

    Raises:
        FileExistsError: If `path` is a folder that is no saved data set.
    """
    if path.is_dir() and not (path / "dataset_info.json").is_file():
        raise FileExistsError(f"{path} is a folder, but no data set that may be replaced; name a file or a new folder")


def meta_path(path: Path) -> Path:
    """The file that tells what a JSON Lines file holds."""
    return path.with_name(f"{path.name}.meta.json")


def _unanswerable(prompt: Prompt) -> str | None:
    last_role = prompt.messages[-1].role if prompt.messages else "no turn"
    if last_role in _LAST_ROLES:
        return None
    return f"the prompt's last turn must be the user's or a tool's, not {last_role!r}"


def _require_fit(row: PreferenceRow, shape: TrainerShape) -> None:
    fault = unfit(row) or misfit(row.prompt, shape)
    if fault is not None:
        raise ValueError(
            f"prompt {row.prompt_id}, chosen response {row.chosen_response_id}, rejected response "
            f"{row.rejected_response_id}: {fault}; leave the pair out"
        )


def _sides(
    rows: Iterable[PreferenceRow], shape: TrainerShape, feedback: Iterable[UnpairedRow]
) -> Iterator[PreferenceRow | UnpairedRow]:
    """What becomes a record each: the preferences in their order, or in an unpaired shape the two sides of each.

    Single responses follow; only an unpaired shape takes them.

    Raises:
        ValueError: As in `as_record`.
    """
    for row in rows:
        _require_fit(row, shape)
        yield from (row,) if shape in PAIRED_SHAPES else unpaired(row)
    for single in feedback:
        fault = unfit_single(single) or misfit(single.prompt, shape)
        if fault is not None:
            raise ValueError(f"prompt {single.prompt_id}, response {single.response_id}: {fault}; leave it out")
        yield single


def _records(sides: Iterator[Any], shape: TrainerShape) -> Iterator[Record]:
    while batch := list(islice(sides, _BATCH_ROWS)):
        columns = _columns(batch, shape)
        yield from (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))


def _columns(sides: Sequence[Any], shape: TrainerShape) -> dict[str, Sequence[Any]]:
    """The records of these sides, column by column: those of the trainer, then where they come from."""
    form, names = shape_of(shape), _lineage_names(shape)
    records = list(map(form.record, sides))
    columns: dict[str, Sequence[Any]] = {name: [record[name] for record in records] for name in form.columns}
    columns |= zip(names, zip(*map(attrgetter(*names), sides), strict=True), strict=True)
    if shape in PAIRED_SHAPES:
        columns["strategies"] = [list(side.strategies) for side in sides]
    return columns


def _lineage_names(shape: TrainerShape) -> tuple[str, ...]:
    return _LINEAGE if shape in PAIRED_SHAPES else _UNPAIRED_LINEAGE


def _side(row: PreferenceRow, *, is_desirable: bool) -> UnpairedRow:
    return UnpairedRow(
        prompt=row.prompt,
        text=row.chosen if is_desirable else row.rejected,
        is_desirable=is_desirable,
        prompt_id=row.prompt_id,
        response_id=row.chosen_response_id if is_desirable else row.rejected_response_id,
        model=row.chosen_model if is_desirable else row.rejected_model,
        run_id=row.run_id,
        rule=row.rule,
        support=row.support,
        vote_count=row.vote_count,
        split=row.split,
        is_cut=row.is_chosen_cut if is_desirable else row.is_rejected_cut,
    )


def _json(metadata: Callable[[], Mapping[str, object]]) -> str:
    return json.dumps(metadata(), ensure_ascii=False, sort_keys=True)


def _write_parquet(
    sides: Iterator[Any], path: Path, shape: TrainerShape, metadata: Callable[[], Mapping[str, object]]
) -> int:
    from pyarrow import parquet

    schema = _schema(shape)
    count = 0
    with parquet.ParquetWriter(path, schema, store_schema=False) as writer:  # else its metadata hides the file's
        for batch in _batches(sides, shape, schema):
            writer.write_batch(batch)
            count += batch.num_rows
        writer.add_key_value_metadata({_METADATA_KEY: _json(metadata)})
    return count


def _write_datasets(
    sides: Iterator[Any], path: Path, shape: TrainerShape, metadata: Callable[[], Mapping[str, object]]
) -> int:
    from datasets import Dataset, DatasetInfo, disable_progress_bars
    from datasets.table import MemoryMappedTable
    from pyarrow import ipc

    schema = _schema(shape)
    stream = path / "unsaved" / "rows.arrow"  # a folder of its own: save_to_disk refuses the one it reads from
    stream.parent.mkdir(parents=True)
    with ipc.new_stream(stream, schema) as writer:
        for batch in _batches(sides, shape, schema):
            writer.write_batch(batch)
    with stream.open("rb") as file:
        # without it the data set is given a random fingerprint, and the folder is never twice the same
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    metadata_json = _json(metadata)
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
    names = _lineage_names(shape)
    lineage = dict.fromkeys(names, text)
    lineage |= {name: number for name in names if name in {"similarity", "support", "strength"}}
    lineage |= {name: pyarrow.bool_() for name in names if name.startswith("is_")}
    lineage |= {name: identifier for name in names if name.endswith("_id") or name == "vote_count"}
    if shape in PAIRED_SHAPES:
        lineage |= {"strategies": pyarrow.list_(text)}
    columns = {name: _arrow_type(column) for name, column in shape_of(shape).columns.items()}
    return pyarrow.schema(list((columns | lineage).items()))


def _arrow_type(column: Column) -> pyarrow.DataType:
    import pyarrow

    text = pyarrow.string()
    message = pyarrow.struct([("role", text), ("content", text)])
    turn = pyarrow.struct([("from", text), ("value", text)])
    types: dict[Column, pyarrow.DataType] = {
        "text": text,
        "bool": pyarrow.bool_(),
        "messages": pyarrow.list_(message),
        "message": message,
        "turns": pyarrow.list_(turn),
        "turn": turn,
        "exchanges": pyarrow.list_(pyarrow.list_(text)),
    }
    return types[column]


def _batches(sides: Iterator[Any], shape: TrainerShape, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    while batch := list(islice(sides, _BATCH_ROWS)):
        columns = _columns(batch, shape)
        yield pyarrow.RecordBatch.from_arrays(
            [arrow_array(columns[field.name], field.type) for field in schema], schema=schema
        )
