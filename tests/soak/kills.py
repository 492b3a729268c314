"""An act in a process of its own, killed at a point or a moment.

The points are before and after each commit and each rename. A process is forked from this one, which has imported
everything, so that a kill costs tenths of a second; SIGKILL leaves it no moment to tidy up.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy.engine.default import DefaultDialect

LIMIT_S = 600


@dataclass(frozen=True)
class Ended:
    """How a process ended. `points`: how many it passed, known if it was not killed."""

    is_killed: bool
    points: int
    seconds: float


class ActFailedError(RuntimeError):
    """An act raised, with its traceback."""


def run_act(
    act: Callable[[], None],
    environment: Mapping[str, str],
    log: Path,
    *,
    kill_at_point: int | None = None,
    kill_after_s: float | None = None,
    halt: tuple[int, Callable[[], None]] | None = None,
) -> Ended:
    """Fork, act, and be killed at a point (from 1 on), after a time, or not at all.

    `halt`: a point at which the process stands still while this one does something to its surroundings.

    Raises:
        ActFailedError: If the act raised.
    """
    reader, writer = os.pipe()
    started = time.monotonic()
    gc.freeze()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _act(act, environment, log, writer, _Points(kill_at_point, halt[0] if halt else None))
    os.close(writer)
    if halt and os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT).si_code == os.CLD_STOPPED:
        halt[1]()
        os.kill(child, signal.SIGCONT)
    killer = threading.Timer(LIMIT_S if kill_after_s is None else kill_after_s, os.kill, (child, signal.SIGKILL))
    killer.start()
    with os.fdopen(reader) as answers:
        said = answers.read()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    seconds = time.monotonic() - started
    if os.WIFSIGNALED(status):
        if seconds >= LIMIT_S:
            raise ActFailedError(f"no end after {LIMIT_S} s; see {log}")
        return Ended(True, 0, seconds)
    if os.WEXITSTATUS(status):
        raise ActFailedError(log.read_text(errors="replace")[-6_000:])
    return Ended(False, int(said or 0), seconds)


def _act(act: Callable[[], None], environment: Mapping[str, str], log: Path, writer: int, points: _Points) -> NoReturn:
    code = 1
    try:
        os.environ.update(environment)
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        faulthandler.enable()
        points.watch()
        act()
        os.write(writer, str(points.passed).encode())
        code = 0
    except BaseException:  # noqa: BLE001 (nothing above this frame is the act's)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Points:
    """Counts commits and renames of this process, before and after each; ends or halts it where it was asked to."""

    def __init__(self, kill_at: int | None, halt_at: int | None) -> None:
        self.passed = 0
        self._signals = {kill_at: signal.SIGKILL, halt_at: signal.SIGSTOP}
        self._lock = threading.Lock()

    def watch(self) -> None:
        """Begin to count."""
        self._watch(DefaultDialect, "do_commit")
        for name in ("replace", "rename", "link"):
            self._watch(os, name)

    def _watch(self, owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            self._pass()
            result = inner(*arguments, **named)
            self._pass()
            return result

        setattr(owner, name, watched)

    def _pass(self) -> None:
        with self._lock:
            self.passed += 1
            if self.passed in self._signals:
                os.kill(os.getpid(), self._signals[self.passed])
