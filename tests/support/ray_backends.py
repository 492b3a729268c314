"""Backends for Ray's actors, and a cluster of several nodes on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import ModelLoadError, PromptTooLongError
from models.processes.ray_cluster import connected


@dataclass(frozen=True)
class Doubled:
    values: Any
    names: list[str]


class Doubler:
    """Doubles numbers; 13 is too long, and 1000 and more kill the process as often as there are files to take."""

    def __init__(self, deaths: str = "", reason: str = "", start_s: float = 0.0, lost: str = "") -> None:
        time.sleep(start_s)
        if lost:
            self._die_early(Path(lost))
        if reason:
            raise ModelLoadError("doubler", reason)
        self._deaths = deaths

    def double(self, numbers: list[int], plus: int = 0) -> Doubled:
        if positions := tuple(at for at, number in enumerate(numbers) if number == 13):
            raise PromptTooLongError("too long", positions)
        if any(number >= 1000 for number in numbers):
            self._die()
        return Doubled(np.array([2 * number + plus for number in numbers]), [str(number) for number in numbers])

    def processes(self, numbers: list[int]) -> list[int]:
        return [os.getpid() for _ in numbers]

    def slowly(self, numbers: list[int]) -> list[int]:
        time.sleep(300)
        return numbers

    def at_once(self, numbers: list[int]) -> list[int]:
        return [len(numbers)]

    def fail(self, numbers: list[int]) -> list[int]:
        raise ZeroDivisionError(f"{len(numbers)} numbers")

    def _die_early(self, folder: Path) -> None:
        """The first two die together, once both are there, and the next one too."""
        number = 0
        while True:
            try:
                (folder / str(number)).touch(exist_ok=False)
                break
            except FileExistsError:
                number += 1
        while not (folder / "1").exists():
            time.sleep(0.01)
        if number < 3:
            os.kill(os.getpid(), signal.SIGKILL)

    def _die(self) -> None:
        for path in Path(self._deaths).iterdir():
            path.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)


class FileReader:
    """Reads files of a folder that it knows by its path or, as a model, by its name."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folders = (folder, Path(model))

    def read(self, names: list[str]) -> list[tuple[str, ...]]:
        return [tuple((folder / name).read_text() for folder in self._folders) for name in names]


def has_ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """A head without cores, and nodes of one core each; RAY_ADDRESS names it."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        whole = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        patch.setenv("RAY_ADDRESS", whole.address)
        try:
            for _ in range(nodes):
                whole.add_node(num_cpus=1)
            whole.wait_for_nodes()
            # Of nodes with one address Ray takes any for this process's own; those that come later are not.
            connected(is_answering=True)
            yield whole
        finally:
            ray.shutdown()
            whole.shutdown()
