"""The order in which people meet the pairs of a queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.labelling.queue_orders import in_order
from models.labelling.records import PairKey

PAIRS = [PairKey(number, number + 10) for number in range(1, 6)]
EXPECTED = dict(zip(PAIRS, (0.9, 0.45, 0.02, 0.7, 0.52), strict=True))
some = st.dictionaries(st.sampled_from(PAIRS), st.floats(0, 1))


def test_uncertain_begins_near_one_half_and_easiest_far_from_it():
    numbers = [[pair[0] for pair in in_order(PAIRS, order, EXPECTED)] for order in ("uncertain", "easiest")]
    assert numbers == [[5, 2, 4, 1, 3], [3, 1, 4, 2, 5]]


def test_shuffled_stays_as_it_came():
    assert in_order(PAIRS[::-1], "shuffled", EXPECTED) == PAIRS[::-1]


def test_pairs_of_which_nothing_is_expected_are_the_most_uncertain():
    known = {PAIRS[0]: 0.6, PAIRS[1]: 0.99}
    assert in_order(PAIRS, "uncertain", known)[-2:] == [PAIRS[0], PAIRS[1]]
    assert in_order(PAIRS, "easiest", known)[:2] == [PAIRS[1], PAIRS[0]]


@given(some, st.permutations(PAIRS), st.sampled_from(["uncertain", "easiest"]))
def test_every_pair_comes_once_and_swapping_all_sides_changes_nothing(expected, pairs, order):
    found = in_order(pairs, order, expected)
    assert sorted(found) == PAIRS
    exact = {pair: 1 - (1 - probability) for pair, probability in expected.items()}  # both ways rounded alike
    assert in_order(pairs, order, exact) == in_order(pairs, order, {p: 1 - e for p, e in exact.items()})
