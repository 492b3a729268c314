"""The index of a factory string that others filled is the one that was filled here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept_indexes import reader, shards_of

from models.index.factory import train
from models.index.kept import KeptIndex
from models.index.library import load_faiss
from models.index.making import Encode, Encoder, fill

D = 32


def pieces(seed: int = 0) -> list[Any]:
    vectors = np.random.default_rng(seed).normal(size=(3_000, D)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [vectors[:1_000], vectors[1_000:1_100], vectors[1_100:]]


@contextmanager
def by_hundreds(trained: Any) -> Iterator[Encode]:
    encoder = Encoder(trained)

    def encode(vectors: Any) -> Any:
        vectors.flags.writeable = False  # as what comes from another process
        return np.concatenate([encoder.encode(vectors[at : at + 100]) for at in range(0, len(vectors), 100)])

    yield encode


@contextmanager
def nobody(trained: Any) -> Iterator[Encode]:
    raise AssertionError("it is made here")
    yield


@pytest.mark.parametrize(
    "factory",
    ["IVF16,SQ8", "IVF16,SQ4", "IVF16,SQfp16", "IVF16,Flat", "IVF16,PQ8x4", "PCA16,IVF16,SQ8"],
)  # fmt: skip
def test_what_others_encode_makes_the_same_index_bit_for_bit(factory: str) -> None:
    faiss, indexes = load_faiss(), []
    for encoders in (None, by_hundreds):
        told: list[tuple[int, int]] = []
        index = train(factory, pieces())
        fill(index, pieces(), encoders=encoders, on_rows=lambda done, total, told=told: told.append((done, total)))
        assert told == [(1_000, 3_000), (1_100, 3_000), (3_000, 3_000)]
        indexes.append(faiss.serialize_index(index))
    np.testing.assert_array_equal(indexes[0], indexes[1])


def test_a_graph_has_no_codes_and_is_made_here() -> None:
    index = train("HNSW16", pieces())
    fill(index, pieces(), encoders=nobody)
    assert index.ntotal == 3_000


def test_an_index_on_disk_is_filled_by_others_and_says_how_far_it_is(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 8)
    told: list[tuple[str, int, int]] = []

    @contextmanager
    def stage(name: str) -> Iterator[Any]:
        yield lambda done, total: told.append((name, done, total))

    kept = KeptIndex(tmp_path / "theirs", reader(store), encoders=by_hundreds)
    there = kept.open(sources, factory="IVF4,SQ8", stage=stage)
    here = KeptIndex(tmp_path / "own", reader(store)).open(sources, factory="IVF4,SQ8")
    assert told[-2:] == [("index", 400, 400), ("fill index", 400, 400)]
    theirs, own = (next((tmp_path / name).glob("*.factory.faiss")).read_bytes() for name in ("theirs", "own"))
    assert theirs == own and there.recall == here.recall
    kept.open(sources, factory="IVF4,SQ8", stage=nobody)  # nothing is done, and nothing told
