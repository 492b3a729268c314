"""Experiment trackers told of a training beside TensorBoard: MLflow, trackio, Weights & Biases.

A tracker that fails is told no more, and the training goes on. What is kept on this machine lies in one folder, unless
a tracker's own environment variables say otherwise. Nothing here is imported before it is asked for.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args

from models.alignment.records import MetricPoint
from models.records import shortened

Tracker = Literal["mlflow", "trackio", "wandb"]
PROJECT = "antipode"
SENT = "tracked.json"  # in a training's folder: how many points each tracker has had
LONGEST_VALUE = 500  # characters of a parameter; MLflow takes 6,000
PARAMETERS_AT_ONCE = 100  # MLflow takes no more in a request


class TrackerMissingError(RuntimeError):
    """A tracker's package is not installed."""


class SignInError(RuntimeError):
    """Weights & Biases knows nobody here."""


@dataclass(frozen=True, slots=True)
class TrackedTraining:
    """A training as trackers list it. `key` is the same when it goes on; `parameters` may hold sections."""

    key: str
    name: str
    parameters: Mapping[str, Any]


class _Board(Protocol):
    """One tracker's run of one training."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Show what was measured at a step."""

    def close(self, *, is_whole: bool) -> None:
        """Show that the training has ended, or was broken off."""


def require_trackers(names: Sequence[Tracker]) -> None:
    """Refuse at once what needs a package that is not there.

    Raises:
        TrackerMissingError: It says what to install.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise TrackerMissingError(
                f"report_to {name} needs the package {name}; install it: pip install -e '.[{name}]', or leave it out"
            )


class Tracking:
    """Tells trackers of a training while it is entered; names are those of TensorBoard: `train/loss`, `held_out/kl`.

    Where a training goes on, all its points come again; those that a tracker has had are left out.
    """

    def __init__(
        self,
        names: Sequence[Tracker],
        training: TrackedTraining,
        *,
        job_folder: Path,
        kept_in: Path,
        warn: Callable[[str], None],
    ) -> None:
        """`job_folder` is the training's own; what trackers keep on this machine lies in `kept_in`."""
        self._training = training
        self._names = tuple(dict.fromkeys(names))
        self._kept_in = kept_in
        self._warn = warn
        self._path = job_folder / SENT
        self._sent = _read_sent(self._path)
        self._boards: dict[Tracker, _Board] = {}
        self._seen = 0

    def __enter__(self) -> Self:
        for name in self._names:
            with self._watched(name):
                folder = self._kept_in / name
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._boards[name] = _BOARDS[name](self._training, folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, board in list(self._boards.items()):
            with self._watched(name):
                board.close(is_whole=kind is None)

    def send(self, points: Sequence[MetricPoint]) -> None:
        """Tell the trackers of points, which come in the order in which they were measured."""
        begin, self._seen = self._seen, self._seen + len(points)
        for name, board in list(self._boards.items()):
            new = points[max(0, self._sent.get(name, 0) - begin) :]
            with self._watched(name):
                for step, group in groupby(new, key=lambda point: point.step):
                    board.log({f"{point.split}/{point.name}": point.value for point in group}, step)
                self._sent[name] = max(self._seen, self._sent.get(name, 0))
        if self._boards:
            with suppress(OSError):  # at worst a point is told twice
                self._path.write_text(json.dumps(self._sent), "utf-8")

    @contextmanager
    def _watched(self, name: Tracker) -> Iterator[None]:
        """Within, the tracker prints nothing, and its failure is the last that is heard of it."""
        try:
            with redirect_stdout(StringIO()):
                yield
        except Exception as error:  # noqa: BLE001 (whatever a tracker raises, the training goes on)
            self._boards.pop(name, None)
            reason = shortened(str(error), LONGEST_VALUE) or type(error).__name__
            self._warn(f"{name} is told no more of {self._training.name} ({reason}); the training goes on")


class _Mlflow:
    """A run of MLflow's, found again by its tag; `MLFLOW_TRACKING_URI` names a server or another database."""

    def __init__(self, training: TrackedTraining, folder: Path) -> None:
        for name, value in (
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),  # a server that is away must not hold the training up
            ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
        ):
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT)
        found = self._client.search_runs([experiment], f"tags.`antipode.key` = '{training.key}'", max_results=1)
        if found:
            self._run_id = found[0].info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
            return
        run = self._client.create_run(experiment, run_name=training.name, tags={"antipode.key": training.key})
        self._run_id = run.info.run_id
        parameters = [Param(name, str(value)) for name, value in flat(training.parameters).items()]
        for begin in range(0, len(parameters), PARAMETERS_AT_ONCE):
            self._client.log_batch(self._run_id, params=parameters[begin : begin + PARAMETERS_AT_ONCE])

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `_Board`."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(name, value, now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, *, is_whole: bool) -> None:
        """See `_Board`."""
        self._client.set_terminated(self._run_id, "FINISHED" if is_whole else "KILLED")

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))


class _Trackio:
    """A run of trackio's, by its name; `TRACKIO_DIR`, `TRACKIO_SPACE_ID` or `TRACKIO_SERVER_URL` name another place."""

    def __init__(self, training: TrackedTraining, folder: Path) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder.resolve()))
        import trackio

        self._finish = trackio.finish
        self._run = trackio.init(
            project=PROJECT,
            name=f"{training.name} ({training.key[:8]})",
            config=flat(training.parameters),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `_Board`."""
        self._run.log(dict(values), step=step)

    def close(self, *, is_whole: bool) -> None:
        """See `_Board`."""
        self._finish()


class _Wandb:
    """A run of Weights & Biases, by its id; `WANDB_MODE=offline` keeps it here, to be sent by `wandb sync`."""

    def __init__(self, training: TrackedTraining, folder: Path) -> None:
        import wandb

        has_mode = os.environ.get("WANDB_MODE", "online") != "online"
        if not has_mode and not wandb.login(prompt=False):
            raise SignInError("it knows no key: wandb login, or set WANDB_MODE=offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=training.key[:32],
            name=training.name,
            config=flat(training.parameters),
            dir=os.environ.get("WANDB_DIR") or str(folder.resolve()),
            resume="allow",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `_Board`."""
        self._run.log(dict(values), step=step)

    def close(self, *, is_whole: bool) -> None:
        """See `_Board`."""
        self._run.finish(exit_code=0 if is_whole else 1)


_BOARDS: dict[Tracker, Callable[[TrackedTraining, Path], _Board]] = {
    "mlflow": _Mlflow,
    "trackio": _Trackio,
    "wandb": _Wandb,
}
assert set(_BOARDS) == set(get_args(Tracker))


def flat(sections: Mapping[str, Any], above: str = "") -> dict[str, str | int | float | bool | None]:
    """The values of sections within sections by their dotted names; what is no plain value becomes text."""
    values: dict[str, str | int | float | bool | None] = {}
    for name, value in sections.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{above}{name}.")
        elif value is None or isinstance(value, (bool, int, float)):
            values[f"{above}{name}"] = value
        else:
            values[f"{above}{name}"] = shortened(str(value), LONGEST_VALUE)
    return values


def _read_sent(path: Path) -> dict[Tracker, int]:
    with suppress(OSError, ValueError):
        content: dict[Tracker, int] = json.loads(path.read_text("utf-8"))
        return content
    return {}
