"""How far a stage is: a live bar on a terminal, plain lines elsewhere, under Prefect an artifact too.

Knows nothing of the stages.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tasks.console import PlainConsole
from tasks.terminal import printable, show

ARTIFACT_INTERVAL_S = 5.0
LINE_INTERVAL_S = 10.0  # between two plain lines; a reader of a log waits no more than 15 s


class Advance(Protocol):
    """Takes the number of items just done, and the last of them in words, where that tells something."""

    def __call__(self, count: int, words: str = "", /) -> None:
        """Show that so many more are done."""


@contextmanager
def stage_progress(stage: str, total: int, unit: str) -> Iterator[Advance]:
    """Show how far a stage is; the yielded function takes the number of items just done."""
    publish = _artifact_publisher(stage, total)
    done = 0
    with _display(stage, unit) as display:
        display.update(0, total)

        def advance(count: int, words: str = "", /) -> None:
            nonlocal done
            done += count
            display.update(done, total, words)
            publish(done)

        yield advance


@contextmanager
def step_progress(stage: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """The same for work that reports (done, total) itself, after a beginning that it does not count."""
    publish: Callable[[int], None] | None = None
    with _display(stage, unit) as display:

        def on_step(done: int, total: int) -> None:
            nonlocal publish
            publish = publish or _artifact_publisher(stage, total)
            display.update(done, total)
            publish(done)

        yield on_step


class _Display(Protocol):
    """Shows a stage while it is entered."""

    def update(self, done: int, total: int, words: str = "") -> None:
        """Say how far the stage is, and what was done last."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _display(stage: str, unit: str) -> _Display:
    console = PlainConsole(stderr=True)
    return _Bar(stage, unit, console) if console.is_terminal else _Lines(stage, unit)


class _Bar:
    """A live bar; it pulses until the total is known."""

    def __init__(self, stage: str, unit: str, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
        )
        self._bar = self._progress.add_task(printable(stage), total=None, unit=printable(unit), words="")

    def update(self, done: int, total: int, words: str = "") -> None:
        self._progress.update(self._bar, completed=done, total=total, words=printable(words))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _Lines:
    """A line when the stage begins, every few seconds even without progress, and when it ends."""

    def __init__(self, stage: str, unit: str) -> None:
        self._stage = stage
        self._unit = unit
        self._done, self._total, self._words = 0, 0, ""
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print_regularly, daemon=True)

    def update(self, done: int, total: int, words: str = "") -> None:
        self._done, self._total, self._words = done, total, words

    def __enter__(self) -> Self:
        _print(f"{self._stage} begins")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        _print(f"{self._state()}, {'done' if kind is None else 'stopped'} after {self._elapsed()}")

    def _print_regularly(self) -> None:
        while not self._ended.wait(LINE_INTERVAL_S):
            last = f" (last: {self._words})" if self._words else ""
            _print(f"{self._state()}, {self._elapsed()}{last}")

    def _state(self) -> str:
        return f"{self._stage}: {self._done:,} of {self._total:,} {self._unit}" if self._total else self._stage

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._begun:.0f} s"


def _print(line: str) -> None:
    """Print to stderr; a stream that nobody reads any more is no failure."""
    with suppress(OSError, ValueError):
        show(line, file=sys.stderr, flush=True)


def say(line: str) -> None:
    """Tell the user something between two bars: in the log of the Prefect run, where there is one, and on stderr.

    Where the log is printed too, it is told there alone.
    """
    logger = _run_logger()
    if logger is not None:
        logger.info("%s", line)
    if logger is None or not _is_printed(logger.logger):
        PlainConsole(stderr=True).print(line, soft_wrap=True)


def _is_printed(logger: logging.Logger) -> bool:
    """Whether what is logged reaches the root logger, which prints it."""
    ancestor: logging.Logger | None = logger
    while ancestor is not None and ancestor.parent is not None:
        if not ancestor.propagate:
            return False
        ancestor = ancestor.parent
    return True


def _run_logger() -> logging.LoggerAdapter[logging.Logger] | None:
    """The log of the Prefect run, unless there is none, or the command line has silenced it."""
    if "prefect" not in sys.modules:
        return None
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        logger = get_run_logger()
    except MissingContextError:
        return None
    return logger if isinstance(logger, logging.LoggerAdapter) and logger.isEnabledFor(logging.INFO) else None


def _artifact_publisher(stage: str, total: int) -> Callable[[int], None]:
    """Update the stage's artifact at most every few seconds, and at the end: each update is a call to the server.

    A server that does not answer, though Prefect asks it for a minute, is told no more in this stage: the work goes on.
    """
    if "prefect" not in sys.modules or total == 0:
        return lambda done: None
    from prefect.context import TaskRunContext

    if TaskRunContext.get() is None:
        return lambda done: None
    from httpx import HTTPError
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    key = re.sub("[^a-z0-9]+", "-", stage.lower())  # nothing else is allowed
    artifact = create_progress_artifact(0.0, key=key, description=f"{stage}: {total} in all")
    last, is_lost = time.monotonic(), False

    def publish(done: int) -> None:
        nonlocal last, is_lost
        if is_lost or not (done >= total or time.monotonic() - last > ARTIFACT_INTERVAL_S):
            return
        try:
            update_progress_artifact(artifact, min(100.0, 100.0 * done / total))  # type: ignore[arg-type]
        except HTTPError as error:
            is_lost = True
            say(f"Prefect's server is not told how far {stage} is any more ({error}); the work goes on")
        last = time.monotonic()

    return publish
