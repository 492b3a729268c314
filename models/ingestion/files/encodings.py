"""How the text of a file is encoded: UTF-8, or UTF-16 with its mark; all else is told by its name."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import IO, TextIO

from models.ingestion.rows import SourceError

UTF_8 = "utf-8-sig"
SAVE_AS_UTF_8 = "save the file as UTF-8 (in Excel: `CSV UTF-8`)"

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # first: it begins with UTF-16's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes, path: Path) -> str:
    """The encoding of a text that begins so: what its mark says, UTF-8 without one.

    Raises:
        SourceError: it is UTF-16 or UTF-32 without its mark, by the NULs among its first letters.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    nuls = tuple(byte == 0 for byte in head[:4])
    found = _WITHOUT_MARK.get(nuls)
    if found is not None:
        raise SourceError(f"{path}: looks like {found} without its mark (BOM); {SAVE_AS_UTF_8}")
    return UTF_8


def text_stream(stream: IO[bytes], encoding: str, *, newline: str = "", is_strict: bool = False) -> TextIO:
    r"""The text of a stream, its line ends as they are. Lone surrogates in UTF-16 stay.

    Args:
        stream: the bytes.
        encoding: as `encoding_of` says.
        newline: what ends a line; empty: `\n`, `\r`, or both.
        is_strict: otherwise a byte that is no UTF-8 becomes a lone surrogate (`surrogateescape`).

    Raises:
        UnicodeDecodeError: on reading, where UTF-16 or UTF-32 is cut off or none, or UTF-8 is none and it is strict.
    """
    errors = "surrogatepass" if encoding != UTF_8 else "strict" if is_strict else "surrogateescape"
    return io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline=newline)


def not_utf_8(byte: int, place: str = "") -> str:
    """What is said of a byte that is no UTF-8: most often an older Windows encoding, in which it is a letter."""
    letter = bytes([byte]).decode("cp1252", "replace")
    meant = f" ({letter!r} in Latin-1 or cp1252)" if letter.isprintable() and letter != "\ufffd" else ""
    return f"not UTF-8: byte 0x{byte:02x}{meant}{place}; {SAVE_AS_UTF_8}"


_WITHOUT_MARK: dict[tuple[bool, ...], str] = {  # which of the first four bytes are NUL
    (False, True, False, True): "UTF-16",
    (True, False, True, False): "UTF-16",
    (False, True, True, True): "UTF-32",
    (True, True, True, False): "UTF-32",
}
