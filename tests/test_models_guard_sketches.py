"""Which responses may have close neighbours, against comparing all with all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.guard import may_have_near, sketch_axes, sketches

seeds = st.integers(0, 2**32 - 1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def kinds_and_noise(draw, count, dimension):
    """Vectors of nine kinds, some equal, some close, some far from their kind."""
    kinds = draw.normal(size=(9, dimension)) + draw.choice([0, 3])
    noise = draw.choice([0, 0.01, 0.1, 1], size=(count, 1)) * draw.normal(size=(count, dimension))
    return unit(kinds[draw.integers(0, 9, count)] + noise).astype(np.float16)


@given(seeds, st.integers(1, 70), st.integers(0, 4))
def test_who_is_not_searched_for_has_not_so_many_near(seed, dimension, beyond):
    vectors = kinds_and_noise(np.random.default_rng(seed), 60, dimension)
    short = sketches(vectors, sketch_axes(vectors[:20]))
    whole = unit(vectors.astype(np.float64))
    assert (short.astype(np.float64) @ short.T.astype(np.float64) >= whole @ whole.T - 1e-6).all()
    slow = (whole @ whole.T >= 0.98).sum(axis=1) > beyond
    assert may_have_near(short, beyond=beyond)[slow].all()


@pytest.mark.parametrize("dimension", [1, 2, 3, 8, 30, 100])
def test_cells_leave_out_no_comparison_that_counts(dimension):
    for seed, count in enumerate((1, 2, 9, 37, 700, 5_000)):
        vectors = kinds_and_noise(np.random.default_rng(seed), count, dimension)
        short = sketches(vectors, sketch_axes(vectors))
        products = short.astype(np.float64) @ short.T.astype(np.float64)
        least, most = ((products >= 0.98 - 1e-5 + slack).sum(axis=1) for slack in (1e-6, -1e-6))
        for beyond in (0, 1, 5, 40):
            found = may_have_near(short, beyond=beyond)
            assert found[least > beyond].all(), "who is counted beyond, rounding apart, is told"
            assert not found[most <= beyond].any(), "nobody else is"


def test_most_are_not_searched_for():
    draw = np.random.default_rng(0)
    vectors = unit(1 + draw.normal(size=(4_000, 384))).astype(np.float16)
    vectors[:40] = vectors[0]
    short = sketches(vectors, sketch_axes(vectors))
    assert np.flatnonzero(may_have_near(short, beyond=5)).tolist() == list(range(40))
    assert may_have_near(short[:0], beyond=5).shape == (0,)
