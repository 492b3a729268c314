"""A run that a notebook started: a process of its own, so that models load and end outside of the notebook."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tasks.settings import Settings

POLL_S = 0.5
_RUN = re.compile(r"^Run (\d+) \(", re.MULTILINE)


class RunFailedError(RuntimeError):
    """The run failed or was stopped; the message is its last line."""


class StartedRun:
    """A run under way or ended. It goes on if the notebook ends; the same settings again go on where it was."""

    def __init__(self, process: subprocess.Popen[bytes], output_path: Path, log_path: Path) -> None:
        """`begin` makes one: it writes results to `output_path`, progress to `log_path`."""
        self._process = process
        self._output_path = output_path
        self.log_path = log_path

    @classmethod
    def begin(cls, command: str, settings: Mapping[str, Any], places: Settings) -> Self:
        """Start a command with these settings in an installation."""
        folder = places.artifact_root / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"notebook-{command}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        output_path, log_path = folder / f"{name}.txt", folder / f"{name}.log"
        # -P: a folder of the notebook's with the name of a package must not hide it.
        arguments = [sys.executable, "-P", "-m", "flows", command, *_options(settings)]
        with output_path.open("wb") as output, log_path.open("wb") as log:
            process = subprocess.Popen(
                arguments,
                env=_environment(places),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,  # out of reach of the interrupt that stops a cell
            )
        return cls(process, output_path, log_path)

    def __repr__(self) -> str:
        state = "running" if self.is_running else f"ended with {self._process.returncode}"
        return f"<run {state}: {self._last_line()}>"

    @property
    def is_running(self) -> bool:
        """Whether its process is at work."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait until it ends, with its progress on one line; return the run's id. Interrupted, the run goes on.

        Raises:
            RunFailedError: If it failed, or was stopped.
        """
        show = _line_display()
        while self.is_running:
            show(self._last_line())
            time.sleep(POLL_S)
        if self._process.returncode:
            raise RunFailedError(f"{self._last_line()} (all of it: {self.log_path})")
        show(self._last_line())
        found = _RUN.search(self._output_path.read_text("utf-8", "replace"))
        if found is None:
            raise RunFailedError(f"it ended, and said no run's id; see {self._output_path}")
        return int(found[1])

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and wait until it has ended."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def _last_line(self) -> str:
        lines = self.log_path.read_text("utf-8", "replace").splitlines()
        return next((line for line in reversed(lines) if line.strip()), "starting")


def _environment(places: Settings) -> dict[str, str]:
    """This one's, with the installation's places; a kernel makes programs take a file for a terminal of colours."""
    own = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "CLICOLOR_FORCE"}}
    return own | places.variables() | {"COLUMNS": "200"}


def _options(settings: Mapping[str, Any]) -> list[str]:
    """The settings as the command line takes them, also values that begin with `-`; sections are JSON."""
    return [
        f"--{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"
        for name, value in settings.items()
    ]


def _line_display() -> Callable[[str], None]:
    """What shows a line in place of the one before: an output of a cell that changes; elsewhere a line of its own."""
    shown = ""
    ipython = sys.modules.get("IPython")
    handle: Any = None
    if ipython is not None and ipython.get_ipython() is not None:
        handle = ipython.display.display({"text/plain": ""}, raw=True, display_id=True)

    def show(line: str) -> None:
        nonlocal shown
        if line == shown:
            return
        shown = line
        if handle is not None:
            handle.update({"text/plain": line}, raw=True)
        else:
            from tasks.terminal import show as print_line

            print_line(line, file=sys.stderr, flush=True)

    return show
