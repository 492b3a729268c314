"""The folder of a training: what is to be done, and how it ended.

`job.json` says what is to be done, `examples.jsonl` on what. Both are plain data: whoever can write into the folder can
change a training, but runs no code in it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.alignment.errors import FolderInUseError
from models.alignment.records import (
    Example,
    MetricPoint,
    Parallel,
    StepsDone,
    TrainingResult,
    TrainingSettings,
    UnfitExample,
)
from models.files import whole_file

METRICS, CHECKPOINTS, CHECKPOINT = "metrics.jsonl", "checkpoints", "checkpoint-"
_JOB, _EXAMPLES = "job.json", "examples.jsonl"
_LISTS = ("train", "held_out", "kl_examples")


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A training to do in a folder of its own, which appears if missing.

    `kl_examples`: samples of the reference with its log-probabilities, cut ones too, rejected None; may be empty.
    `processes` of this host train together: with `ddp` each has the whole model, with `fsdp` and `zero3` its share of
    the weights, gradients and optimizer states, with `zero2` of the latter two. `accelerate_config`: path of a
    configuration file; then `accelerate launch` starts the work, and the file says how many there are.
    """

    folder: Path
    model: str
    revision: str | None
    settings: TrainingSettings
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    kl_examples: tuple[Example, ...]
    processes: int
    parallel: Parallel
    accelerate_config: str | None


def write_job(job: TrainingJob) -> None:
    """Write the job into its folder, for its owner alone, in place of an earlier one."""
    make_folder(job.folder)
    lines = (json.dumps({"list": name} | asdict(example)) for name in _LISTS for example in getattr(job, name))
    _write(job.folder / _EXAMPLES, "".join(f"{line}\n" for line in lines).encode())
    what = {name: getattr(job, name) for name in ("model", "revision", "processes", "parallel", "accelerate_config")}
    _write(job.folder / _JOB, json.dumps(what | {"settings": asdict(job.settings)}, indent=2).encode())


def read_job(folder: Path) -> TrainingJob:
    """The job that `write_job` left in the folder.

    Raises:
        ValueError: The files hold something else.
    """
    from pydantic import TypeAdapter  # who trains without a folder needs none

    content = json.loads((folder / _JOB).read_text("utf-8"))
    lists: dict[str, list[Any]] = {name: [] for name in _LISTS}
    with (folder / _EXAMPLES).open(encoding="utf-8") as lines:
        for line in lines:
            example = json.loads(line)
            lists[example.pop("list")].append(example)
    return TypeAdapter(TrainingJob).validate_python({"folder": folder} | content | lists)


def checkpoints_folder(folder: Path, parallel: Parallel, processes: int) -> Path:
    """Where a training's checkpoints are. None goes on from those of another kind.

    Of FSDP they hold the weights in a form of its own, of ZeRO each process's share, so that their number counts too.
    """
    if parallel == "ddp" or processes == 1:
        return folder / CHECKPOINTS
    return folder / f"{CHECKPOINTS}-{parallel}{'' if parallel == 'fsdp' else f'-{processes}'}"


def useless_checkpoints(job: TrainingJob) -> Path | None:
    """A folder of checkpoints that the job cannot go on from, if there are no others: it begins anew."""
    if job.accelerate_config is not None:  # the file has the number of processes
        return None
    own = checkpoints_folder(job.folder, job.parallel, job.processes)
    found = sorted({path.parent for path in job.folder.glob(f"{CHECKPOINTS}*/{CHECKPOINT}*")})
    return found[0] if found and own not in found else None


def make_folder(folder: Path) -> None:
    """Make a training's folder, which its owner alone may enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_result(folder: Path, result: TrainingResult, unfit: tuple[UnfitExample, ...]) -> None:
    """Write how the training ended; to be called last, when `model/` is whole."""
    content = {"result": asdict(result), "unfit": [asdict(row) for row in unfit]}
    _write(folder / "result.json", json.dumps(content, indent=2).encode())


def read_result(folder: Path) -> tuple[TrainingResult, tuple[UnfitExample, ...]] | None:
    """How the training ended, or None unless both result.json and model/ are there."""
    path = folder / "result.json"
    if not (path.is_file() and (folder / "model").is_dir()):
        return None
    content = json.loads(path.read_text())
    return TrainingResult(**content["result"]), tuple(UnfitExample(**row) for row in content["unfit"])


def metrics_line(record: MetricPoint | StepsDone) -> str:
    """One line of the metrics' file."""
    return json.dumps(asdict(record)) + "\n"


def read_metrics_line(line: bytes) -> MetricPoint | StepsDone:
    """What `metrics_line` wrote."""
    content = json.loads(line)
    return StepsDone(**content) if "done" in content else MetricPoint(**content)


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system releases it when the process ends, however it ends.

    Raises:
        FolderInUseError: Another process holds it.
    """
    make_folder(folder)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(str(folder)) from None
        yield


def _write(path: Path, content: bytes) -> None:
    # One process works in the folder, so that what a killed one left of a job is written over.
    with whole_file(path, draft=path.with_name(path.name + ".draft")) as draft:
        draft.write_bytes(content)
