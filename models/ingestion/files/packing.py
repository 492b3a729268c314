"""Packed files: gzip, bzip2, xz, Zstandard and zip, unpacked in pieces and no further than an honest file goes.

Knows nothing of what a file holds.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

import zstandard

from models.ingestion.limits import UNPACKED_AT_LEAST, UNPACKED_TIMES
from models.ingestion.rows import SourceError, encodable
from models.records import shortened

if TYPE_CHECKING:
    from typing_extensions import Buffer

UNPACKING_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile)

_PIECE = 2**16
_ZST_PIECE = 2**8  # packed: its unpacker takes no limit, and three bytes may say 128 KiB
_LARGEST_XZ = 2**27  # bytes of memory: `xz -9` asks for 65 MiB, a forged file for 4 GiB
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error)


@contextmanager
def unpacked(path: Path, data_suffixes: tuple[str, ...]) -> Iterator[IO[bytes]]:
    """The bytes of a file behind its packing, which its name tells; of a zip, of the one data file in it.

    Args:
        path: the file; without one of `PACKED_SUFFIXES` it is given as it is, and can be sought in.
        data_suffixes: what the names of data files end in.

    Raises:
        SourceError: a zip with no data file or several; on reading: the file unpacks to more than it may.
    """
    pieces_of = _PACKINGS.get(path.suffix.lower())
    with path.open("rb") as packed:
        if path.suffix.lower() == ".zip":
            with _archive(packed, path) as archive:
                member = _one_data_file(archive, path, data_suffixes)
                yield _buffered(_zip_pieces(archive, member, path), path)
        elif pieces_of is not None:
            yield _buffered(pieces_of(packed), path)
        else:
            yield packed


def data_file_name(path: Path, data_suffixes: tuple[str, ...]) -> str:
    """The name of the file behind the packing: without `.gz` and the like, or as it is called in the zip.

    Raises:
        SourceError: a zip with no data file or several, or one that cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with path.open("rb") as packed, _archive(packed, path) as archive:
            return PurePosixPath(_one_data_file(archive, path, data_suffixes).filename).name
    return path.stem if suffix in PACKED_SUFFIXES else path.name


def refuse_bomb(path: Path, data_suffixes: tuple[str, ...]) -> None:
    """Unpack a small file to its end, so that one that unpacks to too much is refused before a row of it is stored.

    Raises:
        SourceError: it does.
    """
    if path.suffix.lower() in PACKED_SUFFIXES and path.stat().st_size * UNPACKED_TIMES <= UNPACKED_AT_LEAST:
        # what is broken is told where it breaks off, after the rows before it
        with suppress(*UNPACKING_ERRORS), unpacked(path, data_suffixes) as stream:
            while stream.read(_PIECE):
                pass


class _Pieces(io.RawIOBase):
    """Pieces as a stream, which counts what comes out."""

    def __init__(self, pieces: Iterator[bytes], path: Path) -> None:
        self._pieces = pieces
        self._path = path
        self._waiting = memoryview(b"")
        self._left = max(UNPACKED_AT_LEAST, UNPACKED_TIMES * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        while not self._waiting:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._waiting = memoryview(piece)
            self._left -= len(piece)
            if self._left < 0:
                raise SourceError(
                    f"{self._path}: unpacks to over {UNPACKED_TIMES} times its size, as no file of rows does; if it is "
                    "one, unpack it yourself"
                )
        size = min(len(target), len(self._waiting))
        target[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size


def _buffered(pieces: Iterator[bytes], path: Path) -> IO[bytes]:
    return cast(IO[bytes], io.BufferedReader(_Pieces(pieces, path), _PIECE))


def _gzip_pieces(packed: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=packed) as stream:
        while piece := stream.read1(_PIECE):  # what is there: the next read may be the one that fails
            yield piece


def _zst_pieces(packed: IO[bytes]) -> Iterator[bytes]:
    """Frame after frame by hand: the library's own stream takes a file that is cut off for a whole one."""
    waiting = packed.read(_ZST_PIECE)
    while waiting:
        frame = zstandard.ZstdDecompressor().decompressobj()
        while True:
            yield frame.decompress(waiting)
            if frame.eof:
                break
            waiting = packed.read(_ZST_PIECE)
            if not waiting:
                raise EOFError("the file ends within a frame")
        waiting = frame.unused_data or packed.read(_ZST_PIECE)


def _bz2_pieces(packed: IO[bytes]) -> Iterator[bytes]:
    return _stream_pieces(packed, bz2.BZ2Decompressor)


def _xz_pieces(packed: IO[bytes]) -> Iterator[bytes]:
    return _stream_pieces(packed, lambda: lzma.LZMADecompressor(memlimit=_LARGEST_XZ))


def _stream_pieces(
    packed: IO[bytes], make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> Iterator[bytes]:
    waiting = packed.read(_PIECE)
    while waiting:
        unpacker = make()
        while not unpacker.eof:
            yield unpacker.decompress(waiting, _PIECE)
            waiting = packed.read(_PIECE) if unpacker.needs_input and not unpacker.eof else b""
            if unpacker.needs_input and not waiting and not unpacker.eof:
                raise EOFError("the file ends within a stream")
        waiting = (unpacker.unused_data or packed.read(_PIECE)).lstrip(b"\0")  # xz fills up with zeros


def _zip_pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    try:
        with archive.open(member) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except _ZIP_ERRORS as error:
        raise _unreadable(path, error) from error


_PACKINGS: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    ".gz": _gzip_pieces,
    ".bz2": _bz2_pieces,
    ".xz": _xz_pieces,
    ".zst": _zst_pieces,
}
PACKED_SUFFIXES = (*_PACKINGS, ".zip")


@contextmanager
def _archive(packed: IO[bytes], path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(packed)
    except _ZIP_ERRORS as error:
        raise _unreadable(path, error) from error
    with archive:
        yield archive


def _one_data_file(archive: zipfile.ZipFile, path: Path, data_suffixes: tuple[str, ...]) -> zipfile.ZipInfo:
    """The one member that is a data file by its name; what else lies beside it (a README, a licence) is left."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    found = [member for member in members if _is_data(member.filename, data_suffixes)]
    if len(found) != 1:
        names = ", ".join(member.filename for member in found or members) or "nothing"
        what = f"{len(found)} data files" if found else "no data file"
        advice = "unpack it and import them one by one" if found else f"expected one of {', '.join(data_suffixes)}"
        raise SourceError(f"{path}: the zip holds {what} ({encodable(shortened(names, 300))}); {advice}")
    if found[0].flag_bits & 1:
        raise SourceError(f"{path}: the zip asks for a password; unpack it yourself")
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # of the other methods the library unpacks 64 KiB at once, which may be gigabytes
        raise SourceError(f"{path}: the zip is packed by another method than deflate; unpack it yourself")
    return found[0]


def _is_data(name: str, data_suffixes: tuple[str, ...]) -> bool:
    path = PurePosixPath(name)
    is_hidden = path.name.startswith(".") or "__MACOSX" in path.parts  # what macOS puts beside each file
    return path.suffix.lower() in data_suffixes and not is_hidden


def _unreadable(path: Path, error: Exception) -> SourceError:
    reason = encodable(shortened(str(error) or type(error).__name__, 200))
    return SourceError(f"{path}: not readable as a zip ({reason}); fetch it again, or unpack it yourself")
