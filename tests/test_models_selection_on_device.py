"""Selection by Triton kernels beside the NumPy path. Without a GPU the kernels run in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kernels_beside_numpy
import numpy as np
import pytest
import torch
from kernels_beside_numpy import STRATEGIES, rows_of

from models.selection import select_pairs, select_several
from models.selection.on_device import has_kernels, select_tensors

pytest.importorskip("triton", reason="Triton is not installed")

CASES = list(kernels_beside_numpy.cases())
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def differences() -> dict[str, list[str]]:
    """Of each case what differs from NumPy."""
    more = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    if not torch.cuda.is_available():
        more["TRITON_INTERPRET"] = "1"
    command = [sys.executable, kernels_beside_numpy.__file__]
    run = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("case", CASES)
def test_kernels_choose_what_numpy_chooses(case: str, differences: dict[str, list[str]]) -> None:
    assert differences[case] == []


def test_offsets_that_leave_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="stay within"):
        select_tensors(torch.ones(4, 2), np.array([0, 8]), STRATEGIES, centroid=select_pairs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_tensor_on_the_host_is_selected_from_as_its_array(dtype: torch.dtype) -> None:
    tensor = torch.from_numpy(rows_of("normal", 5, 20, 4)).to(dtype)
    offsets, lengths = np.arange(0, 21, 5), np.arange(20)
    got, expected = (
        select_several(rows, offsets, strategies=("centroid", "longest_gap"), seed=0, count=2, lengths=lengths)
        for rows in (tensor, tensor.float().numpy())
    )
    assert not has_kernels(tensor, STRATEGIES)
    for strategy, turns in expected.turns.items():
        for one, other in zip(got.turns[strategy], turns, strict=True):
            np.testing.assert_array_equal(one.first, other.first)
            np.testing.assert_array_equal(one.second, other.second)


@pytest.mark.gpu
def test_a_tensor_on_a_gpu_is_selected_from_there() -> None:
    rows = rows_of("alike", 8, 768, 2000).astype(np.float16)
    offsets = np.arange(0, len(rows) + 1, 8)
    there = torch.from_numpy(rows).cuda()
    assert has_kernels(there, STRATEGIES)
    for strategy in STRATEGIES:
        got, expected = (select_pairs(each, offsets, strategy=strategy, seed=0) for each in (there, rows))
        assert (got.first == expected.first).mean() > 0.999
