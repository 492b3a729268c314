"""The Prefect server of a running `antipode up`, as commands beside it find it: a file that is locked while it runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE = "prefect-server"  # in the artifact root; holds the address of the API


@contextmanager
def announced(address: str, artifact_root: Path) -> Iterator[None]:
    """Within, `announced_address` says this address; a process that is killed announces nothing any more.

    Of two on one folder the first stays announced.
    """
    path = artifact_root / _FILE
    artifact_root.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield
            return
        file.truncate(0)
        file.write(address)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def announced_address(artifact_root: Path) -> str | None:
    """The API's address, None where no `antipode up` runs on this folder."""
    try:
        with (artifact_root / _FILE).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        return (artifact_root / _FILE).read_text("utf-8") or None
    except OSError:
        return None
