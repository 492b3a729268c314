"""The guide in a process of its own, so that ending it gives its whole memory back. Imports no torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from models.guide import GuideSettings, GuideText, GuideTrainingResult
from models.processes.isolation import IsolatedProcess, StartsBackend

if TYPE_CHECKING:
    from models.guide.training import Guide

_SLICE_S = 1.0  # how often the caller hears of progress


class IsolatedGuide:
    """Trains and encodes in a process of its own, as if it were here."""

    def __init__(
        self, *, log_path: Path | None, timeout_s: float | None, start: StartsBackend = IsolatedProcess
    ) -> None:
        """Start the process.

        Args:
            log_path: where the process's output is appended; None keeps it for error messages only.
            timeout_s: limit for the start, for each slice of training and for `encode`, in seconds; None waits for
                ever.
            start: what starts it: a process of its own, or `SharedProcess.start`.

        Raises:
            ProcessDiedError: The process ended while it started.
            TimeoutError: It took longer than `timeout_s`.
        """
        self._process = start(GuideProcess, {}, log_path=log_path, timeout_s=timeout_s)

    def train(
        self, texts: Sequence[GuideText], settings: GuideSettings, folder: Path, *, on_step: Callable[[int, int], None]
    ) -> GuideTrainingResult:
        """As `train_guide`, but `on_step` is called about once a second; `encode` reads with this guide from now on.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: A slice got no answer in time.
            Exception: What `train_guide` raised.
        """
        self._process.call("begin", list(texts), settings, folder)
        while not isinstance(state := self._process.call("advance"), GuideTrainingResult):
            on_step(*state)
        return state

    def encode(self, texts: Sequence[GuideText]) -> NDArray[np.float32]:
        """φ(x, y) of each text by the guide trained last, (n, d) float32, in the order given.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: There is no answer in time.
            RuntimeError: No guide was trained here.
        """
        return cast("NDArray[np.float32]", self._process.call("encode", list(texts)))

    def reconstruction_nats(
        self, texts: Sequence[GuideText], latents: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As `Guide.reconstruction_nats`, by the guide trained last.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: There is no answer in time.
            RuntimeError: No guide was trained here.
        """
        return cast(
            "tuple[NDArray[np.float64], NDArray[np.int64]]",
            self._process.call("reconstruction_nats", list(texts), latents),
        )

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._process.close()


class GuideProcess:
    """The process's side: trains in slices, so that its parent hears of progress between them."""

    def __init__(self) -> None:
        self._steps: Generator[tuple[int, int], None, GuideTrainingResult] | None = None
        self._guide: Guide | None = None

    def begin(self, texts: Sequence[GuideText], settings: GuideSettings, folder: Path) -> None:
        """Make a training ready; `advance` runs it."""
        from models.guide.training import guide_training

        self._steps, self._guide = guide_training(texts, settings, folder), None

    def advance(self) -> tuple[int, int] | GuideTrainingResult:
        """Train for about a second, and return the steps done and in total, or the result at the end.

        Raises:
            RuntimeError: There is no training to go on with.
        """
        from models.guide.training import Guide

        if self._steps is None:
            raise RuntimeError("there is no training to go on with; call begin first")
        slice_end = time.monotonic() + _SLICE_S
        try:
            state = next(self._steps)
            while time.monotonic() < slice_end and state[0] < state[1]:
                state = next(self._steps)
        except StopIteration as end:
            result: GuideTrainingResult = end.value
            self._steps, self._guide = None, Guide(result.folder)
            return result
        return state

    def encode(self, texts: Sequence[GuideText]) -> NDArray[np.float32]:
        """The latents of the texts by the guide trained last.

        Raises:
            RuntimeError: No guide was trained here.
        """
        return self._trained().encode(texts)

    def reconstruction_nats(
        self, texts: Sequence[GuideText], latents: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What the guide trained last makes of the texts.

        Raises:
            RuntimeError: No guide was trained here.
        """
        return self._trained().reconstruction_nats(texts, latents)

    def _trained(self) -> Guide:
        if self._guide is None:
            raise RuntimeError("no guide is trained here; call train first, it returns at once if the folder is there")
        return self._guide
