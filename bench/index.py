"""The index on disk: time and memory to make it, to grow it and to open it, its size, and what a factory overlooks.

Then how it compares with bare FAISS, which reads the same shards by NumPy, makes float32 of them, normalises, adds and
writes one `IndexFlatIP`, and searches that: at most 131,072 vectors, one thread, process time, in turn. And how fast
lists are filled.

python -m bench.index                              (a million vectors of 768 components, on the CPU)
python -m bench.index --count 200000 --dimension 256

Prints a table and writes bench/index.json. The vectors are random around 1,000 centres. Memory is what is anonymous,
the most above what the process had before; pages of mapped files are the system's to take back. The disk must hold 2.5
times the vectors in float32.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import machine_words
from models.index import VectorIndex
from models.index.kept import KeptIndex, OpenedIndex, Source
from models.index.library import load_faiss
from models.index.making import fill
from models.index.segments import unit_rows
from models.vectors import VectorStore

faiss = load_faiss()  # both ways with the same kernels
ROWS_A_SHARD = 4_096
RESULTS = Path(__file__).with_suffix(".json")
QUERIES = 100
MACHINE = machine_words()
VERSIONS = f"faiss {faiss.__version__}, numpy {np.__version__}"
PEER_ROWS, SINGLE, BLOCK = 131_072, 10, 1_024
FILLED, LISTS = 65_536, 4_096


def compare(folder: Path, *, count: int, dimension: int, rounds: int) -> dict[str, float]:
    """How many times as fast as bare FAISS: medians of the rounds' ratios, and the spread of each."""
    faiss.omp_set_num_threads(1)
    store, sources = _shards(folder / "vectors", min(count, PEER_ROWS), dimension)
    read: Callable[[str], np.ndarray] = lambda shard: store.read_shard(shard).vectors  # noqa: E731
    for source in sources:
        read(source.shard)
    bare = _bare(store, sources, folder / "bare.faiss")
    kept = KeptIndex(folder / "kept", read).open(sources, factory="Flat").index
    assert kept is not None
    queries = np.random.default_rng(1).normal(size=(BLOCK, dimension)).astype(np.float32)
    faiss.normalize_L2(queries)
    pairs: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
        "build": (
            lambda at: _bare(store, sources, folder / f"bare-{at}.faiss"),
            lambda at: KeptIndex(folder / f"kept-{at}", read).open(sources, factory="Flat"),
        ),
        "build_in_memory": (
            lambda _: _bare(store, sources, None),
            lambda _: VectorIndex.build((source.ids, source.of(read(source.shard))) for source in sources),
        ),
        "search_one": (
            lambda _: [bare.search(query[None], 10) for query in queries[:SINGLE]],
            lambda _: [kept.search(query[None], 10, exclude=None) for query in queries[:SINGLE]],
        ),
        "search_block": (
            lambda _: bare.search(queries, 10),
            lambda _: kept.search(queries, 10, exclude=None),
        ),
    }  # fmt: skip
    figures = {"peer_count": float(min(count, PEER_ROWS)), "peer_rounds": float(rounds)}
    for name, (of_peer, own) in pairs.items():
        times = np.array([[_process_s(of_peer, at), _process_s(own, at)] for at in range(rounds)])
        ratios = times[:, 0] / times[:, 1]
        figures |= {
            f"{name}_peer_s": float(np.median(times[:, 0])), f"{name}_own_s": float(np.median(times[:, 1])),
            f"{name}_ratio": float(np.median(ratios)), f"{name}_ratio_spread": float(np.ptp(ratios)),
        }  # fmt: skip
    return figures


def fill_rate(dimension: int, rounds: int) -> dict[str, float]:
    """Floating-point operations a second, of one thread's process time, that put vectors into lists of 8 bits."""
    faiss.omp_set_num_threads(1)
    vectors = unit_rows(np.random.default_rng(0).standard_normal((FILLED, dimension), dtype=np.float32))
    trained = faiss.index_factory(dimension, f"IVF{LISTS},SQ8", faiss.METRIC_INNER_PRODUCT)
    trained.cp.niter = 1
    trained.train(vectors)
    empty = faiss.serialize_index(trained)
    times = [_process_s(lambda _: fill(faiss.deserialize_index(empty), [vectors]), at) for at in range(rounds)]
    return {"fill_flop_per_s": 2 * FILLED * LISTS * dimension / float(np.median(times))}


def _bare(store: VectorStore, sources: Sequence[Source], path: Path | None) -> Any:
    index = faiss.IndexFlatIP(np.load(store.folder / sources[0].shard / "vectors.npy", mmap_mode="r").shape[1])
    for source in sources:
        vectors = np.load(store.folder / source.shard / "vectors.npy", mmap_mode="r").astype(np.float32)
        faiss.normalize_L2(vectors)
        index.add(vectors)
    if path is not None:
        faiss.write_index(index, str(path))
    return index


def _process_s(work: Callable[[int], object], at: int) -> float:
    begun = time.process_time()
    work(at)
    return time.process_time() - begun


def measure(folder: Path, *, count: int, dimension: int, factory: str) -> dict[str, float | str | None]:
    """Make an index of nine tenths of the vectors, grow it by the last, open it again, search it."""
    store, sources = _shards(folder / "vectors", count, dimension)
    read: Callable[[str], np.ndarray] = lambda shard: store.read_shard(shard).vectors  # noqa: E731
    for source in sources:
        read(source.shard)  # checked once in a process, which is not the index's time
    first = int(0.9 * len(sources))
    figures: dict[str, float | str | None] = {
        "machine": MACHINE,
        "versions": VERSIONS,
        "count": count,
        "dimension": dimension,
    }
    opened: OpenedIndex | None = None
    for name, some in (("build", sources[:first]), ("grow", sources), ("open", sources)):
        with _watched() as watched:
            opened = KeptIndex(folder / "index", read).open(some, factory=factory)
        figures |= {f"{name}_s": watched["seconds"], f"{name}_peak_bytes": watched["peak_bytes"]}
    size = sum(path.stat().st_size for path in (folder / "index").iterdir())
    assert opened is not None and opened.index is not None
    queries = np.random.default_rng(1).normal(size=(QUERIES, dimension))
    with _watched() as watched:
        opened.index.search(queries, 10, exclude=None)
    most = max(float(figures[f"{name}_peak_bytes"] or 0) for name in ("build", "grow"))
    recall = opened.recall.recall if opened.recall else None
    return figures | {
        "size_bytes": size, "peak_over_size": most / size, "search_ms": 1000 * watched["seconds"] / QUERIES,
        "factory": opened.factory, "recall": recall,
    }  # fmt: skip


@contextmanager
def _watched() -> Iterator[dict[str, float]]:
    """Seconds, and the most anonymous memory above that at the beginning, looked at every millisecond."""
    before, watched, is_over = _anonymous_bytes(), {"peak_bytes": 0.0, "seconds": 0.0}, threading.Event()

    def watch() -> None:
        while not is_over.wait(0.001):
            watched["peak_bytes"] = max(watched["peak_bytes"], _anonymous_bytes() - before)

    thread, begun = threading.Thread(target=watch), time.perf_counter()
    thread.start()
    try:
        yield watched
    finally:
        watched["seconds"] = time.perf_counter() - begun
        is_over.set()
        thread.join()


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _shards(folder: Path, count: int, dimension: int) -> tuple[VectorStore, list[Source]]:
    rng, store, sources = np.random.default_rng(0), VectorStore(folder), list[Source]()
    centres = rng.normal(size=(1_000, dimension)).astype(np.float32)
    for start in range(0, count, ROWS_A_SHARD):
        ids = np.arange(start, min(start + ROWS_A_SHARD, count))
        noise = rng.standard_normal(size=(len(ids), dimension), dtype=np.float32)
        shard = store.write_shard(ids, centres[rng.integers(0, 1_000, len(ids))] + noise)
        sources.append(Source(shard, ids, np.arange(len(ids))))
    return store, sources


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--factory", default="")
    parser.add_argument("--rounds", type=int, default=5, help="beside bare FAISS; 0: it is left out")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    size = {"count": arguments.count, "dimension": arguments.dimension}
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), **size, factory=arguments.factory)
    if arguments.rounds:
        with tempfile.TemporaryDirectory() as folder:
            figures |= compare(Path(folder), **size, rounds=arguments.rounds)
        figures |= fill_rate(arguments.dimension, arguments.rounds)
    for name, value in figures.items():
        print(f"{name:18} {value:,.3f}" if isinstance(value, float) else f"{name:18} {value}")
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
