"""Several processes that train together, by torch's elastic launcher: one a GPU, on CPUs over gloo. Knows no model."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from models.alignment.errors import TrainingFailedError

FAILURE = "failure.txt"
# The launcher ends the others by the first; NCCL's watchdog by the second, in a process whose partner is gone.
_AFTER_ANOTHER = {-signal.SIGTERM, -signal.SIGABRT}


def launch(folder: Path, processes: int) -> None:
    """Do the training of a folder in so many processes of this host; one that ends ends all.

    Raises:
        TrainingFailedError: One of them failed or died; it says which one first, and why.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check_devices(folder, processes)
    (folder / FAILURE).unlink(missing_ok=True)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "models.alignment.training", str(folder))
    except ChildFailedError as error:
        raise TrainingFailedError(str(folder), _cause(folder, processes, error.failures)) from error


def failure_of(folder: Path, otherwise: str) -> str:
    """What the first process to fail wrote of it."""
    path = folder / FAILURE
    return path.read_text("utf-8") if path.exists() else otherwise


def _check_devices(folder: Path, processes: int) -> None:
    import torch

    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise TrainingFailedError(
            str(folder), f"{processes} processes need a GPU each, this host has {torch.cuda.device_count()}"
        )


def _cause(folder: Path, processes: int, failures: dict[int, Any]) -> str:
    """Why it failed: a process that was killed says nothing, and those that it leaves fail since it is gone."""
    killed = [
        (rank, -failure.exitcode)
        for rank, failure in sorted(failures.items())
        if failure.exitcode < 0 and failure.exitcode not in _AFTER_ANOTHER
    ]
    if killed:
        rank, number = killed[0]
        hint = "; out of memory is the usual cause" if number == signal.SIGKILL else ""
        return (
            f"process {rank + 1} of {processes} was ended by signal {number}, {signal.Signals(number).name}{hint}; "
            "the others were stopped"
        )
    return failure_of(folder, f"one of its {processes} processes ended without a word; see the log")
