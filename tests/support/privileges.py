"""What a user who is not the superuser may do: the modes of files count."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION_3 = 0x20080522  # linux/capability.h: two words each of effective, permitted and inheritable ones


@contextmanager
def as_anybody() -> Iterator[None]:
    """Let this thread have no capability: the superuser too is refused what a file's mode forbids its owner."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, kept = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()

    def call(name: str, words: ctypes.Array[ctypes.c_uint32]) -> None:
        if getattr(libc, name)(header, words):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    call("capget", kept)
    call("capset", (ctypes.c_uint32 * 6)(0, *kept[1:3], 0, *kept[4:6]))
    try:
        yield
    finally:
        call("capset", kept)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """A file or folder that nobody may write to; with all that is in it, if it is a folder."""
    before = {one: one.stat().st_mode for one in (path, *path.rglob("*"))}
    for one, mode in before.items():
        one.chmod(mode & ~0o222)
    try:
        with as_anybody():
            yield
    finally:
        for one, mode in before.items():
            one.chmod(mode)
