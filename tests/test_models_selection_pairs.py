import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.selection import SHIPPED, Reason, SelectedPairs, Strategy, select_pairs
from models.selection.similarity import as_float32

Array = np.ndarray[Any, Any]
STRATEGIES = tuple(SHIPPED)


def at_angles(*degrees: float) -> Array:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def any_lengths(count: int) -> Array:
    return np.random.default_rng(count).integers(0, 6, count)


def select_one(embeddings: Array, strategy: Strategy, seed: int = 0, lengths: Array | None = None) -> SelectedPairs:
    return select(np.asarray(embeddings), np.array([0, len(embeddings)]), strategy, seed, lengths)


def select(
    embeddings: Array, offsets: Array, strategy: Strategy, seed: int = 0, lengths: Array | None = None
) -> SelectedPairs:
    lengths = any_lengths(len(embeddings)) if lengths is None else lengths
    return select_pairs(embeddings, offsets, strategy=strategy, seed=seed, lengths=lengths)


def chosen(embeddings: Array, strategy: Strategy, seed: int = 0) -> tuple[int, int]:
    selected = select_one(embeddings, strategy, seed)
    return int(selected.first[0]), int(selected.second[0])


def ragged(seed: int, groups: int = 60, dimension: int = 24, largest: int = 20) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, largest + 1, groups)
    return rng.standard_normal((sizes.sum(), dimension)).astype(np.float32), np.concatenate([[0], np.cumsum(sizes)])


def assert_same(one: SelectedPairs, other: SelectedPairs) -> None:
    for name in SelectedPairs.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_pairs_of_a_worked_case() -> None:
    # directions at 0, 10, 100, 130 degrees: widest 0-130 (cos -0.643), closest 0-10 (cos 0.985); 2-means splits
    # {0, 10} from {100, 130}, both of two members, so that the lower position of each is its central response
    embeddings = at_angles(0, 10, 100, 130)
    assert chosen(embeddings, "easy") == (0, 3)
    assert chosen(embeddings, "hard") == (0, 1)
    assert chosen(embeddings, "centroid") == (0, 2)
    easy, hard, centroid = (select_one(embeddings, strategy) for strategy in ("easy", "hard", "centroid"))
    assert easy.similarity[0] == pytest.approx(np.cos(np.deg2rad(130)), abs=1e-6)
    # cosines rise from 0-3, 1-3 (120 degrees), 0-2 (100), 1-2 (90), 2-3 (30) to 0-1 (10)
    assert [int(selected.rank[0]) for selected in (easy, centroid, hard)] == [1, 3, 6]
    assert easy.pair_count[0] == 6


def test_the_longest_gap_of_a_worked_case() -> None:
    embeddings = at_angles(0, 10, 100, 130)
    # gaps: 0-1 30, 0-2 5, 0-3 20, 1-2 35, 1-3 10, 2-3 25
    selected = select_one(embeddings, "longest_gap", lengths=np.array([40, 70, 35, 60]))
    assert (selected.first[0], selected.second[0]) == (1, 2)
    assert selected.similarity[0] == pytest.approx(np.cos(np.deg2rad(90)), abs=1e-6)
    assert (selected.rank[0], selected.pair_count[0]) == (4, 6)  # by similarity, as under every strategy
    # 0-1 and 0-2 differ by 9, 1-2 by 0: the first of equals; without a difference the first pair of all
    assert chosen_by_length(at_angles(0, 50, 100), [10, 1, 1]) == (0, 1)
    assert chosen_by_length(at_angles(0, 50, 100), [7, 7, 7]) == (0, 1)
    # 0 and 1 point the same way and are no pair, however unlike in length
    assert chosen_by_length(at_angles(30, 30, 100), [1, 999, 2]) == (1, 2)


def chosen_by_length(embeddings: Array, lengths: list[int]) -> tuple[int, int]:
    selected = select_one(embeddings, "longest_gap", lengths=np.array(lengths))
    return int(selected.first[0]), int(selected.second[0])


@given(st.integers(0, 2**32), st.integers(2, 9))
def test_the_order_of_responses_moves_the_longest_gap_to_an_equal_one_at_most(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, lengths = rng.standard_normal((size, 5)), rng.integers(0, 8, size)
    order = rng.permutation(size)
    here = np.array(chosen_by_length(embeddings, lengths.tolist()))
    there = order[list(chosen_by_length(embeddings[order], lengths[order].tolist()))]
    assert abs(np.diff(lengths[here])[0]) == abs(np.diff(lengths[there])[0]) == np.ptp(lengths)
    if len(set(lengths.tolist())) == size:  # no ties: the very same pair
        assert set(here.tolist()) == set(there.tolist())
    assert chosen_by_length(embeddings, (lengths * 3 + 11).tolist()) == tuple(here.tolist())


def test_lengths_move_no_other_strategy() -> None:
    embeddings, offsets = ragged(11)
    for strategy in STRATEGIES[:4]:
        without = select_pairs(embeddings, offsets, strategy=strategy, seed=1)
        assert_same(without, select(embeddings, offsets, strategy, 1))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (None, "longest_gap needs the length of each response"),
        (np.array([1, 2, 3]), "one for each of the 4 embeddings, got shape .3,."),
        (np.array([1.0, 2, 3, 4]), "whole numbers"),
        (np.array([1, 2, -3, 4]), "0 or more, got -3"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths: Array | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_pairs(np.eye(4), np.array([0, 4]), strategy="longest_gap", seed=0, lengths=lengths)


def test_the_central_response_is_the_one_in_the_middle_of_its_cluster() -> None:
    assert chosen(at_angles(0, 9, 20, 150, 160, 171), "centroid") == (1, 4)
    assert chosen(at_angles(160, 0, 150, 20, 171, 9), "centroid") == (0, 5)


def test_reasons_say_why_a_group_has_no_pair() -> None:
    nan, zero, one = [np.nan, 1.0], [0.0, 0.0], [1.0, 2.0]
    groups: list[list[list[float]]] = [[], [one], [nan, zero], [nan, one, zero], [one, one, [2, 4]], [one, [-1, 1]]]
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    embeddings = np.array([row for group in groups for row in group], dtype=np.float32)
    for strategy in STRATEGIES:
        selected = select(embeddings, offsets, strategy, 0)
        assert [Reason(code).text for code in selected.reason] == [
            "no candidate",
            "one candidate",
            "no embedding is finite and non-zero",
            "one embedding is finite and non-zero",
            "all candidates identical",
            "",
        ]
        assert selected.has_pair.tolist() == [False] * 5 + [True]
        assert selected.first.tolist() == [-1] * 5 + [9]
        assert selected.second.tolist() == [-1] * 5 + [10]
        assert selected.rank.tolist() == selected.pair_count.tolist() == [0] * 5 + [1]
        assert np.isnan(selected.similarity[:5]).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_identical_responses_are_never_paired(strategy: Strategy) -> None:
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((2, 4096)).astype(np.float32)
    for seed in range(20):
        which = rng.permutation([0, 0, 0, 0, 0, 1])
        scaled = distinct[which] * rng.uniform(0.01, 100, (6, 1)).astype(np.float32)
        first, second = chosen(scaled, strategy, seed)
        assert which[first] != which[second]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0, 1e-20, 1e30])
def test_a_row_that_is_not_usable_is_never_chosen_and_harms_no_other(strategy: Strategy, bad: float) -> None:
    rows = np.random.default_rng(0).standard_normal((7, 16)).astype(np.float32)
    spoilt = np.insert(rows, 3, np.full(16, bad), axis=0)
    lengths = np.array([5, 1, 4, 900, 2, 7, 3, 6])  # the unusable row would make the longest gap
    selected = select_one(spoilt, strategy, 0, lengths)
    assert 3 not in (selected.first[0], selected.second[0])
    assert selected.pair_count[0] == 21
    if strategy not in ("random", "max_min_lcb"):  # which draws from the content, the unusable row included
        clean = select_one(rows, strategy, 0, np.delete(lengths, 3))
        kept = np.delete(np.arange(8), 3)
        assert (kept[clean.first[0]], kept[clean.second[0]]) == (selected.first[0], selected.second[0])


def test_ties_go_to_the_lower_index() -> None:
    corners = np.eye(6, dtype=np.float32)  # all pairs, all splits of a kind and all members alike
    assert chosen(corners, "easy") == chosen(corners, "hard") == (0, 1)
    assert select_one(corners, "hard").rank[0] == 1
    assert chosen(np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2]], "easy") == (0, 2)
    # rows 1 and 2 are as far from 0 within 4e-6: cosines 0 and -1e-6; 3 is beyond
    near = np.array([[1, 0], [0, 1], [-1e-6, 1], [-2e-5, 1]], dtype=np.float32)
    assert chosen(near[:3], "easy") == (0, 1)
    assert chosen(near, "easy") == (0, 3)


def test_two_candidates_make_the_only_pair_under_every_strategy() -> None:
    rows = np.random.default_rng(0).standard_normal((2, 5))
    assert {chosen(rows, strategy, seed) for strategy in STRATEGIES for seed in range(3)} == {(0, 1)}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [2, 3, 12, 16, 17, 40, 64])
def test_every_size_gives_a_valid_pair_within_its_group(strategy: Strategy, size: int) -> None:
    rows = np.random.default_rng(size).standard_normal((5 * size, 20)).astype(np.float32)
    selected = select(rows, np.arange(0, 5 * size + 1, size), strategy, 0)
    starts = np.arange(5) * size
    assert (starts <= selected.first).all()
    assert (selected.first < selected.second).all()
    assert (selected.second < starts + size).all()
    assert (selected.pair_count == size * (size - 1) // 2).all()
    expected = np.einsum("id,id->i", rows[selected.first], rows[selected.second]) / (
        np.linalg.norm(rows[selected.first], axis=1) * np.linalg.norm(rows[selected.second], axis=1)
    )
    np.testing.assert_allclose(selected.similarity, expected, atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(STRATEGIES))
def test_results_do_not_depend_on_the_order_of_the_groups_or_on_batching(seed: int, strategy: Strategy) -> None:
    embeddings, offsets = ragged(seed)
    whole = select(embeddings, offsets, strategy, seed)
    order = np.random.default_rng(seed).permutation(len(offsets) - 1)
    pieces = [np.arange(offsets[group], offsets[group + 1]) for group in order]
    rows = np.concatenate(pieces)
    new_offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    shuffled = select(embeddings[rows], new_offsets, strategy, seed, any_lengths(len(embeddings))[rows])
    has_pair = shuffled.has_pair
    np.testing.assert_array_equal(whole.first[order][has_pair], rows[shuffled.first[has_pair]])
    np.testing.assert_array_equal(whole.second[order][has_pair], rows[shuffled.second[has_pair]])
    for name in ("similarity", "reason", "rank", "pair_count"):
        np.testing.assert_array_equal(getattr(whole, name)[order], getattr(shuffled, name))
    for group in range(0, len(order), 7):  # alone, in place: offsets may start and end anywhere
        alone = select(embeddings, offsets[group : group + 2], strategy, seed)
        assert_same(alone, SelectedPairs(*(getattr(whole, name)[[group]] for name in SelectedPairs.__slots__)))


@pytest.mark.parametrize("strategy", ["easy", "hard", "centroid"])
def test_scaling_a_response_changes_nothing(strategy: Strategy) -> None:
    embeddings, offsets = ragged(5)
    scaled = embeddings * 2.0 ** np.random.default_rng(0).integers(-20, 20, (len(embeddings), 1))
    assert_same(
        select(embeddings, offsets, strategy, 0),
        select(scaled.astype(np.float32), offsets, strategy, 0),
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_half_and_double_precision_select_as_the_same_numbers_in_float32(strategy: Strategy, tmp_path: Path) -> None:
    embeddings, offsets = ragged(6)
    half = embeddings.astype(np.float16)
    expected = select(half.astype(np.float32), offsets, strategy, 0)
    assert_same(expected, select(half, offsets, strategy, 0))
    assert_same(expected, select(half.astype(np.float64), offsets, strategy, 0))
    np.save(tmp_path / "embeddings.npy", half)
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    assert_same(expected, select(mapped, offsets, strategy, 0))


def test_every_half_becomes_the_float32_of_its_value() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    assert as_float32(finite).tobytes() == finite.astype(np.float32).tobytes()  # −0 and the smallest ones included
    np.testing.assert_array_equal(as_float32(halves), halves.astype(np.float32))
    assert (
        as_float32(finite.reshape(-1, 8)[::2, ::3]).tobytes() == finite.reshape(-1, 8)[::2, ::3].astype("f4").tobytes()
    )


def test_half_precision_storage_keeps_the_extreme_pairs_of_similar_responses() -> None:
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((500, 8, 768)) + np.sqrt(99) * rng.standard_normal((500, 1, 768))  # mean cosine 0.99
    unit = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    stored = rows.reshape(-1, 768).astype(np.float16)
    cosines = np.einsum("gid,gjd->gij", unit, unit)[:, *np.triu_indices(8, 1)]
    extremes: dict[Strategy, Array] = {"easy": cosines.min(axis=1), "hard": cosines.max(axis=1)}
    for strategy, best in extremes.items():
        selected = select(stored, np.arange(0, 4001, 8), strategy, 0)
        pair = unit.reshape(-1, 768)[[selected.first, selected.second]].prod(axis=0).sum(axis=1)
        assert np.mean(np.abs(pair - best) <= 4e-6) >= 0.99


def test_random_is_uniform_over_valid_pairs_and_differs_by_seed() -> None:
    rng = np.random.default_rng(8)
    rows = rng.standard_normal((20_000, 5, 4)).astype(np.float32)
    rows[:, 4] = 2 * rows[:, 1]  # one of the ten pairs is invalid
    offsets = np.arange(0, 100_001, 5)
    one, other = (select_pairs(rows.reshape(-1, 4), offsets, strategy="random", seed=seed) for seed in (0, 1))
    counts = np.zeros((5, 5), int)
    np.add.at(counts, (one.first % 5, one.second % 5), 1)
    assert counts[1, 4] == 0
    valid = np.delete(counts[np.triu_indices(5, 1)], 6)
    chi_square = ((valid - 20_000 / 9) ** 2 / (20_000 / 9)).sum()
    assert chi_square < 26.1  # the 99.9 % point with 8 degrees of freedom
    agreement = np.mean((one.first == other.first) & (one.second == other.second))
    assert agreement == pytest.approx(1 / 9, abs=0.01)


def test_every_run_gives_the_same_pairs() -> None:
    embeddings, offsets = ragged(9, largest=64)
    for strategy in STRATEGIES:
        runs = [select(embeddings, offsets, strategy, -4) for _ in range(2)]
        assert_same(*runs)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float16, st.tuples(st.integers(0, 12), st.integers(1, 4))), st.sampled_from(STRATEGIES))
def test_any_half_precision_values_give_a_pair_or_a_reason(rows: Array, strategy: Strategy) -> None:
    selected = select_one(rows, strategy)
    assert selected.has_pair[0] == (selected.reason[0] == Reason.PAIR_CHOSEN) == (selected.pair_count[0] > 0)
    assert 0 <= selected.rank[0] <= selected.pair_count[0]
    if selected.has_pair[0]:
        assert -1 <= selected.similarity[0] < 1 - 4e-6
        assert np.isfinite(rows[[selected.first[0], selected.second[0]]]).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_extra_memory_stays_bounded(strategy: Strategy) -> None:
    rows = np.random.default_rng(0).standard_normal((32_768, 256), dtype=np.float32).astype(np.float16)
    for size in (8, 16, 64):
        tracemalloc.start()
        select(rows, np.arange(0, len(rows) + 1, size), strategy)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
        tracemalloc.stop()


def test_memory_of_the_search_stays_bounded_where_many_small_groups_make_a_block() -> None:
    rows = np.random.default_rng(0).standard_normal((17 * 4000, 8), dtype=np.float32)
    tracemalloc.start()
    select_pairs(rows, np.arange(0, len(rows) + 1, 17), strategy="centroid", seed=0)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("embeddings", "offsets", "strategy", "message"),
    [
        (np.zeros((65, 2)), [0, 0, 65], "easy", "group 1 has 65"),
        (np.zeros((4, 2)), [0, 3, 2], "easy", "never fall"),
        (np.zeros((4, 2)), [0, 5], "easy", "within the 4 embeddings"),
        (np.zeros((4, 2)), [-1, 2], "easy", "within the 4 embeddings"),
        (np.zeros((4, 2)), [], "easy", "integers"),
        (np.zeros((4, 2)), [0.0, 4.0], "easy", "integers"),
        (np.zeros(4), [0, 4], "easy", r"shape \(4,\)"),
        (np.zeros((4, 0)), [0, 4], "easy", "d >= 1"),
        (np.zeros((4, 2), int), [0, 4], "easy", "float16, float32 or float64"),
        (np.zeros((4, 2)), [0, 4], "best", "there is no strategy 'best'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    embeddings: Array, offsets: list[int], strategy: Strategy, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        select(embeddings, np.array(offsets), strategy, 0)


def test_no_groups_give_no_pairs() -> None:
    selected = select_pairs(np.zeros((0, 3)), np.array([0]), strategy="easy", seed=0)
    assert all(len(getattr(selected, name)) == 0 for name in SelectedPairs.__slots__)
