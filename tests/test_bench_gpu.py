"""The GPU's benchmark at a tiny size on the CPU: its parts run, agree, and write what the docs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import gpu
from bench.gpu_timing import Size
from models.selection import select_pairs

FIGURES = Path(gpu.__file__).with_suffix(".json")


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    return gpu.measure(Size.tiny(), "cpu")


def test_every_pick_is_the_hosts_and_float64s(tiny: dict[str, Any]) -> None:
    shares = [row[name] for row in tiny["selection"] for name in row if name.endswith("equal_to_host")]
    exact = [row[name]["share"] for row in tiny["selection"] for name in row if name.endswith("equal_to_float64")]
    assert len(shares) == len(gpu.SHAPES) * len(gpu.STRATEGIES)
    assert set(shares) == set(exact) == {1.0}


def test_packed_texts_and_losses_are_as_exact_as_plain_ones(tiny: dict[str, Any]) -> None:
    assert tiny["embedding"]["largest_error"]["packed"] < 1e-5
    assert tiny["dpo"]["losses"]["float32"] < 1e-5


def test_the_file_of_figures_has_what_a_run_gives(tiny: dict[str, Any]) -> None:
    stored = json.loads(FIGURES.read_text("utf-8"))
    assert stored.keys() == tiny.keys()
    assert stored["dpo"].keys() == tiny["dpo"].keys()
    for one, other in zip(stored["selection"], tiny["selection"], strict=True):
        assert other.keys() <= one.keys()


def test_a_wrong_pick_lowers_the_share() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
    offsets = np.arange(0, 41, 4)
    for strategy in gpu.STRATEGIES:
        found = select_pairs(rows, offsets, strategy=strategy, seed=0)
        right = gpu.float64_share(rows, 4, strategy, found.first, found.second)
        wrong = gpu.float64_share(rows, 4, strategy, found.first, found.first)
        assert (right["share"], wrong["share"]) == (1.0, 0.0)


def test_operations_are_counted_as_by_hand() -> None:
    size = Size(hidden=4, intermediate=6, layers=2, heads=2, key_heads=1)
    # A token: 2 layers of 4 x (8 + 4 + 18) weights, twice; attention 4 x 4 x 10 a layer.
    assert gpu.gpu_models.trunk_operations(size, tokens=3, seen=10) == 2 * (2 * 120 * 3 + 160)
