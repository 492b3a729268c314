"""Where the time of a process goes, by looking every few milliseconds at what its main thread does. Knows no kinds.

`begin` counts in this process. Engines that this process starts after `sample_engines` count in files of their own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.02
FOLDER = "BENCH_SAMPLING_FOLDER"

Seconds = dict[str, list[float]]
"""By kind: wall clock and CPU (of all threads but the one that counts)."""


class Sampler:
    """Counts for what the main thread is seen at; a process that is killed has counted until then."""

    def __init__(self, kind_of: Callable[[FrameType], str], path: Path) -> None:
        self._kind_of = kind_of
        self._file = path.open("w", encoding="utf-8")
        self._seconds: Seconds = defaultdict(lambda: [0.0, 0.0])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Count no more."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        main, length = threading.main_thread().ident, 0
        wall, cpu = time.perf_counter(), _cpu_of_others()
        while not self._ended.wait(INTERVAL_S):
            frame = sys._current_frames()[main or 0]
            counted = self._seconds[self._kind_of(frame)]
            del frame  # else what it holds lives until the next look
            last, last_cpu, wall, cpu = wall, cpu, time.perf_counter(), _cpu_of_others()
            counted[0] += wall - last
            counted[1] += cpu - last_cpu
            text = json.dumps(self._seconds).ljust(length)  # else the end of a longer one would stay
            length = len(text)
            self._file.seek(0)
            self._file.write(text)
            self._file.flush()


def sample_engines(folder: Path) -> None:
    """Have the engines that this process starts from now on count, each in a file of this folder."""
    from models.processes import isolation

    os.environ[FOLDER] = str(folder)
    isolation._START = isolation._START.replace("models.processes.isolated_host", "bench.sampling")
    assert "bench.sampling" in isolation._START


def counted_by_engines(folder: Path) -> list[Seconds]:
    """What the engines counted, in the order of their starts."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("engine-*.json"), key=_started)]


def serve(descriptor: int, parent_id: int) -> None:
    """As `models.processes.isolated_host.serve`, counted."""
    from bench.alignment_overhead import engine_kind

    path = Path(os.environ[FOLDER]) / f"engine-{time.time_ns()}.json"
    Sampler(engine_kind, path)
    from models.processes.isolated_host import serve as serve_uncounted

    serve_uncounted(descriptor, parent_id)


def _cpu_of_others() -> float:
    """CPU seconds of this process without those of the thread that asks."""
    return time.process_time() - time.thread_time()


def _started(path: Path) -> int:
    return int(path.stem.partition("-")[2])
