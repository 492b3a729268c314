"""Selection, embedding and a preference step on one GPU, against the card's own rates measured in the same run.

    python -m bench.gpu            # under ten minutes on one GPU; writes bench/gpu.json
    python -m bench.gpu --tiny     # the same code at a tiny size, wherever it runs; prints, writes nothing

Needs torch, transformers, numpy and models/, no network: models and embeddings are drawn at random here. Times are
medians. The models' part stands in bench/gpu_models.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from bench import gpu_models
from bench.gpu_timing import Size, seconds
from models.selection import select_pairs
from models.selection.on_device import has_kernels

STRATEGIES = ("easy", "hard", "centroid")
SHAPES = ((4, 768), (8, 768), (16, 768), (64, 768), (4, 4096), (8, 4096), (16, 4096), (64, 4096))
TIE = 1e-5  # in float64 closer than this is a tie: the product's is 4e-6, with the rounding of both float32 sides
ORACLE_GROUPS = 1000


def rates(size: Size, device: str) -> dict[str, float]:
    """What the card does: bytes a second read, and read and written by a copy; bfloat16 operations a second."""
    source = torch.randn(size.rate_elements, device=device)
    target = torch.empty_like(source)
    edge = size.gemm
    left, right = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    return {
        "read_bytes_per_s": source.nbytes / seconds(source.sum, device, size.repeats),
        "copy_bytes_per_s": 2 * source.nbytes / seconds(lambda: target.copy_(source), device, size.repeats),
        "bf16_gemm_flop_per_s": 2 * edge**3 / seconds(lambda: left @ right, device, size.repeats),
    }


def rows_of(groups: int, candidates: int, dimension: int, device: str) -> torch.Tensor:
    """(n, d) float16 as they are stored: groups with a part in common, cosines around 0.7."""
    generator = torch.Generator(device).manual_seed(candidates * dimension)
    rows = torch.empty((groups, candidates, dimension), dtype=torch.float16, device=device)
    step = max(1, (1 << 28) // (candidates * dimension))
    for start in range(0, groups, step):
        part = rows[start : start + step]
        noise = torch.randn(part.shape, generator=generator, device=device)
        common = torch.randn((len(part), 1, dimension), generator=generator, device=device)
        part.copy_(noise + 1.5 * common)
    return rows.view(-1, dimension)


def selection(size: Size, device: str, bandwidth: float) -> list[dict[str, Any]]:
    """Each shape: the kernels' share of the bandwidth, the whole call beside NumPy's, and how many picks are equal."""
    return [_selection_of(*shape, size, device, bandwidth) for shape in SHAPES]


def _selection_of(candidates: int, dimension: int, size: Size, device: str, bandwidth: float) -> dict[str, Any]:
    groups = max(2, size.selection_bytes // (2 * candidates * dimension))
    rows = rows_of(groups, candidates, dimension, device)
    offsets = np.arange(0, len(rows) + 1, candidates)
    few = max(2, min(groups, size.checked_bytes // (2 * candidates * dimension)))
    # Above 16 candidates the host finds the centroid pairs.
    timed = {name: few if name == "centroid" and candidates > 16 else groups for name in STRATEGIES}
    result: dict[str, Any] = {"candidates": candidates, "dimension": dimension, "groups": groups}
    if has_kernels(rows, STRATEGIES):
        result |= _kernel_shares(rows.view(groups, candidates, dimension), size, device, bandwidth)
    result["whole_call_groups_per_s"] = {
        name: count / _wall(partial(_select, rows, offsets, name, count)) for name, count in timed.items()
    }
    host = rows[: few * candidates].cpu().numpy()
    select_pairs(host, offsets[: few + 1], strategy="easy", seed=0)  # what is compiled for it is compiled now
    begin = time.perf_counter()
    on_host = {name: select_pairs(host, offsets[: few + 1], strategy=name, seed=0) for name in STRATEGIES}
    result["host_all_three_groups_per_s"] = few / (time.perf_counter() - begin)
    result["checked_groups"] = few
    for name, expected in on_host.items():
        got = _select(rows, offsets, name, few)
        is_equal = (got.first == expected.first) & (got.second == expected.second) & (got.rank == expected.rank)
        result[f"{name}_equal_to_host"] = float(is_equal.mean())
        if name != "centroid" or candidates <= 16:
            result[f"{name}_equal_to_float64"] = float64_share(host, candidates, name, got.first, got.second)
    return result


def _kernel_shares(rows: torch.Tensor, size: Size, device: str, bandwidth: float) -> dict[str, Any]:
    from models.selection.gpu_kernels import LARGEST_SPLIT, pick, split

    result: dict[str, Any] = {}

    def central() -> object:
        matrices = pick(rows, keeps_cosines=True)[3]
        assert matrices is not None
        return split(matrices)

    ways: dict[str, Callable[[], object]] = {"easy_and_hard": lambda: pick(rows, keeps_cosines=False)}
    if rows.shape[1] <= LARGEST_SPLIT:
        ways["all_three"] = central
    for name, way in ways.items():
        taken = seconds(way, device, size.repeats)
        result[f"{name}_kernel_s"] = taken
        result[f"{name}_share_of_bandwidth"] = rows.nbytes / taken / bandwidth
    return result


def _select(rows: torch.Tensor, offsets: np.ndarray[Any, Any], strategy: str, groups: int) -> Any:
    return select_pairs(rows[: offsets[groups]], offsets[: groups + 1], strategy=strategy, seed=0)


def _wall(run: Callable[[], object]) -> float:
    run()
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def float64_share(
    rows: np.ndarray[Any, Any], size: int, strategy: str, first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]
) -> dict[str, float]:
    """The share of groups whose pair is float64's, among those where no other choice is within `TIE`."""
    equal, sure = 0, 0
    count = min(len(first), ORACLE_GROUPS if size <= 8 or strategy != "centroid" else ORACLE_GROUPS // 10)
    for group in range(count):
        unit = rows[group * size : (group + 1) * size].astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        pair, is_sure = (_central64 if strategy == "centroid" else _extreme64)(unit @ unit.T, strategy)
        sure += is_sure
        equal += is_sure and pair == (first[group] - group * size, second[group] - group * size)
    return {"share": equal / sure if sure else 1.0, "groups": count, "without_tie": sure}


def _extreme64(cosines: np.ndarray[Any, Any], strategy: str) -> tuple[tuple[int, int], bool]:
    ends = np.triu_indices(len(cosines), 1)
    costs = cosines[ends] if strategy == "easy" else -cosines[ends]
    order = np.argsort(costs, kind="stable")
    is_sure = len(costs) == 1 or bool(costs[order[1]] - costs[order[0]] > TIE)
    return (int(ends[0][order[0]]), int(ends[1][order[0]])), is_sure


def _central64(cosines: np.ndarray[Any, Any], _strategy: str) -> tuple[tuple[int, int], bool]:
    """2-means by all splits, then the nearest of each side."""
    size = len(cosines)
    centred = cosines - cosines.mean(axis=0) - cosines.mean(axis=1)[:, None] + cosines.mean()
    splits = (np.arange(2, 1 << size, 2)[:, None] >> np.arange(size) & 1).astype(np.float64)
    counts = splits.sum(axis=1)
    explained = ((splits @ centred) * splits).sum(axis=1) * size / (counts * (size - counts))
    order = np.argsort(-explained)
    is_sure = len(order) == 1 or bool(explained[order[0]] - explained[order[1]] > TIE)
    ends = []
    for side in (splits[order[0]], 1 - splits[order[0]]):
        members = np.flatnonzero(side)
        distances = np.diag(centred)[members] - 2 * (centred @ side)[members] / side.sum()
        nearest = np.sort(distances)
        # The two of a cluster of two are always equally near: the first is taken, here and there.
        is_sure &= len(members) <= 2 or bool(nearest[1] - nearest[0] > TIE)
        ends.append(int(members[0] if len(members) == 2 else members[distances.argmin()]))
    return (min(ends), max(ends)), is_sure


def measure(size: Size, device: str) -> dict[str, Any]:
    """All parts."""
    known = rates(size, device)
    bandwidth = max(known["read_bytes_per_s"], known["copy_bytes_per_s"])
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "rates": known,
        "embedding": gpu_models.embedding(size, device, known["bf16_gemm_flop_per_s"]),
        "dpo": gpu_models.preference_step(size, device, known["bf16_gemm_flop_per_s"]),
        "selection": selection(size, device, bandwidth),
    }


def main() -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    results = measure(Size.tiny() if arguments.tiny else Size(), device)
    text = json.dumps(results, indent=1)
    print(text)
    if not arguments.tiny:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
