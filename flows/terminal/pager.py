"""Long output on a terminal through a pager, the one of PAGER or less; elsewhere, and what fits, as it is."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULT = "less"
OF_LESS = "FRX"  # end at once if it fits, show colours, leave the text on the screen
NO_PAGER = ("", "cat")


class _Kept(io.StringIO):
    """What is printed, kept; a terminal for whoever asks."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextmanager
def paged() -> Iterator[None]:
    """Show what is printed to stdout within through a pager, if it is longer than the terminal is high."""
    if not sys.stdout.isatty() or _pager() is None:
        yield
        return
    terminal, kept = sys.stdout, _Kept()
    sys.stdout = kept
    try:
        yield
    finally:
        sys.stdout = terminal
        _show(kept.getvalue())


def _pager() -> list[str] | None:
    named = os.environ.get("PAGER", DEFAULT)
    try:
        words = [] if named in NO_PAGER else shlex.split(named)
    except ValueError:  # a quotation mark that is not closed
        return None
    return words if words and shutil.which(words[0]) else None


def _show(text: str) -> None:
    pager = _pager()
    if pager is None or text.count("\n") < shutil.get_terminal_size().lines:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    environment = {"LESS": OF_LESS} | os.environ
    # Ctrl-C is the pager's while it is up. Only the main thread may say so.
    is_main = threading.current_thread() is threading.main_thread()
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    try:
        subprocess.run(pager, input=text.encode("utf-8", "backslashreplace"), env=environment, check=False)
    except OSError:
        sys.stdout.write(text)
    finally:
        if earlier is not None:
            signal.signal(signal.SIGINT, earlier)
