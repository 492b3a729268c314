"""Selection against what one would write per prompt: `python -m bench.selection` prints a table, writes selection.json.

One thread, process CPU time, medians of interleaved runs. Every peer gets the same float32 embeddings. Peers:

- `kmeans_only`: scikit-learn's KMeans(2, random_state=0) per prompt, embeddings already normalised, no pair chosen.
- `per_prompt`: per prompt normalise, Gram, argmin (`easy`); KMeans and the nearest member of each cluster (`centroid`).
- `pair_loop`: per prompt a Python loop over all pairs for easy and hard, then KMeans and a loop over the members: the
  plan of the script that came with the paper. Compare `all_three`: `select_several` for easy, hard, centroid.

`hard` and `longest_gap` have no row: nearly all that they and `easy` cost is the similarities, which say what a pair
is, and then they compare one number a pair (`longest_gap` took 0.99, 1.02, 1.00, 1.04 of the time of `easy` at 4, 8,
16, 64 candidates).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 - thread counts are read when numpy loads
from numpy.typing import NDArray  # noqa: E402

from models.selection import select_several  # noqa: E402

Matrix = NDArray[np.float32]

DIMENSION = 768
REPEATS = 5
PEER_PROMPTS = {4: 60, 8: 50, 16: 40, 64: 12}
SELECTED_MIB = 200


def make_embeddings(prompts: int, candidates: int) -> Matrix:
    """Unclustered responses around one mean per prompt, cosine 0.5: (prompts * candidates, 768)."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((prompts, candidates, DIMENSION), dtype=np.float32)
    rows += rng.standard_normal((prompts, 1, DIMENSION), dtype=np.float32)
    return rows.reshape(-1, DIMENSION)


def normalised(rows: Matrix) -> Matrix:
    """Rows of length 1."""
    unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def kmeans_only(unit: Matrix) -> tuple[Matrix, NDArray[np.int32]]:
    """Centres and labels of scikit-learn's 2-means."""
    from sklearn.cluster import KMeans

    peer = KMeans(n_clusters=2, random_state=0).fit(unit)
    return peer.cluster_centers_, peer.labels_


def easy_per_prompt(rows: Matrix) -> tuple[int, int]:
    """The least similar pair, written the obvious way."""
    unit = normalised(rows)
    gram = unit @ unit.T
    first, second = np.unravel_index(gram.argmin(), gram.shape)
    return int(min(first, second)), int(max(first, second))


def centroid_per_prompt(rows: Matrix) -> tuple[int, int]:
    """The member nearest each centre, written the obvious way."""
    unit = normalised(rows)
    centres, labels = kmeans_only(unit)
    distances = np.linalg.norm(unit[:, None] - centres, axis=2)
    distances[labels[:, None] != np.arange(2)] = np.inf
    first, second = distances.argmin(axis=0)
    return int(min(first, second)), int(max(first, second))


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


def per_prompt_loop(function: Callable[[Matrix], object], rows: Matrix, candidates: int) -> Callable[[], None]:
    """A run of the function over every prompt."""

    def run() -> None:
        for start in range(0, len(rows), candidates):
            function(rows[start : start + candidates])

    return run


def selection(rows: Matrix, candidates: int, *strategies: str) -> Callable[[], None]:
    """A run of `select_several` for the strategies named."""
    offsets = np.arange(0, len(rows) + 1, candidates)

    def run() -> None:
        select_several(rows, offsets, strategies=strategies, seed=0)

    return run


def medians(runs: dict[str, tuple[Callable[[], None], int]]) -> dict[str, dict[str, float]]:
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
            "us_per_prompt": round(1e6 * median / prompts, 2),
            "spread": round((max(timed) - min(timed)) / median, 3),
        }
    return result


def measure(candidates: int) -> dict[str, object]:
    """All runs for one number of candidates, and the ratios to the peers."""
    prompts = (SELECTED_MIB << 20) // (4 * DIMENSION * candidates)
    rows = make_embeddings(prompts, candidates)
    peer_rows = rows[: PEER_PROMPTS[candidates] * candidates]
    tenth = rows[: len(rows) // 10 // candidates * candidates]
    runs = {
        "easy": (selection(rows, candidates, "easy"), prompts),
        "random": (selection(rows, candidates, "random"), prompts),
        "centroid": (selection(rows, candidates, "centroid"), prompts),
        "centroid_tenth": (selection(tenth, candidates, "centroid"), len(tenth) // candidates),
        "centroid_fp16": (selection(tenth.astype(np.float16), candidates, "centroid"), len(tenth) // candidates),
        "all_three": (selection(rows, candidates, "easy", "hard", "centroid"), prompts),
    }
    peers = {
        "kmeans_only": (kmeans_only, normalised(peer_rows)),
        "easy_per_prompt": (easy_per_prompt, peer_rows),
        "centroid_per_prompt": (centroid_per_prompt, peer_rows),
        "all_three_by_pair_loop": (all_three_by_pair_loop, peer_rows),
    }
    for name, (function, peer_input) in peers.items():
        runs[name] = (per_prompt_loop(function, peer_input, candidates), PEER_PROMPTS[candidates])
    times = medians(runs)
    compared = {
        "easy / easy_per_prompt": ("easy_per_prompt", "easy"),
        "centroid / kmeans_only": ("kmeans_only", "centroid"),
        "centroid / centroid_per_prompt": ("centroid_per_prompt", "centroid"),
        "centroid / all_three_by_pair_loop": ("all_three_by_pair_loop", "centroid"),
        "all_three / all_three_by_pair_loop": ("all_three_by_pair_loop", "all_three"),
        "centroid at N / at N/10": ("centroid_tenth", "centroid"),
    }
    ratios = {
        name: round(times[slow]["us_per_prompt"] / times[fast]["us_per_prompt"], 2)
        for name, (slow, fast) in compared.items()
    }
    return {"candidates": candidates, "prompts": prompts, "times": times, "times_faster": ratios}


def main() -> None:
    """Measure, print and write the results beside this file."""
    versions = {name: version(name) for name in ("numpy", "scikit-learn")}
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    print(machine, versions, f"d={DIMENSION} float32, 1 thread, process time, median of {REPEATS} interleaved runs")
    results = []
    for candidates in PEER_PROMPTS:
        result = measure(candidates)
        results.append(result)
        print(json.dumps(result, indent=1))
    report = {"machine": machine, "versions": versions, "dimension": DIMENSION, "repeats": REPEATS, "results": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
