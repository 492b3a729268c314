"""What DeepSpeed is told; that it trains as one process does is held in test_models_alignment_processes.py."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alignment_jobs import SETTINGS, make_job

from models.alignment import zero
from models.alignment.job import CHECKPOINT, checkpoints_folder, useless_checkpoints
from models.alignment.zero import check_installed, zero_settings


def test_a_stage_of_zero_has_weights_in_float32_under_autocast() -> None:
    assert zero_settings("fsdp", SETTINGS) is None
    for parallel, stage in (("zero2", 2), ("zero3", 3)):
        told = zero_settings(parallel, replace(SETTINGS, dtype="bfloat16"))
        assert told is not None and "bf16" not in told
        assert told["zero_optimization"]["stage"] == stage
        assert told["torch_autocast"] == {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
        assert told["gradient_clipping"] == "auto"
        whole = zero_settings(parallel, SETTINGS)
        assert whole is not None and not whole["torch_autocast"]["enabled"]


def test_deepspeed_is_asked_for_by_its_stages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero, "find_spec", lambda _: None)
    check_installed("ddp")
    check_installed("fsdp")
    with pytest.raises(ValueError, match=r"parallel zero3 needs DeepSpeed, which is not installed: .*\[deepspeed\]"):
        check_installed("zero3")


def test_the_trainer_loads_no_deepspeed() -> None:
    code = "import sys, models.alignment.job_run; sys.exit('deepspeed' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_each_way_of_sharing_has_checkpoints_of_its_own(tmp_path: Path) -> None:
    ways = [("ddp", 2), ("fsdp", 2), ("zero2", 2), ("zero3", 2), ("zero3", 4)]
    job = make_job(tmp_path, "model", ())
    folders = [checkpoints_folder(tmp_path, parallel, processes) for parallel, processes in ways]
    assert len(set(folders)) == len(ways)
    assert checkpoints_folder(tmp_path, "fsdp", 2) == checkpoints_folder(tmp_path, "fsdp", 8)
    assert {checkpoints_folder(tmp_path, parallel, 1) for parallel, _ in ways} == {folders[0]}
    of_three, of_two = (replace(job, processes=count, parallel="zero3") for count in (3, 2))
    assert useless_checkpoints(of_three) is None
    (checkpoints_folder(tmp_path, "zero3", 2) / f"{CHECKPOINT}3").mkdir(parents=True)
    assert useless_checkpoints(of_three) == checkpoints_folder(tmp_path, "zero3", 2)
    assert useless_checkpoints(of_two) is None
    assert useless_checkpoints(replace(of_three, accelerate_config="a.yaml")) is None
