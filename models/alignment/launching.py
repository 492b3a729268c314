"""Several processes that train together, by torch's elastic launcher: one a GPU, on CPUs over gloo. Knows no model."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.alignment.errors import (
    DeviceMemoryError,
    DiskFullError,
    NothingToTrainError,
    TrainingDivergedError,
    TrainingFailedError,
)
from models.errors import ModelLoadError
from models.number_format import torch_device

FAILURE = "failure.json"
# What a caller acts on comes back as what it was; whatever else, as a `TrainingFailedError` that quotes it.
_KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (DeviceMemoryError, DiskFullError, ModelLoadError, NothingToTrainError, TrainingDivergedError)
}
# The launcher ends the others by the first; NCCL's watchdog by the second, in a process whose partner is gone.
_AFTER_ANOTHER = {-signal.SIGTERM, -signal.SIGABRT}


def launch(folder: Path, processes: int) -> None:
    """Do the training of a folder in so many processes of this host; one that ends ends all.

    Raises:
        TrainingFailedError: One of them died, it says which one first, or failed of what has no error of its own.
        ValueError: There are fewer GPUs than processes.
        Exception: What the first to fail raised, of the kinds that `models.alignment.training.train` names.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    check_devices(processes)
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
        raise _cause(folder, processes, error.failures) from error


def check_devices(processes: int) -> None:
    """Refuse more processes than GPUs, where there are any.

    Raises:
        ValueError: There are more.
    """
    if torch_device() == "cpu":
        return
    import torch

    if processes > (count := torch.cuda.device_count()):
        raise ValueError(f"{processes} processes need a GPU each, this host has {count}; lower processes")


def command_of_other_hosts(folder: Path, accelerate_config: str) -> str | None:
    """What is to be run on each other host of a configuration file, None if there is no other."""
    import yaml

    hosts = int(yaml.safe_load(Path(accelerate_config).read_text("utf-8")).get("num_machines", 1))
    if hosts < 2:
        return None
    ranks = "1" if hosts == 2 else f"1 to {hosts - 1}"
    config = Path(accelerate_config).absolute()
    return (
        f"accelerate launch --config_file {config} --machine_rank N -m models.alignment.training {folder.absolute()} "
        f"(N: {ranks})"
    )


def write_failure(folder: Path, error: Exception) -> None:
    """Leave why this process failed, unless another did first: then this one fails since that one is gone."""
    kind = type(error).__name__
    arguments = error.__reduce__()[1] if type(error) is _KINDS.get(kind) else None
    with suppress(FileExistsError), (folder / FAILURE).open("x", encoding="utf-8") as file:
        json.dump({"kind": kind, "arguments": arguments, "text": f"{kind}: {error}"}, file)


def failure_of(folder: Path, otherwise: str) -> Exception:
    """What the first process to fail left of why; a `TrainingFailedError` that says `otherwise` if none left a word."""
    try:
        left = json.loads((folder / FAILURE).read_text("utf-8"))
    except (OSError, ValueError):  # none, or one that was cut off
        return TrainingFailedError(str(folder), otherwise)
    if left["arguments"] is None:
        return TrainingFailedError(str(folder), left["text"])
    return _KINDS[left["kind"]](*left["arguments"])


def _cause(folder: Path, processes: int, failures: dict[int, Any]) -> Exception:
    """Why it failed: a process that was killed says nothing, and those that it leaves fail since it is gone."""
    killed = [
        (rank, -failure.exitcode)
        for rank, failure in sorted(failures.items())
        if failure.exitcode < 0 and failure.exitcode not in _AFTER_ANOTHER
    ]
    if killed:
        rank, number = killed[0]
        hint = "; out of memory is the usual cause" if number == signal.SIGKILL else ""
        return TrainingFailedError(
            str(folder),
            f"process {rank + 1} of {processes} was ended by signal {number}, {signal.Signals(number).name}{hint}; "
            "the others were stopped",
        )
    return failure_of(folder, f"one of its {processes} processes ended without a word; see the log")
