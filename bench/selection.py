"""Selection against what one would write per prompt, and against memory: `python -m bench.selection` writes a JSON.

Easy, hard and centroid together (`select_several`), one thread, process CPU time, medians of interleaved runs, the
first round left out. The embeddings are given: float32, and in the last row the float16 memory map that shards are.
Peers get the same float32 rows:

- `all_three_by_pair_loop`: per prompt normalise, a Python loop over all pairs for easy and hard, then scikit-learn's
  KMeans(2, random_state=0) and a loop over the members: our rewriting of the plan of the paper's script.
- `with_torch_a_pair`: the same plan, our reconstruction of its calls: torch's cosine_similarity for each pair,
  KMeans, SciPy's cdist from the centres.
- `kmeans_only`: KMeans(2, random_state=0) on embeddings that are normalised already; no pair is chosen.

`read` is a dot product of all embeddings with themselves: what one thread reads from memory in the same rounds.
`share_of_read` is how fast selection goes through the embeddings, of that.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 - thread counts are read when numpy loads
from numpy.typing import NDArray  # noqa: E402

from bench.machine import machine_words  # noqa: E402
from models.selection import select_several  # noqa: E402

Matrix = NDArray[np.float32]
Embeddings = NDArray[np.floating]

REPEATS = 5
SELECTED_MIB = 200
STRATEGIES = ("easy", "hard", "centroid")


class Row(NamedTuple):
    """One row of the table."""

    candidates: int
    dimension: int
    peer_prompts: int
    is_half: bool = False


ROWS = [
    Row(4, 768, 30),
    Row(8, 768, 30),
    Row(16, 768, 20),
    Row(64, 768, 6),
    Row(8, 4096, 20),
    Row(64, 4096, 6),
    Row(8, 768, 30, True),
]


def make_embeddings(prompts: int, row: Row) -> Matrix:
    """Unclustered responses around one mean per prompt, cosine 0.5: (prompts * candidates, dimension)."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((prompts, row.candidates, row.dimension), dtype=np.float32)
    rows += rng.standard_normal((prompts, 1, row.dimension), dtype=np.float32)
    return rows.reshape(-1, row.dimension)


def normalised(rows: Matrix) -> Matrix:
    """Rows of length 1."""
    unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def kmeans_only(unit: Matrix) -> tuple[Matrix, NDArray[np.int32]]:
    """Centres and labels of scikit-learn's 2-means."""
    from sklearn.cluster import KMeans

    peer = KMeans(n_clusters=2, random_state=0).fit(unit)
    return peer.cluster_centers_, peer.labels_


def all_three_by_pair_loop(rows: Matrix) -> list[tuple[int, int]]:
    """Easy, hard and centroid with loops over pairs and members."""
    unit = normalised(rows)
    similarity = {(i, j): float(np.dot(unit[i], unit[j])) for i in range(len(unit)) for j in range(i + 1, len(unit))}
    centres, labels = kmeans_only(unit)
    ends = [
        min(np.flatnonzero(labels == side), key=lambda i: float(np.linalg.norm(unit[i] - centres[side])))
        for side in (0, 1)
    ]
    return [
        min(similarity, key=similarity.__getitem__),
        max(similarity, key=similarity.__getitem__),
        (ends[0], ends[1]),
    ]


def with_torch_a_pair(rows: Matrix) -> tuple[Any, ...]:
    """Easy, hard and centroid with a call of torch's cosine for each pair; any candidate may be nearest to a centre."""
    import torch
    from scipy.spatial.distance import cdist

    vectors = torch.from_numpy(rows)
    similarity = {
        (i, j): torch.nn.functional.cosine_similarity(vectors[i], vectors[j], dim=0)
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
    }
    easy, hard = min(similarity, key=similarity.__getitem__), max(similarity, key=similarity.__getitem__)
    centres, _ = kmeans_only(rows)
    return easy, hard, cdist(centres, rows).argmin(axis=1)


def per_prompt_loop(function: Callable[[Matrix], object], rows: Matrix, candidates: int) -> Callable[[], None]:
    """A run of the function over every prompt."""

    def run() -> None:
        for start in range(0, len(rows), candidates):
            function(rows[start : start + candidates])

    return run


def selection(rows: Embeddings, candidates: int) -> Callable[[], None]:
    """A run of `select_several`."""
    offsets = np.arange(0, len(rows) + 1, candidates)

    def run() -> None:
        select_several(rows, offsets, strategies=STRATEGIES, seed=0)

    return run


def medians(runs: dict[str, tuple[Callable[[], object], int]]) -> dict[str, dict[str, float]]:
    """Microseconds a prompt, (run, prompts) by name: median and spread (max − min over median) of interleaved runs."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS + 1):  # the first round warms up
        for name, (run, _prompts) in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    result = {}
    for name, (_run, prompts) in runs.items():
        timed = seconds[name][1:]
        median = statistics.median(timed)
        result[name] = {
            "us_per_prompt": round(1e6 * median / prompts, 3),
            "spread": round((max(timed) - min(timed)) / median, 3),
        }
    return result


def as_stored(rows: Matrix, folder: Path) -> Embeddings:
    """The rows as the float16 memory map of a file."""
    np.save(folder / "embeddings.npy", rows.astype(np.float16))
    mapped: Embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    return mapped


def measure(row: Row, folder: Path) -> dict[str, object]:
    """All runs of one row, how many times faster than the peers selection is, and its share of what can be read."""
    prompts = (SELECTED_MIB << 20) // (4 * row.dimension * row.candidates)
    rows = make_embeddings(prompts, row)
    flat, peer_rows = rows.reshape(-1), rows[: row.peer_prompts * row.candidates]
    selected: Embeddings = as_stored(rows, folder) if row.is_half else rows
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "selection": (selection(selected, row.candidates), prompts),
        "read": (lambda: np.dot(flat, flat), prompts),
    }
    peers = {
        "kmeans_only": (kmeans_only, normalised(peer_rows)),
        "all_three_by_pair_loop": (all_three_by_pair_loop, peer_rows),
        "with_torch_a_pair": (with_torch_a_pair, peer_rows),
    }
    for name, (function, peer_input) in peers.items():
        runs[name] = (per_prompt_loop(function, peer_input, row.candidates), row.peer_prompts)
    times = medians(runs)
    ours = times["selection"]["us_per_prompt"]
    read_rate = 4 * row.dimension * row.candidates / times["read"]["us_per_prompt"] / 1e3
    rate = selected.itemsize * row.dimension * row.candidates / ours / 1e3
    return {
        **row._asdict(),
        "prompts": prompts,
        "times": times,
        "times_faster": {name: round(times[name]["us_per_prompt"] / ours, 1) for name in peers},
        "read_gb_per_s": round(read_rate, 1),
        "selection_gb_per_s": round(rate, 1),
        "share_of_read": round(rate / read_rate, 3),
    }


def main() -> None:
    """Measure, print and write the results beside this file."""
    import torch

    torch.set_num_threads(1)
    versions = {name: version(name) for name in ("numpy", "numba", "scikit-learn", "scipy", "torch")}
    machine = machine_words()
    print(machine, versions, f"1 thread, process time, median of {REPEATS} interleaved runs")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            results.append(measure(row, Path(folder)))
            print(json.dumps(results[-1], indent=1))
    report = {"machine": machine, "versions": versions, "repeats": REPEATS, "results": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
