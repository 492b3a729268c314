"""One training, from its job's folder to its model, in another process.

    python -m models.alignment.training FOLDER                                           (by hand)
    accelerate launch --config_file FILE -m models.alignment.training FOLDER             (a file's hosts)

`train` writes the folder, starts the process and passes on what it measures. A training that was killed goes on from
its newest whole checkpoint.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

from models.alignment.errors import TrainingFailedError
from models.alignment.job import METRICS, TrainingJob, only_process, read_job, read_metrics_line, read_result, write_job
from models.alignment.launching import FAILURE, failure_of, launch, write_failure
from models.alignment.records import MetricPoint, StepsDone, TrainingResult, UnfitExample
from models.processes.isolated_host import watch_parent
from models.processes.isolation import IsolatedProcess, StartsBackend

_POLL_S = 0.5


def train(
    job: TrainingJob,
    *,
    log_path: Path,
    on_metrics: Callable[[Sequence[MetricPoint]], None],
    on_step: Callable[[int, int], None],
    timeout_s: float | None,
    start: StartsBackend = IsolatedProcess,
) -> tuple[TrainingResult, tuple[UnfitExample, ...]]:
    """Do the training, or find it done; return how it ended and which examples could not be trained on.

    Args:
        job: What is to be done, in a folder of its own.
        log_path: Where the process's own output is appended.
        on_metrics: Called with new points while it trains. In a folder with an earlier training all points come again,
            since the process that began it may have been killed before it passed them on.
        on_step: Called with the optimizer steps done and in total.
        timeout_s: Limit for the whole training, in seconds; None waits for ever.
        start: What starts it: a process of its own, or `SharedProcess.start`.

    Raises:
        NothingToTrainError: No example fits.
        TrainingDivergedError: A loss or gradient was not finite.
        DiskFullError: There is no room for a checkpoint or the model.
        DeviceMemoryError: The device's memory does not suffice.
        FolderInUseError: Another process trains in the folder.
        ModelLoadError: The start model does not load.
        TrainingFailedError: One of several processes died, or failed of something else.
        ValueError: The settings cannot be kept, or there are fewer GPUs than processes.
    """
    result = read_result(job.folder)
    metrics = _MetricsReader(job.folder / METRICS)
    if result is None:
        with (
            closing(start(TrainingProcess, {"job": job}, log_path=log_path, timeout_s=timeout_s)) as process,
            ThreadPoolExecutor(1) as pool,
        ):
            running = pool.submit(process.call, "run")
            try:
                while not wait([running], timeout=_POLL_S).done:
                    metrics.pass_on(on_metrics, on_step)
            except BaseException:
                process.close()
                raise
            metrics.pass_on(on_metrics, on_step)
            running.result()
        result = read_result(job.folder)
    else:
        metrics.pass_on(on_metrics, on_step)
    if result is None:
        raise TrainingFailedError(str(job.folder), "it ended without a result")
    return result


class TrainingProcess:
    """What runs in the process: the training itself, or the launcher that starts it on several devices."""

    def __init__(self, *, job: TrainingJob) -> None:
        self._job = job

    def run(self) -> None:
        """Train until the result is written."""
        folder, config = self._job.folder, self._job.accelerate_config
        with only_process(folder):
            if read_result(folder) is not None:  # another process did it in the meantime
                return
            write_job(self._job)
            if config is None and self._job.processes == 1:
                run_folder(folder)
                return
            if config is None:
                launch(folder, self._job.processes)
                return
            (folder / FAILURE).unlink(missing_ok=True)
            launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config]
            result = subprocess.run([*launcher, "-m", "models.alignment.training", str(folder)], check=False)
            if result.returncode:
                raise failure_of(folder, f"the launcher ended with code {result.returncode}; see the log")


def run_folder(folder: Path) -> None:
    """Do the training of a folder in this process, which may be one of several that were launched together."""
    from models.alignment.job_run import run_job

    run_job(read_job(folder), folder)


class _MetricsReader:
    """Reads the metrics' file: first all of it, then what was added since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def pass_on(self, on_metrics: Callable[[Sequence[MetricPoint]], None], on_step: Callable[[int, int], None]) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole_lines = file.read().rpartition(b"\n")[0]
        self._offset += len(whole_lines) + 1 if whole_lines else 0
        lines = [read_metrics_line(line) for line in whole_lines.splitlines()]
        points = [line for line in lines if isinstance(line, MetricPoint)]
        if points:
            on_metrics(points)
        steps = [line for line in lines if isinstance(line, StepsDone)]
        if steps:
            on_step(steps[-1].done, steps[-1].total)


if __name__ == "__main__":
    job_folder = Path(sys.argv[1])
    if "TORCHELASTIC_RUN_ID" in os.environ:  # it has a session of its own, where its launcher's end would not reach it
        watch_parent(os.getppid())
    try:
        run_folder(job_folder)
    except Exception as error:
        write_failure(job_folder, error)
        raise
