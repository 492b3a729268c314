"""The principal axes of differences: against a full decomposition, and where nothing differs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from simulated_labels import simulated

from models.head.axes import on_and_off, principal_axes


@pytest.mark.parametrize(("count", "dimension"), [(60, 20), (20, 60)])
def test_axes_are_those_of_a_full_decomposition(count, dimension):
    differences = simulated(1, count, dimension=dimension).differences
    axes = principal_axes(differences, 5)
    right = np.linalg.svd(differences.astype(float), full_matrices=False)[2][:5]
    assert axes.T @ axes == pytest.approx(np.eye(5), abs=1e-9)
    assert np.abs(right @ axes) == pytest.approx(np.eye(5), abs=1e-4)


def test_many_labels_of_many_dimensions_get_almost_the_same_axes_at_random_but_always_the_same():
    differences = simulated(2, 1_700, dimension=1_600, decay=1.5).differences
    axes = principal_axes(differences, 10)
    kept = np.square(differences @ axes).sum()
    best = np.sort(np.linalg.eigvalsh(differences.astype(float).T @ differences.astype(float)))[-10:].sum()
    assert 0.99 * best < kept <= best * (1 + 1e-6)
    assert np.array_equal(axes, principal_axes(differences, 10))


def test_what_never_differs_has_no_axis():
    assert principal_axes(np.zeros((9, 4), dtype=np.float32)).shape == (4, 0)
    assert principal_axes(np.zeros((0, 4), dtype=np.float32)).shape == (4, 0)
    assert principal_axes(np.repeat(np.eye(4, dtype=np.float32)[:1], 9, axis=0)).shape == (4, 1)


def test_many_labels_are_read_in_parts_and_take_little_room_beside_their_own():
    differences = np.random.default_rng(0).standard_normal((20_000, 128), dtype=np.float32)
    plain = differences.astype(np.float64)
    tracemalloc.start()
    axes = principal_axes(differences, 5)
    on_axes, rest = on_and_off(differences, axes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < plain.nbytes
    best = np.linalg.eigvalsh(plain.T @ plain)[-5:].sum()
    assert np.square(plain @ axes).sum() == pytest.approx(best)
    assert on_axes == pytest.approx(plain @ axes)
    assert rest == pytest.approx(np.square(plain).sum(axis=1) - np.square(plain @ axes).sum(axis=1))
