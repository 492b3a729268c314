"""Ranks with ties shared, against SciPy's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import rankdata
from surroundings import ROOT

from models.ranks import mean_ranks


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    np.testing.assert_array_equal(mean_ranks(np.array([3.0, 1.0, 3.0, np.inf])), [2.5, 1.0, 2.5, 4.0])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_values_have_no_ranks(shape: tuple[int, ...]) -> None:
    assert mean_ranks(np.zeros(shape)).shape == shape


@given(
    values=arrays.arrays(
        np.float64,
        arrays.array_shapes(max_dims=2, max_side=12),
        elements=st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1e-300, 2.0, np.inf]),
    )
)
def test_ranks_are_scipy_s(values: np.ndarray) -> None:
    np.testing.assert_array_equal(mean_ranks(values), rankdata(values, axis=0))


def test_a_selection_that_ranks_lengths_does_not_load_scipy_s_statistics() -> None:
    code = """
import sys
import numpy as np
from models.selection import length_correlations
vectors, lengths = np.random.default_rng(0).normal(size=(5, 8)).astype("float32"), np.arange(5)
found = length_correlations(vectors, np.array([0, 5]), lengths)
print(np.isfinite(found).all(), "scipy.stats" in sys.modules, "torch" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["True", "False", "False"], ended.stderr
