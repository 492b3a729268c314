"""Files and folders that appear whole or not at all, wherever the process is killed and however full the disk is.

And what they are called: a name that somebody gave never leads out of a folder.

They are written as a draft beside their place, brought to the disk, and moved there. A draft's name begins with a dot,
and nothing reads it; a killed process leaves its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

# What network file systems answer to fsync on a folder, and any to a folder that may be written but not read.
_UNABLE = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES}

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


ReportKind = Literal["run", "policy", "study"]
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\..*)?")  # on Windows, also with an ending
_LONGEST_NAME = 120  # bytes; file systems take 255, and endings and hashes follow
_HASH_DIGITS = 8
_LIKE_HASHED = re.compile(rf".*-[0-9a-f]{{{_HASH_DIGITS}}}")

Signature = tuple[int, int, int]

_hashes: dict[Path, tuple[Signature, str]] = {}  # of files that were read, with their signatures


def file_name(name: str) -> str:
    """A name that the user or the data gave, as one that is safe in any folder and still readable.

    Letters, digits, `_`, `-` and dots stay, letters as small ones, for some file systems take `A` for `a`; the rest
    becomes `-`. Where anything changed, or the name ends as if it had been, digits of the name's hash follow: different
    names stay different.
    """
    plain = _NOT_IN_NAMES.sub("-", unicodedata.normalize("NFC", name).casefold()).strip(".-")
    plain = plain.encode("utf-8", "ignore")[:_LONGEST_NAME].decode("utf-8", "ignore")
    if plain == name and plain and not _RESERVED.fullmatch(plain) and not _LIKE_HASHED.fullmatch(plain):
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{plain}-{digest}" if plain and not _RESERVED.fullmatch(plain) else f"unnamed-{digest}"


def inside(folder: Path, name: str) -> Path:
    """The place of a name that was stored, which must be in the folder: a database may come from elsewhere.

    Raises:
        ValueError: It is not.
    """
    path, plain = folder / name, Path(os.path.normpath(name))
    # By its letters: a link that the user made, of a folder of weights onto a larger disk, is followed.
    if not name or plain.is_absolute() or plain.parts[:1] in {(), ("..",)}:
        raise ValueError(f"the database names the folder {name!r}, which is not in {folder}; it is not followed")
    return path


def report_file(root: Path, kind: ReportKind, number: int) -> Path:
    """Where the report page of a run, a policy or a study lies under the folder of artifacts."""
    return root / "reports" / f"{kind}-{number}.html"


def rejects_file(root: Path, name: str, content_hash: str) -> Path:
    """Where the rejected rows of a source lie under the folder of artifacts: a file for each name and content."""
    return root / "rejects" / f"{file_name(name)}-{content_hash[:8]}.jsonl"


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in 64 hex digits; it is read once in a process, and again only if it has changed."""
    now, known = signature(path), _hashes.get(path.absolute())
    if known is None or known[0] != now:
        with path.open("rb") as file:
            known = now, hashlib.file_digest(file, "sha256").hexdigest()
        _hashes[path.absolute()] = known
    return known[1]


def signature(path: Path) -> Signature:
    """What is different once a file has changed; nothing of it is read."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextmanager
def whole_file(path: Path, *, draft: Path | None = None) -> Iterator[Path]:
    """Give a name to write a file under; the file takes the place of `path` at the end, or vanishes on failure.

    Args:
        path: what is there stays until the new file is whole; its folder must exist.
        draft: the name, beside `path`; what a killed process left there is then written over, but two processes must
            not write at once. None: a name of its own.

    Raises:
        OSError: The file cannot be written, or `path` is a folder.
    """
    draft = draft or _beside(path)
    try:
        with _named_as(path, draft):
            yield draft
        _sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def whole_folder(path: Path, *, is_replacing: bool, draft: Path | None = None) -> Iterator[Path]:
    """Make a folder to write into; it takes the place of `path` at the end, or vanishes on failure.

    Args:
        path: its place; folders on the way are made.
        is_replacing: Whether a folder there is replaced: it is moved aside first, so for a moment nothing is there.
            Otherwise the one that was there first stays.
        draft: its name until then, beside `path`; it may exist. None: a name of its own.

    Raises:
        FileExistsError: A folder is there that is not to be replaced.
        OSError: The folder cannot be written.
    """
    draft = draft or _beside(path)
    with _named_as(path, draft):
        draft.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        for inside in draft.rglob("*"):
            _sync(inside)
        _sync(draft)
        if is_replacing and path.is_dir():
            _replace_folder(path, draft)
        else:
            _move_folder(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync(path.parent)


@contextmanager
def _named_as(path: Path, draft: Path) -> Iterator[None]:
    """Let a draft that cannot be written be told by the name that its user knows."""
    try:
        yield
    except OSError as error:
        is_nameless = error.filename is None and error.errno in _NO_ROOM  # a write does not know its file's name
        if error.errno is None or not (is_nameless or str(draft) in str(error)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def _replace_folder(path: Path, draft: Path) -> None:
    earlier = _beside(path)
    path.replace(earlier)
    try:
        draft.replace(path)
    except BaseException:
        earlier.replace(path)
        raise
    if earlier.is_symlink():
        earlier.unlink()
    else:
        shutil.rmtree(earlier, ignore_errors=True)


def _move_folder(draft: Path, path: Path) -> None:
    try:
        draft.replace(path)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        raise


def _sync(path: Path) -> None:
    """Bring a file's bytes, or the names in a folder as far as its file system can, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in _UNABLE):
            raise OSError(error.errno, error.strerror, str(path)) from error
