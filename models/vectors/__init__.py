"""Embeddings on disk: shards of unit vectors that are read by memory map. Knows no database, no model and no index.

    <folder>/<shard>/vectors.npy   (n, d) float16, each row divided by its norm
                     norms.npy     (n,)   float32, the norms divided by
                     ids.npy       (n,)   int64, the responses' ids

A shard's name is the hash of its content, so a shard is never changed: writing the same content again changes nothing,
and other content is another shard. Whatever is read was compared with its name before, once in a process: flipped bits,
zeros and rows in another order are refused. Folders whose name starts with a dot are unfinished; nothing reads them.

Where the shards are kept at a URL, the folder is the copy of this host: a shard that is written here is stored there,
one that is not here, or damaged, is fetched, and what was fetched is compared with its name before anything reads it.
Its files are objects under the same names; a shard is there once all three are.

float16 keeps 11 bits of a component above 6.1e-5 and steps of 6.0e-8 below (its subnormal numbers). Against float64,
the cosine of two stored rows is off by less than 5e-4, mostly by 1e-5; the norm of a row likewise, so divide by it
where that counts.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.files import Signature, signature, whole_folder
from models.storage import NoObjectError, ObjectStore
from models.vectors.arrays import DTYPES, FILES, checked, content_name, write_array

_NAME = re.compile("[0-9a-f]{32}")  # of a shard; whoever writes to a bucket names no place outside a folder of vectors
_HEAD_BYTES = 256  # more than numpy puts before an array of two dimensions

_sound: dict[Path, tuple[Signature, ...]] = {}  # shards that were checked, with their files' signatures


class BrokenShardError(RuntimeError):
    """A shard that the caller names is missing or damaged; its responses must be embedded again."""


class MissingShardError(BrokenShardError):
    """A shard that the caller names is not in the store; it may come back with its folder."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard, mapped from disk and read-only.

    Attributes:
        ids: (n,) int64, the responses' ids.
        vectors: (n, d) float16, unit vectors.
        norms: (n,) float32, the raw embeddings' norms.
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.float16]
    norms: NDArray[np.float32]


class VectorStore:
    """The shards of one folder. Several processes may read and write it at once."""

    def __init__(self, folder: Path, objects: ObjectStore | None = None) -> None:
        """Name the folder, which the first write creates, and where the shards are kept if not there alone."""
        self._folder = folder
        self._objects = objects

    @property
    def folder(self) -> Path:
        """Where the shards are, or the copies of some."""
        return self._folder

    @property
    def place(self) -> str:
        """Where they are kept, as messages name it."""
        return str(self._folder.absolute()) if self._objects is None else self._objects.url

    def write_shard(self, ids: ArrayLike, vectors: ArrayLike) -> str:
        """Store raw embeddings and return the shard's name; row i of the shard is row i of the input.

        The shard is complete, on disk and at the URL, when this returns, and absent if the process is killed before.
        The same input gives the same name and changes nothing the second time.

        Args:
            ids: (n,) the responses' ids, all different, n >= 1.
            vectors: (n, d) raw embeddings, d >= 1; each row finite and not zero.

        Raises:
            ValueError: if a row is NaN, infinite or zero, an id occurs twice, or the shapes do not fit.
            OSError: if the disk is full or cannot be written; it names the path.
            StorageError: if the URL cannot be used.
            StorageGoneError: if its server does not answer in time.
        """
        return self._write(checked(np.asarray(ids, dtype=np.int64), np.asarray(vectors, dtype=np.float32)))

    def read_shard(self, name: str) -> Shard:
        """Map a shard into memory; pages are read from disk when they are touched.

        A process reads a shard whole once, to see that its content is what its name says (100 MB, 65,536 vectors of 768
        dimensions, took 0.1 to 0.25 s on a Sapphire Rapids), and again only if a file has changed.

        Raises:
            MissingShardError: if there is no such shard.
            BrokenShardError: if it is cut short, or holds anything but what was written.
            StorageError: if the URL cannot be used.
            StorageGoneError: if its server does not answer in time.
        """
        try:
            return self._read(name)
        except BrokenShardError:
            if self._objects is None or name != Path(name).name:
                raise
        self._fetch(name)
        return self._read(name)

    def check_shard(self, name: str) -> None:
        """Read a shard where it is kept and compare it with its name; a copy of it is neither trusted nor made.

        Raises:
            BrokenShardError: as of `read_shard`.
        """
        if self._objects is None:
            self.read_shard(name)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as draft:
            self._download(name, Path(draft))

    def gather(self, shards: Sequence[str], rows: ArrayLike) -> NDArray[np.float16]:
        """Read single rows of many shards, in the order asked for; every shard is opened once.

        Args:
            shards: (n,) the name of each row's shard.
            rows: (n,) the row within that shard; a row may be asked for more than once.

        Returns:
            (n, d) float16 unit vectors in memory; (0, 0) for n = 0.

        Raises:
            BrokenShardError: if a shard is missing (`MissingShardError`) or damaged, or has no such row.
            ValueError: if the shards differ in dimension, or `shards` and `rows` in length.
        """
        places = np.asarray(rows, dtype=np.int64)
        if places.shape != (len(shards),):
            raise ValueError(f"gather needs one row for each of the {len(shards)} shard names, got {places.shape}")
        numbers: dict[str, int] = {}
        owner = np.fromiter((numbers.setdefault(name, len(numbers)) for name in shards), np.int64, len(shards))
        by_shard = np.split(
            np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner, minlength=len(numbers)))[:-1]
        )
        gathered = np.empty((0, 0), dtype=np.float16)
        for name, positions in zip(numbers, by_shard, strict=False):
            vectors = self.read_shard(name).vectors
            self._check_rows(name, len(vectors), places[positions])
            if not gathered.size:
                gathered = np.empty((len(shards), vectors.shape[1]), dtype=np.float16)
            if vectors.shape[1] != gathered.shape[1]:
                raise ValueError(
                    f"shard {name} has {vectors.shape[1]} dimensions, another {gathered.shape[1]}: "
                    "rows of two embedding models cannot be gathered at once"
                )
            # Reading forward through the file lets the system read ahead.
            ascending = positions[np.argsort(places[positions], kind="stable")]
            gathered[ascending] = vectors[places[ascending]]
        return gathered

    def shards(self) -> list[str]:
        """The names of all complete shards, sorted.

        A run that was killed between writing a shard and recording it leaves a shard that nothing refers to, so this
        may list more than the responses recorded.
        """
        return self.copies() if self._objects is None else self._stored(is_whole=True)

    def copies(self) -> list[str]:
        """The names of the shards in the folder, sorted, sound or not."""
        if not self._folder.exists():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def put_back(self, name: str) -> bool:
        """Store this host's copy of a shard again where shards are kept; False if it has none that is sound.

        Raises:
            StorageError: if the URL cannot be used.
            StorageGoneError: if its server does not answer in time.
        """
        if self._objects is None or not self._holds(name):
            return False
        self._put(name)
        return True

    def ids_of(self, name: str) -> NDArray[np.int64]:
        """A shard's ids (n,); nothing else of it is read, or fetched, or checked.

        Raises:
            MissingShardError: if there is no such shard.
            BrokenShardError: if they cannot be read.
        """
        try:
            return self._map(name, "ids")
        except BrokenShardError:
            if self._objects is None:
                raise
        with self._object(name, "ids") as content:
            ids: NDArray[np.int64] = np.load(content, allow_pickle=False)
        return ids

    def row_bytes(self, name: str) -> int:
        """How many bytes a row of a shard takes, without the files' heads.

        Raises:
            MissingShardError: if there is no such shard.
            BrokenShardError: if it cannot be read.
        """
        if self._objects is None:
            return sum(int(self._map(name, part)[:1].nbytes) for part in DTYPES)
        total = 0
        for part in DTYPES:
            with self._object(name, part, most=_HEAD_BYTES) as head:
                np.lib.format.read_magic(head)  # type: ignore[no-untyped-call]
                shape, _, dtype = np.lib.format.read_array_header_1_0(head)  # type: ignore[no-untyped-call]
                total += dtype.itemsize * math.prod(shape[1:])
        return total

    def copy_rows(self, name: str, rows: ArrayLike) -> str:
        """Store some rows of a shard as a shard of their own, bit for bit; return its name. The old one stays.

        Args:
            name: of the shard.
            rows: (n,) which ones, ascending, n >= 1; row i of the new shard is the i-th of them.

        Raises:
            BrokenShardError: if the shard is missing or damaged.
            OSError: if the disk is full or cannot be written; it names the path.
        """
        shard, kept = self.read_shard(name), np.asarray(rows, dtype=np.int64)
        self._check_rows(name, len(shard.ids), kept)
        return self._write({part: getattr(shard, part)[kept] for part in DTYPES})

    def drafts(self) -> list[str]:
        """The names of unfinished folders, and shards: of those who write now, and who were killed while they did."""
        here = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        return sorted(name for name in here if name.startswith(".")) + self._stored(is_whole=False)

    def remove_shard(self, name: str) -> None:
        """Delete a shard, damaged or not; one that is not there is no error."""
        self._remove_copy(name)
        if self._objects is not None and name == Path(name).name:
            self._objects.remove(name)

    def _write(self, arrays: Mapping[str, NDArray[Any]]) -> str:
        name = content_name(arrays)
        target = self._folder / name
        if target.exists() and not self._holds(name):
            self._remove_copy(name)
        if not target.exists():
            try:
                with whole_folder(target, is_replacing=False) as draft:
                    for part, array in arrays.items():
                        write_array(draft / f"{part}.npy", array)
            except FileExistsError:
                # Another process may have put the same shard there a moment earlier.
                if not self._holds(name):
                    raise
        if self._objects is not None:
            self._put(name)
        return name

    def _put(self, name: str) -> None:
        """Store all files: of what is there the size is known, and not the content."""
        assert self._objects is not None
        for file in FILES:
            self._objects.put(self._folder / name / file, f"{name}/{file}")

    def _stored(self, *, is_whole: bool) -> list[str]:
        """The names of the shards at the URL that are whole, or are not."""
        there = self._objects.sizes() if self._objects else {}
        names = {name.split("/")[0] for name in there}
        return sorted(
            name
            for name in names
            if _NAME.fullmatch(name) and all(f"{name}/{file}" in there for file in FILES) == is_whole
        )

    @contextlib.contextmanager
    def _object(self, name: str, part: str, *, most: int | None = None) -> Iterator[io.BytesIO]:
        """Read an array's object, or its first bytes; what is wrong with it is told as of a file."""
        assert self._objects is not None
        place = f"{name}/{part}.npy"
        try:
            yield io.BytesIO(self._objects.read(place, most=most))
        except NoObjectError as error:
            raise MissingShardError(_advice(self._objects.address(place), "it is not there")) from error
        except (ValueError, EOFError) as error:
            raise BrokenShardError(_advice(self._objects.address(place), str(error))) from error

    def _fetch(self, name: str) -> None:
        """Copy a shard from where it is kept, in the place of what is here."""
        target = self._folder / name
        if target.exists():
            if self._holds(name):  # another process has just fetched it
                return
            self._remove_copy(name)
        try:
            with whole_folder(target, is_replacing=False) as draft:
                self._download(name, draft)
        except FileExistsError:
            pass  # another process was a moment faster

    def _download(self, name: str, folder: Path) -> None:
        """Copy a shard's files into a folder; they are what the name says."""
        assert self._objects is not None
        place = self._objects.address(name)
        try:
            for file in FILES:
                self._objects.get(f"{name}/{file}", folder / file)
        except NoObjectError as error:
            raise MissingShardError(_advice(place, str(error))) from error
        try:
            parts = {part: np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in DTYPES}
        except (ValueError, EOFError) as error:
            raise BrokenShardError(_advice(place, str(error))) from error
        if content_name(parts) != name:
            raise BrokenShardError(_advice(place, "its content is not what was written"))

    def _read(self, name: str) -> Shard:
        folder = self._folder / name
        parts = {part: self._map(name, part) for part in DTYPES}
        now = tuple(signature(folder / f"{part}.npy") for part in DTYPES)
        if _sound.get(folder.absolute()) != now:
            if content_name(parts) != name:
                raise BrokenShardError(_advice(folder, "its content is not what was written"))
            _sound[folder.absolute()] = now
        return Shard(**parts)

    def _remove_copy(self, name: str) -> None:
        _sound.pop((self._folder / name).absolute(), None)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def _holds(self, name: str) -> bool:
        with contextlib.suppress(BrokenShardError):
            self._read(name)
            return True
        return False

    def _map(self, name: str, part: str) -> NDArray[Any]:
        path = self._folder / name / f"{part}.npy"
        if name != Path(name).name:
            raise BrokenShardError(_advice(path, "its name is no name of a folder"))
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingShardError(_advice(path, "it is not there")) from error
        except (OSError, ValueError, EOFError) as error:
            raise BrokenShardError(_advice(path, str(error))) from error
        if array.dtype != DTYPES[part]:
            raise BrokenShardError(_advice(path, f"it holds {array.dtype}, not {np.dtype(DTYPES[part])}"))
        return array

    def _check_rows(self, name: str, count: int, rows: NDArray[np.int64]) -> None:
        outside = rows[(rows < 0) | (rows >= count)]
        if outside.size:
            raise BrokenShardError(
                _advice(self._folder / name, f"row {outside[0]} was asked for and it has {count} rows")
            )


def _advice(path: Path | str, reason: str) -> str:
    return (
        f"the vectors at {path} cannot be used: {reason}; see what is damaged: antipode vectors check (with --repair, "
        "what is damaged is forgotten and embedded anew by the next run)"
    )
