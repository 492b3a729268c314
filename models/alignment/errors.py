"""Failures of a training that a caller acts on; each survives the way between processes."""

from __future__ import annotations


class TrainingDivergedError(ArithmeticError):
    """A loss or gradient was not finite; the step was not applied and earlier checkpoints stay.

    Attributes:
        step: The optimizer step, from 1, that was not applied.
    """

    def __init__(self, step: int, what: str) -> None:
        self.step = step
        self.what = what
        super().__init__(
            f"expected a finite loss and gradient, got {what} at step {step}; earlier checkpoints are kept: "
            "lower the learning rate or look at that step's examples"
        )

    def __reduce__(self) -> tuple[type[TrainingDivergedError], tuple[int, str]]:
        return type(self), (self.step, self.what)


class DiskFullError(OSError):
    """No room to save; earlier checkpoints are whole and a later run goes on from them."""

    def __init__(self, folder: str, free_bytes: int) -> None:
        self.folder = folder
        self.free_bytes = free_bytes
        super().__init__(
            f"no room to save in {folder}: {free_bytes} bytes are free; make room and run again, "
            "the training goes on from its last whole checkpoint"
        )

    def __reduce__(self) -> tuple[type[DiskFullError], tuple[str, int]]:
        return type(self), (self.folder, self.free_bytes)


class FolderInUseError(RuntimeError):
    """Another process trains in the folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(f"another process trains in {folder}; wait for it to end or choose another folder")

    def __reduce__(self) -> tuple[type[FolderInUseError], tuple[str]]:
        return type(self), (self.folder,)


class NothingToTrainError(ValueError):
    """No example can be trained on."""


class DeviceMemoryError(RuntimeError):
    """The device's memory does not suffice."""


class TrainingFailedError(RuntimeError):
    """A launched training ended without a result.

    Attributes:
        folder: The training's folder.
        reason: What it left behind of why.
    """

    def __init__(self, folder: str, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"the training in {folder} failed: {reason}")

    def __reduce__(self) -> tuple[type[TrainingFailedError], tuple[str, str]]:
        return type(self), (self.folder, self.reason)
