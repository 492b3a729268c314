"""The benchmarks that a curation names: refused before it begins, and part of what makes a run the same.

Knows no Prefect.
"""

from __future__ import annotations

from models.neighbours.benchmark_files import Benchmark, open_benchmark
from tasks.config.curation import CurateConfig


def open_benchmarks(config: CurateConfig) -> list[Benchmark]:
    """The files that a configuration names.

    Raises:
        SourceError: If one is not there, cannot be read or holds no text.
    """
    return [open_benchmark(file) for file in config.contamination.files]


def benchmarks_content(config: CurateConfig) -> list[list[str]]:
    """What the files hold, as a part of a run's key: nothing where none is named.

    Raises:
        SourceError: As `open_benchmarks`.
    """
    hashes = [benchmark.content_hash for benchmark in open_benchmarks(config)]
    return [hashes] if hashes else []


def count_benchmark_prompts(config: CurateConfig) -> int:
    """How many prompts the files have, which the embedder reads: each file's, once a file.

    Raises:
        SourceError: As `open_benchmarks`.
    """
    return sum(line.prompt is not None for benchmark in open_benchmarks(config) for line in benchmark.lines())
