"""An index that is kept on disk: read by memory map, grown by what is new, made anew where it does not fit any more.

    <folder>/index.json             which files are the index, what they hold, and the hashes of their bytes
             <name>.vectors.faiss   a segment's unit vectors, an IndexFlatIP
             <name>.ids.npy         (n,) int64, their ids in the same order
             <name>.factory.faiss   an index of a factory string over the first segments, if there is one
             lock                   held by who changes anything

A file is never changed: what is new becomes a new segment (small ones are joined with it), and index.json, which takes
the place of the one before as a whole, says which count. So a process that is killed anywhere leaves the index as it
was, with files that nobody names; the next one that changes something deletes them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.index import VectorIndex
from models.index.factory import FLAT, Factory, FactoryError, factory_of_size, read, write
from models.index.making import Encoders, OnRows, make
from models.index.manifest import (
    LOCK,
    MANIFEST,
    FactoryFile,
    File,
    Manifest,
    NewFile,
    Recall,
    SegmentFiles,
    UnfitError,
    checked_file,
    new_file,
    read_manifest,
    write_manifest,
)
from models.index.published import PublishedIndex
from models.index.segments import SEGMENT_ROWS, Device, Segment, flat_indexes
from models.storage import ObjectStore
from models.vectors import BrokenShardError

EXACT_ROWS = 1_000_000  # above, an index of a factory string proposes
# Vectors beside a factory's index are searched exactly, until they are so many, in comparison with it.
_TAIL_SHARE = 0.25
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}

Key = tuple[str, str, int]  # of a source
Stage = Callable[[str], AbstractContextManager[OnRows]]
State = Literal["current", "grown", "built", "rebuilt", "not kept"]


@contextmanager
def _untold(stage: str) -> Iterator[OnRows]:
    yield lambda done, total: None


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What of one shard belongs in the index: ids (n,) and their rows (n,) in it, both int64."""

    shard: str
    ids: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def key(self) -> Key:
        """The shard, a hash of ids and rows, and their number: with the shard's name, which is a hash, all content."""
        digest = hashlib.sha256(self.ids.tobytes() + b" " + self.rows.tobytes()).hexdigest()
        return self.shard, digest[:32], len(self.ids)

    def of(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """These rows of the shard's vectors: a view where they are a run of rows, as they mostly are."""
        first = int(self.rows[0])
        is_run = len(self.rows) == int(self.rows[-1]) - first + 1 and bool((np.diff(self.rows) == 1).all())
        return vectors[first : first + len(self.rows)] if is_run else vectors[self.rows]


@dataclass(frozen=True, slots=True)
class OpenedIndex:
    """An index and what was done to have it.

    Attributes:
        index: None if there is no vector.
        state: `current`: as it was; `grown`; `built`: there was none; `rebuilt`: it did not fit any more;
            `not kept`: nothing may be written there, so it is in memory.
        added: vectors that were read from the shards for it.
        factory: the factory string, empty for an exact index.
        recall: what was measured of it.
        reason: why it was rebuilt, is not kept, or is exact though a factory was asked for.
    """

    index: VectorIndex | None
    state: State
    added: int = 0
    factory: str = ""
    recall: Recall | None = None
    reason: str = ""


class KeptIndex:
    """The index in one folder. Several processes may open it at once; one at a time changes it."""

    def __init__(
        self,
        folder: Path,
        read_vectors: Callable[[str], NDArray[Any]],
        objects: ObjectStore | None = None,
        encoders: Encoders | None = None,
    ) -> None:
        """Name the folder, which need not exist, and what reads a shard's vectors (n, d) by its name.

        `objects`: where hosts share the index; the folder is then a copy of it. `encoders`: who encodes vectors for a
        factory's index; None: this process.
        """
        self._encoders = encoders
        self._folder = folder
        self._published = PublishedIndex(objects, folder) if objects else None
        self._read_vectors = read_vectors
        self._device: Device | None = None

    def open(
        self,
        sources: Sequence[Source],
        *,
        factory: str | None = None,
        latest: Callable[[], Sequence[Source]] | None = None,
        stage: Stage = _untold,
    ) -> OpenedIndex:
        """The index of exactly these vectors, made so on disk if it is not.

        Args:
            sources: all that belongs in it.
            factory: the FAISS factory string; empty: exact up to a million vectors, `factory_of_size` above; `Flat`:
                exact at any size; None: whatever it is, exact where there is none.
            latest: reads the sources anew, where the index must be changed: another process may have stored and added
                more since they were read. None: they are those of `sources`.
            stage: entered for what takes time (`index`: shards are read; `fill index`: the factory's index is made),
                and gives what is told how many vectors are done, and how many there are.

        Raises:
            BrokenShardError: If no shard that must be read can be; if some can, the others are left out, and told.
            OSError: If the disk is full or fails.
        """
        wanted = {source.key: source for source in sources}
        if not wanted:
            return OpenedIndex(None, "current")
        try:
            manifest = read_manifest(self._folder)
            if set(manifest.sources) == wanted.keys() and not self._wants_other(manifest, factory):
                return self._opened(manifest, self._load(manifest), "current")
        except UnfitError:
            pass  # told below, by who holds the lock
        try:
            with self._locked():
                wanted = {source.key: source for source in latest()} if latest else wanted
                return self._changed(wanted, factory, stage) if wanted else OpenedIndex(None, "current")
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            return self._in_memory(wanted, f"nothing may be written in {self._folder} ({error.strerror})")

    def described(self) -> OpenedIndex | None:
        """What its manifest says of its factory, without opening it; None where there is none that can be read."""
        try:
            shared = self._published.read() if self._published else None
            made = (shared or read_manifest(self._folder)).factory
        except UnfitError:
            return None
        return OpenedIndex(None, "current", 0, made.string if made else "", made.recall if made else None)

    def remove(self) -> None:
        """Delete the index, which the next one who opens it makes anew; whoever has it open keeps it."""
        if self._published:
            self._published.remove()
        if self._folder.is_dir():
            with self._locked():
                (self._folder / MANIFEST).unlink(missing_ok=True)
                for path in self._folder.iterdir():
                    if path.name != LOCK and path.is_file():
                        path.unlink(missing_ok=True)

    def _changed(self, wanted: dict[Key, Source], factory: str | None, stage: Stage) -> OpenedIndex:
        fault = self._published.bring(wanted) if self._published else ""
        kept, state, reason = self._still_fitting(wanted)
        old = set(kept.sources) if kept else set()
        new, unreadable = self._readable({key: source for key, source in wanted.items() if key not in old})
        if unreadable and not new and kept is None:
            raise unreadable[0]
        manifest = kept
        if new or manifest is None:
            with stage("index") as on_rows:
                manifest = self._grown(kept, list(new.values()), (*old, *new), on_rows)
            state = state or "grown"
        problem = ""
        if self._wants_other(manifest, factory):
            manifest, problem = self._with_factory(manifest, factory, stage)
        if manifest != kept:
            self._publish(manifest)
        added = sum(len(source.ids) for source in new.values())
        reasons = "; ".join(part for part in (fault, reason, problem, _told(unreadable)) if part)
        return self._opened(manifest, self._load(manifest), state or "current", added, reasons)

    def _readable(self, sources: dict[Key, Source]) -> tuple[dict[Key, Source], list[BrokenShardError]]:
        """The sources whose shards can be read, and what is wrong with the others."""
        read, broken = dict[Key, Source](), list[BrokenShardError]()
        for key, source in sources.items():
            try:
                self._read_vectors(source.shard)
                read[key] = source
            except BrokenShardError as error:
                broken.append(error)
        return read, broken

    def _still_fitting(self, wanted: dict[Key, Source]) -> tuple[Manifest | None, State | None, str]:
        """What is there if all of it is wanted and sound; else what must be done instead, and why."""
        try:
            manifest = read_manifest(self._folder)
            if not set(manifest.sources) <= wanted.keys():
                raise UnfitError("it holds vectors that are stored no more, or elsewhere")
            self._load(manifest)
        except UnfitError as error:
            return (None, "built", "") if error.is_absent else (None, "rebuilt", str(error))
        return manifest, None, ""

    def _grown(
        self,
        kept: Manifest | None,
        new: Sequence[Source],
        keys: tuple[Key, ...],
        on_rows: OnRows,
    ) -> Manifest:
        """Write new segments, joined with those before that are no larger; what a factory covers stays as it is."""
        segments, covered = list(kept.segments if kept else ()), kept.factory.segments if kept and kept.factory else 0
        rows, joined = sum(len(source.ids) for source in new), list[SegmentFiles]()
        for segment in sorted(segments[covered:], key=lambda one: one.count):
            if segment.count <= min(rows, SEGMENT_ROWS // 2):
                joined.append(segment)
                rows += segment.count
        loaded = [self._segment(segment, kept.dimension) for segment in joined] if kept else []
        dimension = 0
        segments = [segment for segment in segments if segment not in joined]
        for flat, ids in flat_indexes(self._blocks(new, on_rows), unit=loaded):
            dimension = flat.d
            segments.append(self._write_segment(flat, ids))
            del flat
        return Manifest(kept.dimension if kept else dimension, keys, tuple(segments), kept.factory if kept else None)

    def _blocks(self, sources: Sequence[Source], on_rows: OnRows) -> Iterator[tuple[ArrayLike, ArrayLike]]:
        done, total = 0, sum(len(source.ids) for source in sources)
        for source in sources:
            yield source.ids, source.of(self._read_vectors(source.shard))
            done += len(source.ids)
            on_rows(done, total)

    def _wants_other(self, manifest: Manifest, factory: str | None) -> bool:
        has = manifest.factory
        if factory is None:
            factory = has.string if has else FLAT
        string = self._string(factory, manifest.count)
        if not string:
            return has is not None
        if has is None:
            return True
        tail = sum(segment.count for segment in manifest.segments[has.segments :])
        is_automatic = not factory and has.string.startswith("IVF")  # its number of lists follows when it is made anew
        return tail > _TAIL_SHARE * (manifest.count - tail) or not (is_automatic or has.string == string)

    @staticmethod
    def _string(factory: str | None, count: int) -> str:
        if factory == FLAT or (not factory and count <= EXACT_ROWS):
            return ""
        return factory or factory_of_size(count)

    def _with_factory(self, manifest: Manifest, factory: str | None, stage: Stage) -> tuple[Manifest, str]:
        """The index with the factory's index over all its segments, measured; exact, and why, where it cannot be."""
        exact = Manifest(manifest.dimension, manifest.sources, manifest.segments, None)
        if factory is None and manifest.factory is not None:
            factory = manifest.factory.string
        string = self._string(factory, manifest.count)
        if not string:
            return exact, ""
        segments = [self._segment(segment, manifest.dimension) for segment in manifest.segments]
        device = self._found_device(manifest.dimension)
        try:
            with stage("fill index") as on_rows:
                proposer, recall = make(string, segments, device, encoders=self._encoders, on_rows=on_rows)
        except FactoryError as error:
            return exact, f"it is exact, for {error}"
        file = self._written(f"{uuid.uuid4().hex}.factory.faiss", lambda file: write(proposer.index, file.write))
        made = FactoryFile(file, string, len(manifest.segments), proposer.effort, recall)
        return Manifest(manifest.dimension, manifest.sources, manifest.segments, made), ""

    def _opened(
        self, manifest: Manifest, index: VectorIndex, state: State, added: int = 0, reason: str = ""
    ) -> OpenedIndex:
        made = manifest.factory
        return OpenedIndex(index, state, added, made.string if made else "", made.recall if made else None, reason)

    def _in_memory(self, wanted: dict[Key, Source], reason: str) -> OpenedIndex:
        sources, unreadable = self._readable(wanted)
        if not sources:
            raise unreadable[0]
        index = VectorIndex.build(self._blocks(list(sources.values()), lambda done, total: None))
        reasons = "; ".join(part for part in (reason, _told(unreadable)) if part)
        return OpenedIndex(index, "not kept", len(index), reason=reasons)

    def _load(self, manifest: Manifest) -> VectorIndex:
        device = self._found_device(manifest.dimension)
        segments = [self._segment(segment, manifest.dimension) for segment in manifest.segments]
        made = manifest.factory
        proposer = Factory(self._read(made.file), effort=made.effort) if made else None
        if made and proposer and len(proposer) != sum(len(segment) for segment in segments[: made.segments]):
            raise UnfitError(f"{made.file.name} holds another number of vectors than it should")
        try:
            return VectorIndex(segments, device, proposer)
        except ValueError as error:
            raise UnfitError(str(error)) from error

    def _segment(self, segment: SegmentFiles, dimension: int) -> Segment:
        flat = self._read(segment.vectors)
        ids = self._read_ids(segment.ids)
        if flat.d != dimension or not flat.ntotal == len(ids) == segment.count:
            raise UnfitError(f"{segment.vectors.name} holds other vectors than it should")
        return Segment(flat, ids, self._found_device(dimension))

    def _found_device(self, dimension: int) -> Device:
        self._device = self._device or Device(dimension)
        return self._device

    def _read(self, file: File) -> Any:
        path = checked_file(self._folder, file)
        try:
            return read(path)
        except RuntimeError as error:
            raise UnfitError(f"{file.name} cannot be read") from error

    def _read_ids(self, file: File) -> NDArray[np.int64]:
        path = checked_file(self._folder, file)
        try:
            ids: NDArray[np.int64] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UnfitError(f"{file.name} cannot be read") from error
        return ids

    def _write_segment(self, flat: Any, ids: NDArray[np.int64]) -> SegmentFiles:
        name = uuid.uuid4().hex
        vectors = self._written(f"{name}.vectors.faiss", lambda file: write(flat, file.write))
        return SegmentFiles(vectors, self._written(f"{name}.ids.npy", lambda file: np.save(file, ids)), len(ids))

    def _written(self, name: str, put: Callable[[NewFile], None]) -> File:
        with new_file(self._folder / name) as file:
            put(file)
        return File(name, file.sha256)

    def _publish(self, manifest: Manifest) -> None:
        if self._published:
            self._published.publish(manifest)
        write_manifest(self._folder, manifest)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait until no other process changes the index; the lock goes with the process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _told(unreadable: Sequence[BrokenShardError]) -> str:
    if not unreadable:
        return ""
    return f"{len(unreadable):,} shards cannot be read and are left out: antipode vectors check"
