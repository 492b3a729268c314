"""The compiled selection: against brute force in float64, and against NumPy, which it must not be told from."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.selection import (
    Reason,
    SelectedPairs,
    Strategy,
    compiled_clusters,
    compiled_search,
    compiled_tiles,
    fused,
    select_several,
    two_means,
)
from models.selection import compiled as compiled_code
from models.selection.similarity import SMALLEST_SQUARED_NORM, TOLERANCE
from tests.test_models_selection_oracle import KINDS, Oracle, expected_reason, make_groups, unit_groups

Array = np.ndarray[Any, Any]
STRATEGIES: tuple[Strategy, ...] = ("easy", "hard", "centroid")


@pytest.fixture(autouse=True)
def _however_few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fused, "LEAST_NUMBERS", 0)
    yield
    fused._kernel.cache_clear()


def compiled(embeddings: Array, offsets: Array, strategies: tuple[Strategy, ...] = STRATEGIES) -> list[SelectedPairs]:
    assert fused._kernel() is not None
    turns = select_several(embeddings, offsets, strategies=strategies, seed=0).turns
    return [turns[strategy][0] for strategy in strategies]


def by_numpy(embeddings: Array, offsets: Array) -> list[SelectedPairs]:
    """Lengths keep the kernel away, and change no pair of these strategies."""
    lengths = np.zeros(len(embeddings), np.int64)
    turns = select_several(embeddings, offsets, strategies=STRATEGIES, seed=0, lengths=lengths).turns
    return [turns[strategy][0] for strategy in STRATEGIES]


def assert_same(one: SelectedPairs, other: SelectedPairs) -> None:
    for name in SelectedPairs.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def share_alike(ours: SelectedPairs, twins: SelectedPairs) -> float:
    for name in ("reason", "pair_count"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(twins, name))
    is_alike = (ours.first == twins.first) & (ours.second == twins.second)
    np.testing.assert_allclose(ours.similarity[is_alike], twins.similarity[is_alike], atol=1e-6)
    ranks, twin_ranks = ours.rank[is_alike], twins.rank[is_alike]
    assert np.abs(ranks - twin_ranks).max(initial=0) <= 3  # pairs less similar by just the tolerance
    assert np.mean(ranks == twin_ranks) >= 0.97
    return float(is_alike.mean())


def is_allowed(strategy: Strategy, oracle: Oracle, pair: tuple[int, int]) -> bool:
    if strategy == "centroid":
        return oracle.is_central(pair)
    return oracle.is_extreme(pair, 1 if strategy == "easy" else -1)


def test_cosines_near_one_are_centred_as_exactly_as_others() -> None:
    """All entries off by 1e-7 alike moved the inertia of one against eleven by 1e-5, on some processors."""
    size, means = 12, np.empty(12, np.float32)
    rows = unit_groups(np.random.default_rng(size), 50, size, 70, "very_similar").astype(np.float64)
    for cosine in (rows @ rows.transpose(0, 2, 1)).astype(np.float32):
        centred, exact = np.empty_like(cosine), cosine.astype(np.float64)
        compiled_clusters.centre(cosine, size, centred, means)
        exact = exact - exact.mean(axis=0)
        exact -= exact.mean(axis=1, keepdims=True)
        assert np.abs(centred.sum(axis=1, dtype=np.float64)).max() < 1e-8
        np.testing.assert_allclose(centred, exact, atol=1e-9)


@settings(max_examples=60, deadline=None)  # 60 x 100 groups
@given(st.integers(0, 2**32), st.sampled_from([np.float32, np.float16, np.float64]))
def test_compiled_pairs_agree_with_brute_force_on_random_and_degenerate_groups(seed: int, kind: type) -> None:
    embeddings, offsets = make_groups(seed, 100)
    with np.errstate(over="ignore"):
        embeddings = embeddings.astype(kind)
    for strategy, selected in zip(STRATEGIES, compiled(embeddings, offsets), strict=True):
        for group, (start, end) in enumerate(pairwise(offsets)):
            oracle = Oracle(embeddings[start:end], np.zeros(end - start, np.int64))
            if not selected.has_pair[group]:
                assert not oracle.surely
                assert selected.second[group] == -1
                assert np.isnan(selected.similarity[group])
                assert selected.rank[group] == selected.pair_count[group] == 0
                assert selected.reason[group] == expected_reason(end - start, len(oracle.usable))
                continue
            assert selected.reason[group] == Reason.PAIR_CHOSEN
            ends = np.array([selected.first[group], selected.second[group]]) - start
            low, high = (int(place) for place in np.searchsorted(oracle.usable, ends))
            assert oracle.usable[[low, high]].tolist() == ends.tolist()
            oracle.check_pair((low, high), selected.similarity[group], selected.rank[group], selected.pair_count[group])
            assert is_allowed(strategy, oracle, (low, high)), (strategy, group, embeddings[start:end])


@pytest.mark.parametrize("kind", ["isotropic", "mean", "clusters", "very_similar", "duplicates", "low_dimension"])
@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 11, 12, 16])
def test_compiled_pairs_are_those_of_numpy_but_for_ties(size: int, kind: str) -> None:
    rows = unit_groups(np.random.default_rng(size), 400, size, 70, kind)
    embeddings, offsets = rows.reshape(-1, rows.shape[2]), np.arange(0, 400 * size + 1, size)
    for strategy, ours, twins in zip(
        STRATEGIES, compiled(embeddings, offsets), by_numpy(embeddings, offsets), strict=True
    ):
        # Where two values differ by about the tolerance rounding decides: then both pairs are right.
        assert share_alike(ours, twins) >= 0.97
        for group in np.flatnonzero((ours.first != twins.first) | (ours.second != twins.second)):
            oracle = Oracle(rows[group], np.zeros(size, np.int64))
            for one in (ours, twins):
                assert is_allowed(strategy, oracle, (one.first[group] - group * size, one.second[group] - group * size))


@pytest.mark.parametrize("kind", ["isotropic", "mean", "clusters", "very_similar", "duplicates", "low_dimension"])
@pytest.mark.parametrize("size", [17, 18, 33, 64])
def test_compiled_pairs_of_many_candidates_are_those_of_numpy_but_for_ties(size: int, kind: str) -> None:
    groups = 60
    rows = unit_groups(np.random.default_rng(size), groups, size, 70, kind)
    embeddings, offsets = rows.reshape(-1, rows.shape[2]), np.arange(0, groups * size + 1, size)
    for strategy, ours, twins in zip(
        STRATEGIES, compiled(embeddings, offsets), by_numpy(embeddings, offsets), strict=True
    ):
        for name in ("reason", "pair_count"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(twins, name))
        is_alike = (ours.first == twins.first) & (ours.second == twins.second)
        np.testing.assert_allclose(ours.similarity[is_alike], twins.similarity[is_alike], atol=1e-6)
        assert is_alike.mean() >= (0.9 if strategy == "centroid" else 0.97)


def test_many_nearly_identical_candidates_have_a_pair_of_their_own() -> None:
    rows = np.zeros((40, 64, 2), np.float32)
    rows[:, :, 0] = 1
    rows[:, -1, 1] = np.linspace(2.9e-3, 4e-3, 40)  # cosines with the others from 1 − 4.2e-6 on
    for ours in compiled(rows.reshape(-1, 2), np.arange(0, 64 * 40 + 1, 64)):
        assert (ours.reason == Reason.PAIR_CHOSEN).all()
        np.testing.assert_array_equal(ours.second, np.arange(1, 41) * 64 - 1)
        assert (ours.first // 64 == np.arange(40)).all()


def test_the_compiled_search_reads_the_seed() -> None:
    rows = np.random.default_rng(0).standard_normal((64 * 60, 70)).astype(np.float32)
    offsets, lengths = np.arange(0, len(rows) + 1, 64), np.zeros(len(rows), np.int64)
    for seed in (1, -1, 1 << 70):
        ours = select_several(rows, offsets, strategies=("centroid",), seed=seed).turns["centroid"][0]
        twins = select_several(rows, offsets, strategies=("centroid",), seed=seed, lengths=lengths).turns["centroid"][0]
        assert share_alike(ours, twins) >= 0.97


@pytest.mark.parametrize("cosine", [0.5, 0.9, 0.99])
def test_of_ten_thousand_groups_at_most_ten_have_another_pair_than_in_float64(cosine: float) -> None:
    rng = np.random.default_rng(int(100 * cosine))
    rows = rng.standard_normal((10_000, 8, 64)) + np.sqrt(cosine / (1 - cosine)) * rng.standard_normal((10_000, 1, 64))
    rows = rows.astype(np.float32)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=2, keepdims=True)
    first, second = np.triu_indices(8, 1)
    cosines = (unit[:, first] * unit[:, second]).sum(axis=2)
    expected = {"easy": cosines.argmin(axis=1), "hard": cosines.argmax(axis=1)}
    selected = dict(zip(STRATEGIES, compiled(rows.reshape(-1, 64), np.arange(0, 80_001, 8)), strict=True))
    for strategy, position in expected.items():
        ours = selected[strategy]
        in_group = np.arange(10_000) * 8
        is_same = (ours.first == in_group + first[position]) & (ours.second == in_group + second[position])
        values = (unit.reshape(-1, 64)[ours.first] * unit.reshape(-1, 64)[ours.second]).sum(axis=1)
        is_tied = np.abs(values - cosines[np.arange(10_000), position]) <= 5e-6
        assert np.mean(is_same | is_tied) >= 0.999


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_neither_order_nor_company_changes_what_is_compiled(seed: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 20, 40)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    embeddings = rng.standard_normal((int(sizes.sum()), dimension)).astype(np.float32)
    whole = compiled(embeddings, offsets)
    for group in range(0, 40, 5):
        for one, alone in zip(whole, compiled(embeddings, offsets[group : group + 2]), strict=True):
            assert_same(alone, SelectedPairs(*(getattr(one, name)[[group]] for name in SelectedPairs.__slots__)))
    for strategy, one in zip(STRATEGIES, whole, strict=True):
        assert_same(one, compiled(embeddings, offsets, (strategy,))[0])


@pytest.mark.parametrize("dimension", [5, 16, 70])
def test_halves_maps_doubles_and_strides_select_as_the_same_numbers_in_float32(tmp_path: Path, dimension: int) -> None:
    embeddings, offsets = make_groups(dimension, 300)
    half = np.random.default_rng(0).standard_normal((len(embeddings), dimension)).astype(np.float16)
    half[::7] *= np.float16(1e-5)  # below the smallest normal half
    half[3::11, 2] = np.inf
    half[5::13, 1] = np.nan
    np.save(tmp_path / "half.npy", half)
    wide = np.repeat(half.astype(np.float32), 3, axis=1)[:, ::3]
    assert not wide.flags.c_contiguous
    forms = [half, np.load(tmp_path / "half.npy", mmap_mode="r"), half.astype(np.float64), wide, half[:, ::-1][:, ::-1]]
    expected = compiled(half.astype(np.float32), offsets)
    for form in forms:
        for one, other in zip(expected, compiled(form, offsets), strict=True):
            assert_same(one, other)


def test_larger_groups_between_small_ones_are_searched_as_by_numpy() -> None:
    rng = np.random.default_rng(4)
    sizes = rng.permutation([2, 3, 8, 16, 17, 30, 64, 0, 1] * 6)
    embeddings = rng.standard_normal((int(sizes.sum()), 24)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    for ours, twins in zip(compiled(embeddings, offsets), by_numpy(embeddings, offsets), strict=True):
        assert share_alike(ours, twins) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_strategy_that_is_not_compiled_goes_with_numpy_beside_those_that_are(kind: str) -> None:
    embeddings, offsets = make_groups(KINDS.index(kind), 50)
    mixed = select_several(embeddings, offsets, strategies=(*STRATEGIES, "random"), seed=0).turns
    for strategy, twins in zip(STRATEGIES, by_numpy(embeddings, offsets), strict=True):
        assert_same(mixed[strategy][0], twins)


def test_memory_beside_the_embeddings_stays_below_two_blocks() -> None:
    rows = np.random.default_rng(0).standard_normal((1 << 15, 256), dtype=np.float32)
    for form in (rows, rows.astype(np.float16), rows.astype(np.float64), rows[:, ::2]):
        compiled(form[:16], np.array([0, 8, 16]))
        tracemalloc.start()
        compiled(form, np.arange(0, len(rows) + 1, 8))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < fused.BLOCK_BYTES * 2


def test_a_small_selection_loads_no_compiler() -> None:
    program = (
        "import sys, numpy as np; from models.selection import select_pairs;"
        "select_pairs(np.eye(8), np.array([0, 8]), strategy='easy', seed=0); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0


def test_without_numba_numpy_selects_the_same_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings, offsets = make_groups(1, 50)
    fused._kernel.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)  # so that importing it fails
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            turns = select_several(embeddings, offsets, strategies=STRATEGIES, seed=0).turns
    assert [record.message.split(":")[0] for record in caplog.records] == ["NumPy selects, which takes longer"]
    for strategy, twins in zip(STRATEGIES, by_numpy(embeddings, offsets), strict=True):
        assert_same(turns[strategy][0], twins)


def test_what_numba_keeps_is_made_anew_when_anything_in_it_changes() -> None:
    code = b"".join(Path(part.__file__).read_bytes() for part in (compiled_tiles, compiled_clusters, compiled_search))
    constants = [getattr(two_means, name) for name in sorted(vars(two_means)) if name.isupper()]
    others = (TOLERANCE, SMALLEST_SQUARED_NORM, [int(reason) for reason in Reason])
    expected = hashlib.sha256(code + repr((constants, others)).encode()).hexdigest()[:16]
    assert expected == compiled_code.COMPILED_FROM


def test_where_nothing_can_be_kept_the_code_is_compiled_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    made: dict[str, Any] = {}
    exec("def twice(x): return 2 * x", made)  # of no file, beside which it could be kept
    with caplog.at_level(logging.WARNING):
        twice: Any = fused._compiled(made["twice"])
    assert twice(21) == 42
    assert "set NUMBA_CACHE_DIR" in caplog.text
