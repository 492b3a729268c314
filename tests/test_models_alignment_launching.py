"""What processes that train together leave of why they failed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.alignment import launching
from models.alignment.errors import (
    DeviceMemoryError,
    DiskFullError,
    NothingToTrainError,
    TrainingDivergedError,
    TrainingFailedError,
)
from models.alignment.launching import FAILURE, check_devices, failure_of, write_failure
from models.errors import ModelLoadError


@pytest.mark.parametrize(
    "error",
    [
        TrainingDivergedError(3, "a loss of nan"),
        NothingToTrainError("none of 3 examples can be trained on"),
        DiskFullError("folder", 7),
        DeviceMemoryError("the device's memory does not suffice"),
        ModelLoadError("model", "it is no model"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_caller_acts_on_comes_back_as_what_it_was(error: Exception, tmp_path: Path) -> None:
    write_failure(tmp_path, error)
    found = failure_of(tmp_path, "not a word")
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))


def test_any_other_error_is_quoted(tmp_path: Path) -> None:
    write_failure(tmp_path, ValueError("batch_size 3"))
    found = failure_of(tmp_path, "not a word")
    assert type(found) is TrainingFailedError and found.reason == "ValueError: batch_size 3"


def test_the_first_to_fail_says_why(tmp_path: Path) -> None:
    write_failure(tmp_path, DeviceMemoryError("no memory"))
    write_failure(tmp_path, RuntimeError("the other is gone"))
    assert type(failure_of(tmp_path, "not a word")) is DeviceMemoryError


@pytest.mark.parametrize("left", [None, "", '{"kind": "Disk'])
def test_without_a_whole_word_the_launchers_own_is_said(left: str | None, tmp_path: Path) -> None:
    if left is not None:
        (tmp_path / FAILURE).write_text(left)
    found = failure_of(tmp_path, "not a word")
    assert type(found) is TrainingFailedError and found.reason == "not a word"


def test_each_process_needs_a_gpu_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(launching, "torch_device", lambda: "cpu")
    check_devices(64)
    monkeypatch.setattr(launching, "torch_device", lambda: "cuda")
    check_devices(2)
    with pytest.raises(ValueError, match="3 processes need a GPU each, this host has 2; lower processes"):
        check_devices(3)
