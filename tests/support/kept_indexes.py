"""Shards of random vectors, as an index on disk is made of. Needs numpy and `models` alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.index.kept import Source
from models.vectors import VectorStore

D = 16


def shards_of(folder: Path, count: int, *, rows: int = 50, seed: int = 0) -> tuple[VectorStore, list[Source]]:
    """A store of random shards, ids from 1 on."""
    store, rng, sources = VectorStore(folder), np.random.default_rng(seed), []
    for number in range(count):
        ids = np.arange(number * rows, (number + 1) * rows) + 1
        shard = store.write_shard(ids, rng.normal(size=(rows, D)))
        sources.append(Source(shard, ids, np.arange(rows)))
    return store, sources


def reader(store: VectorStore) -> Callable[[str], Any]:
    """What a kept index reads shards by."""
    return lambda shard: store.read_shard(shard).vectors
