"""Which pairs several people judge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labelling.overlaps import overlapping
from models.labelling.records import PairKey

PAIRS = [PairKey(1, at) for at in range(2, 102)]


def test_a_share_of_the_pairs_is_drawn_by_the_seed():
    drawn = overlapping(PAIRS, 0.1, 3)
    assert len(drawn) == 10 and drawn < set(PAIRS)
    assert overlapping(PAIRS[::-1], 0.1, 3) == drawn != overlapping(PAIRS, 0.1, 4)
    assert overlapping(PAIRS, 1, 3) == set(PAIRS)


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
def test_a_larger_share_holds_the_smaller(one, other, seed):
    low, high = sorted((one, other))
    assert overlapping(PAIRS, low, seed) <= overlapping(PAIRS, high, seed)


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=r"above 0 and up to 1, got"):
        overlapping(PAIRS, share, 0)
