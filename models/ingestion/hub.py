"""Data sets of the `datasets` library: a local directory (from `save_to_disk`, or of data files) or a name on the hub.

Rows are streamed or read from memory-mapped files; a hub data set is not downloaded whole. A row comes from the library
whole, so one that is too large is only then rejected.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.ingestion.cells import with_lists
from models.ingestion.files.packing import PACKED_SUFFIXES
from models.ingestion.files.signatures import HEAD, is_lfs_pointer, lfs_advice
from models.ingestion.limits import TOO_LARGE, is_too_large
from models.ingestion.readers import FILE_SUFFIXES, file_hash
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow
from models.records import FolderFile, RejectedRow, content_key, shortened

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
_SAVED_DATASET_FILES = ("dataset_dict.json", "state.json")

_Splits = Mapping[str | None, Iterable[object]]


def is_hub_name(name: str) -> bool:
    """Whether the hub could know a data set by this name: `name` or `owner/name`."""
    return _HUB_NAME.fullmatch(name) is not None


def open_directory(directory: Path, *, split: str | None, config: str | None) -> Source:
    """Open a directory of `datasets`; without `split` the rows of all its splits follow each other.

    Its content hash covers the relative name and the bytes of every file, whatever the split.

    Raises:
        SourceError: the directory holds no data set, or not that split or config; or a data file in it is a Git LFS
            pointer.
    """
    _refuse_pointers(directory)
    is_saved = any((directory / name).is_file() for name in _SAVED_DATASET_FILES)
    if is_saved and config is not None:
        raise SourceError(f"{directory}: a data set saved to disk has no config, got config {config!r}; leave it out")
    if is_saved:
        return _source(str(directory), _directory_hash(directory), _saved_splits(directory), split)
    builder = _folder_builder(directory, config)
    source = _source(str(directory), _directory_hash(directory), _streamed_splits(builder), split)
    return replace(source, files=tuple(_folder_files(directory, builder, split)))


def open_hub(name: str, *, split: str | None, config: str | None) -> Source:
    """Open a data set of the hub; without `split` the rows of all its splits follow each other.

    Its content hash is made of the name, the config and the builder's hash, which holds the hub's revision.

    Raises:
        SourceError: the hub cannot be reached, or has no such data set, config or split.
    """
    builder = _builder(name, config)
    content_hash = content_key(name, builder.config.name, builder.hash)
    return _source(name, content_hash, _streamed_splits(builder), split)


def _source(name: str, content_hash: str, splits: _Splits, split: str | None) -> Source:
    if split is not None and split not in splits:
        split_names = ", ".join(str(split_name) for split_name in splits if split_name is not None) or "none"
        raise SourceError(f"{name}: no split {split!r}; the splits are: {split_names}")
    selected_splits: _Splits = splits if split is None else {split: splits[split]}
    return Source(name, content_hash, lambda: with_lists(_rows(name, selected_splits)))


def _rows(name: str, splits: _Splits) -> Iterator[SourceRecord]:
    row_number = 0
    for split, rows in splits.items():
        iterator = iter(rows)
        while True:
            try:
                content = next(iterator)
            except StopIteration:
                break
            except Exception as error:  # rows come over the network and through decoders of any library
                raise _unreadable(f"{name}: reading stopped after {row_number} rows", error) from error
            row_number += 1
            large = is_too_large(content)
            yield RejectedRow(row_number, TOO_LARGE, "") if large else SourceRow(row_number, content, split)


def _builder(name: str, config: str | None) -> Any:
    import datasets

    try:
        return datasets.load_dataset_builder(name, config)
    except Exception as error:  # the library documents no common base of its own, the network's and the hub's errors
        raise _unreadable(f"{name}: no such file, and not found as a data set", error) from error


def _folder_builder(directory: Path, config: str | None) -> Any:
    import datasets

    try:
        return datasets.load_dataset_builder(str(directory.resolve()), config)
    except Exception as error:  # as in _builder
        if config is not None or any(map(_is_data_file, directory.rglob("*"))):
            raise _unreadable(f"{directory}: the folder cannot be read as a data set", error) from error
        names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
        held = f"it holds {shortened(', '.join(names), 200)}" if names else "it is empty"
        kinds = ", ".join(FILE_SUFFIXES)
        raise SourceError(f"{directory}: no data file is in this folder ({kinds}); {held}; check the path") from error


def _folder_files(directory: Path, builder: Any, split: str | None) -> Iterator[FolderFile]:
    """Every file of a folder but hidden ones, by name, and what `datasets` does with it."""
    splits = {Path(str(file)): str(name) for name, files in (builder.config.data_files or {}).items() for file in files}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = path.relative_to(directory).as_posix()
        of_split = splits.get(path.resolve())
        is_read = of_split is not None and split in (None, of_split)
        if is_read or not any(part.startswith(".") for part in Path(name).parts):
            yield FolderFile(name, is_read, of_split, of_split is None and _is_data_file(path))


def _streamed_splits(builder: Any) -> _Splits:
    try:
        splits: dict[str | None, Iterable[object]] = {
            str(key): rows for key, rows in builder.as_streaming_dataset().items()
        }
    except Exception as error:  # as in _builder
        raise _unreadable(f"{builder.dataset_name}: cannot be opened", error) from error
    return splits


def _saved_splits(directory: Path) -> _Splits:
    import datasets

    try:
        saved = datasets.load_from_disk(str(directory))
    except Exception as error:  # as in _builder; a broken Arrow file has an error of its own again
        raise _unreadable(f"{directory}: cannot be opened", error) from error
    if isinstance(saved, datasets.DatasetDict):
        return {str(key): rows for key, rows in saved.items()}
    return {None if saved.split is None else str(saved.split): saved}


def _unreadable(what: str, error: Exception) -> SourceError:
    error_text = shortened(str(error) or type(error).__name__, 200)
    return SourceError(
        f"{what} ({error_text}); check the name, the config and the connection, or save it to a file first"
    )


def _refuse_pointers(directory: Path) -> None:
    pointers = [path for path in sorted(directory.rglob("*")) if _is_data_file(path) and is_lfs_pointer(_head(path))]
    if pointers:
        others = f" ({len(pointers) - 1} more in the folder)" if len(pointers) > 1 else ""
        raise SourceError(lfs_advice(pointers[0]) + others)


def _is_data_file(path: Path) -> bool:
    return path.suffix.lower() in (*FILE_SUFFIXES, *PACKED_SUFFIXES, ".arrow") and path.is_file()


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its rights") from error


def _directory_hash(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(
            f"{path.relative_to(directory).as_posix()}\0{file_hash(path)}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()
