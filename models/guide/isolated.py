"""The guide in a process of its own, so that ending it gives its whole memory back. Imports no torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.guide import GuideSettings, GuideText, GuideTrainingResult
from models.processes.isolation import IsolatedProcess, StartsBackend

_SLICE_S = 1.0  # how often the caller hears of progress


class IsolatedGuide:
    """Trains in a process of its own, as if it were here."""

    def __init__(
        self, *, log_path: Path | None, timeout_s: float | None, start: StartsBackend = IsolatedProcess
    ) -> None:
        """Start the process.

        Args:
            log_path: where the process's output is appended; None keeps it for error messages only.
            timeout_s: limit for the start and for each slice of training, in seconds; None waits for ever.
            start: what starts it: a process of its own, or `SharedProcess.start`.

        Raises:
            ProcessDiedError: The process ended while it started.
            TimeoutError: It took longer than `timeout_s`.
        """
        self._process = start(GuideProcess, {}, log_path=log_path, timeout_s=timeout_s)

    def train(
        self, texts: Sequence[GuideText], settings: GuideSettings, folder: Path, *, on_step: Callable[[int, int], None]
    ) -> GuideTrainingResult:
        """As `train_guide`, but `on_step` is called about once a second.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: A slice got no answer in time.
            Exception: What `train_guide` raised.
        """
        self._process.call("begin", list(texts), settings, folder)
        while not isinstance(state := self._process.call("advance"), GuideTrainingResult):
            on_step(*state)
        return state

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._process.close()


class IsolatedGuideReader:
    """A trained guide elsewhere: in a process of its own, or on a cluster, which shares the texts out."""

    def __init__(
        self, folder: Path, *, log_path: Path | None, timeout_s: float | None, start: StartsBackend = IsolatedProcess
    ) -> None:
        """Load the guide of a folder; the rest as of `IsolatedGuide`.

        Raises:
            ModelLoadError: The folder holds no guide.
            ProcessDiedError: The process ended while it started.
            TimeoutError: It took longer than `timeout_s`.
        """
        self._process = start(GuideReader, {"folder": folder.absolute()}, log_path=log_path, timeout_s=timeout_s)

    def encode(self, texts: Sequence[GuideText]) -> NDArray[np.float32]:
        """φ(x, y) of each text, (n, d) float32, in the order given.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: There is no answer in time.
        """
        return cast("NDArray[np.float32]", self._process.call("encode", list(texts)))

    def reconstruction_nats(
        self, texts: Sequence[GuideText], latents: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As `Guide.reconstruction_nats`.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: There is no answer in time.
        """
        couples = list(zip(texts, latents, strict=True))
        return cast("tuple[NDArray[np.float64], NDArray[np.int64]]", self._process.call("reconstruction_nats", couples))

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._process.close()


class GuideReader:
    """The reader's side there: each text comes with all that is its own."""

    def __init__(self, folder: Path) -> None:
        from models.guide.training import Guide

        self._guide = Guide(folder)

    def encode(self, texts: Sequence[GuideText]) -> NDArray[np.float32]:
        """As `Guide.encode`."""
        return self._guide.encode(texts)

    def reconstruction_nats(
        self, couples: Sequence[tuple[GuideText, NDArray[np.float32]]]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As `Guide.reconstruction_nats`, of texts, each with its latent (d,)."""
        if not couples:
            return np.zeros(0), np.zeros(0, np.int64)
        texts, latents = zip(*couples, strict=True)
        return self._guide.reconstruction_nats(texts, np.stack(latents))


class GuideProcess:
    """The process's side: trains in slices, so that its parent hears of progress between them."""

    def __init__(self) -> None:
        self._steps: Generator[tuple[int, int], None, GuideTrainingResult] | None = None

    def begin(self, texts: Sequence[GuideText], settings: GuideSettings, folder: Path) -> None:
        """Make a training ready; `advance` runs it."""
        from models.guide.training import guide_training

        self._steps = guide_training(texts, settings, folder)

    def advance(self) -> tuple[int, int] | GuideTrainingResult:
        """Train for about a second, and return the steps done and in total, or the result at the end.

        Raises:
            RuntimeError: There is no training to go on with.
        """
        if self._steps is None:
            raise RuntimeError("there is no training to go on with; call begin first")
        slice_end = time.monotonic() + _SLICE_S
        try:
            state = next(self._steps)
            while time.monotonic() < slice_end and state[0] < state[1]:
                state = next(self._steps)
        except StopIteration as end:
            result: GuideTrainingResult = end.value
            self._steps = None
            return result
        return state
