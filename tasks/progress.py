"""A progress bar per stage on the terminal and, under Prefect, a progress artifact. Knows nothing of the stages."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

ARTIFACT_INTERVAL_S = 5.0

Advance = Callable[[int], None]


@contextmanager
def stage_progress(stage: str, total: int, unit: str) -> Iterator[Advance]:
    """Show how far a stage is; call the yielded function with the number of items just done.

    On a terminal the bar is live; elsewhere it is printed once, at the end.
    """
    publish = _artifact_publisher(stage, total)
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    done = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(stage, total=total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress.advance(bar, count)
            publish(done)

        yield advance


@contextmanager
def step_progress(stage: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """The same for work that tells how far it is as (done, total); no bar is shown if it never does."""
    with ExitStack() as stack:
        advance: Advance | None = None
        shown = 0

        def on_step(done: int, total: int) -> None:
            nonlocal advance, shown
            if advance is None:
                advance = stack.enter_context(stage_progress(stage, total, unit))
            advance(done - shown)
            shown = done

        yield on_step


def say(line: str) -> None:
    """Tell the user something between two bars: in the log of the Prefect run, where there is one, or on stderr."""
    logger = _run_logger()
    if logger is None:
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
    else:
        logger.info(line)


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
    """Update the stage's artifact at most every few seconds, and at the end: each update is a call to the server."""
    from prefect.artifacts import create_progress_artifact, update_progress_artifact
    from prefect.context import TaskRunContext

    if TaskRunContext.get() is None or total == 0:
        return lambda done: None
    key = re.sub("[^a-z0-9]+", "-", stage.lower())  # nothing else is allowed
    artifact = create_progress_artifact(0.0, key=key, description=f"{stage}: {total} in all")
    last = time.monotonic()

    def publish(done: int) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last > ARTIFACT_INTERVAL_S:
            last = time.monotonic()
            update_progress_artifact(artifact, min(100.0, 100.0 * done / total))  # type: ignore[arg-type]

    return publish
