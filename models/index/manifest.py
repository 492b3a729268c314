"""What an index on disk is made of: its manifest, and files that are compared with their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from models.files import Signature, signature, whole_file

MANIFEST, LOCK, VERSION = "index.json", "lock", 1
_READ_BYTES = 2**24
_UNREADABLE = "its index.json is damaged or of another version"

_sound: dict[Path, tuple[Signature, str]] = {}  # files that were hashed, with their signatures


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of the true nearest `neighbours` a factory's index found, as a share, over `sample` stored vectors."""

    recall: float
    sample: int
    neighbours: int = 10


@dataclass(frozen=True, slots=True)
class File:
    """A file of the folder and the hash of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """A segment's two files and its number of vectors."""

    vectors: File
    ids: File
    count: int


@dataclass(frozen=True, slots=True)
class FactoryFile:
    """A factory's index over the first `segments`: its file and string, how far it searches, what it then finds."""

    file: File
    string: str
    segments: int
    effort: int
    recall: Recall


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of an index; `sources`: shard, hash of ids and rows, and number of vectors, of all that is in it."""

    dimension: int
    sources: tuple[tuple[str, str, int], ...]
    segments: tuple[SegmentFiles, ...]
    factory: FactoryFile | None

    @property
    def count(self) -> int:
        """Vectors in all."""
        return sum(segment.count for segment in self.segments)

    @property
    def all_files(self) -> list[File]:
        """The files that count."""
        of_segments = [file for segment in self.segments for file in (segment.vectors, segment.ids)]
        return of_segments + ([self.factory.file] if self.factory else [])

    @property
    def files(self) -> set[str]:
        """Their names."""
        return {file.name for file in self.all_files}

    @property
    def text(self) -> str:
        """As index.json has it."""
        return json.dumps({"version": VERSION, **asdict(self)})


class UnfitError(Exception):
    """The index on disk is not what it should be; its text says why. `is_absent`: there is none at all."""

    def __init__(self, reason: str, *, is_absent: bool = False) -> None:
        super().__init__(reason)
        self.is_absent = is_absent


def read_manifest(folder: Path) -> Manifest:
    """What the folder's index.json says.

    Raises:
        UnfitError: If there is none that can be read.
    """
    path = folder / MANIFEST
    try:
        return manifest_of(json.loads(path.read_text()))
    except FileNotFoundError as error:
        is_empty = not folder.is_dir() or not any(folder.glob("*.faiss"))
        raise UnfitError("its index.json is missing", is_absent=is_empty) from error
    except OSError as error:
        raise UnfitError(f"its index.json cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UnfitError(_UNREADABLE) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Say that these files of the folder are the index; all others, but for the lock, are deleted.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(folder / MANIFEST) as draft:
        draft.write_text(manifest.text)
    for path in folder.iterdir():
        if path.name not in manifest.files | {MANIFEST, LOCK} and path.is_file():
            path.unlink(missing_ok=True)


def manifest_of(stored: Any) -> Manifest:
    """What was read from an index.json.

    Raises:
        UnfitError: If it is no manifest of this version.
    """
    try:
        return _manifest_of(stored)
    except (ValueError, KeyError, TypeError) as error:
        raise UnfitError(_UNREADABLE) from error


def checked_file(folder: Path, file: File) -> Path:
    """The file's path, its bytes compared with their hash once in a process and again if it has changed.

    Raises:
        UnfitError: If it is not there or holds other bytes.
    """
    path = folder / file.name
    try:
        now = signature(path)
        if _sound.get(path.absolute()) != (now, file.sha256):
            if _hash(path) != file.sha256:
                raise UnfitError(f"{file.name} is damaged")
            _sound[path.absolute()] = now, file.sha256
    except OSError as error:
        raise UnfitError(f"{file.name} cannot be read: {error.strerror}") from error
    return path


@contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """A file that is hashed as it is written; it is there when the block ends, whole, and need not be read to be sound.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(path) as draft, draft.open("wb") as content:
        written = NewFile(content)
        yield written
    _sound[path.absolute()] = signature(path), written.sha256


class NewFile:
    """What writes into one, and knows the hash of it all."""

    def __init__(self, content: BinaryIO) -> None:
        """Take an open file."""
        self._content = content
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what is written so far, 64 hex digits."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> int:
        """Add to the file."""
        self._digest.update(content)
        return self._content.write(content)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(_READ_BYTES):
            digest.update(content)
    return digest.hexdigest()


def _file_of(stored: dict[str, Any]) -> File:
    """A file of the folder itself: whoever writes an index.json at a URL names no other place of its readers."""
    file = File(**stored)
    if file.name in {"", ".", ".."} or file.name != Path(file.name).name:
        raise ValueError(f"a file named {file.name!r}")
    return file


def _manifest_of(stored: dict[str, Any]) -> Manifest:
    if stored["version"] != VERSION:
        raise ValueError(f"version {stored['version']}")
    made = stored["factory"]
    return Manifest(
        int(stored["dimension"]),
        tuple((str(shard), str(digest), int(count)) for shard, digest, count in stored["sources"]),
        tuple(
            SegmentFiles(_file_of(segment["vectors"]), _file_of(segment["ids"]), int(segment["count"]))
            for segment in stored["segments"]
        ),
        None
        if made is None
        else FactoryFile(
            _file_of(made["file"]),
            str(made["string"]),
            int(made["segments"]),
            int(made["effort"]),
            Recall(**made["recall"]),
        ),
    )
