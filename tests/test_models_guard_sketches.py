"""Which responses may have close neighbours, against comparing all with all."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.guard import Sieve
from models.guard.sketches import cells, may_be_boilerplate, may_have_near, may_repeat, sketch_axes, sketches

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


def near_world(cosine, near, *, dimension=96, kinds=60):
    """Kinds of `near` + 1 vectors: a first one, and others at this cosine to it; each of a prompt of its own."""
    draw = np.random.default_rng(0)
    first = unit(draw.normal(size=(kinds, dimension)))
    aside = draw.normal(size=(kinds, near, dimension))
    aside -= np.einsum("knd,kd->kn", aside, first)[..., None] * first[:, None]
    aside /= np.linalg.norm(aside, axis=2, keepdims=True)
    others = cosine * first[:, None] + np.sqrt(1 - cosine**2) * aside
    return np.concatenate([first, others.reshape(-1, dimension)]).astype(np.float32), np.arange(kinds * (near + 1))


@pytest.mark.parametrize(("cosine", "near"), [(0.981, 5), (0.99, 2), (1.0, 1)])
def test_who_is_near_another_prompts_response_is_not_ruled_out(cosine, near):
    vectors, prompt_ids = near_world(cosine, near)
    assert may_repeat(sketches(vectors, sketch_axes(vectors)), cells(vectors), prompt_ids)[:60].all()
    assert not may_repeat(sketches(vectors, sketch_axes(vectors)), cells(vectors), np.zeros(len(vectors))).any()


def test_hardly_one_of_a_hundred_that_a_single_one_is_just_near_is_overlooked():
    vectors, prompt_ids = near_world(0.9801, 1, kinds=1_000)
    assert may_repeat(sketches(vectors, sketch_axes(vectors)), cells(vectors), prompt_ids).mean() > 0.97


def test_who_is_near_nobody_is_ruled_out():
    vectors = np.random.default_rng(0).normal(size=(3_000, 96))
    assert not may_repeat(sketches(vectors, sketch_axes(vectors)), cells(vectors), np.arange(3_000)).any()
    assert may_repeat(sketches(vectors, sketch_axes(vectors))[:0], cells(vectors[:0]), np.arange(0)).shape == (0,)


def test_who_lies_in_a_crowded_cell_is_not_ruled_out():
    vectors = unit(1 + 0.001 * np.random.default_rng(0).normal(size=(5_000, 16)))
    assert may_repeat(sketches(vectors, sketch_axes(vectors)), cells(vectors), np.arange(5_000)).all()


def test_of_many_responses_those_under_many_prompts_are_among_the_suspects(monkeypatch):
    draw = np.random.default_rng(0)
    vectors = unit(1 + draw.normal(size=(4_000, 384))).astype(np.float16)
    vectors[:40] = vectors[0]
    short, in_cells = sketches(vectors, sketch_axes(vectors)), cells(vectors)
    compared = may_be_boilerplate(short, in_cells, np.arange(4_000), beyond=5)
    monkeypatch.setattr(import_module("models.guard.sketches"), "_ALL", 1_000)
    sieved = may_be_boilerplate(short, in_cells, np.arange(4_000), beyond=5)
    assert np.flatnonzero(compared).tolist() == np.flatnonzero(sieved).tolist() == list(range(40))
    assert not may_be_boilerplate(short, in_cells, np.arange(4_000), beyond=42).any()


@pytest.mark.parametrize("cosine", [0.9801, 0.985])
def test_of_many_responses_hardly_one_with_just_enough_neighbours_just_near_is_overlooked(cosine, monkeypatch):
    monkeypatch.setattr(import_module("models.guard.sketches"), "_ALL", 0)
    vectors, prompt_ids = near_world(cosine, 5, dimension=40, kinds=600)
    short = sketches(vectors, sketch_axes(vectors))
    assert may_be_boilerplate(short, cells(vectors), prompt_ids, beyond=5)[:600].all()


@pytest.mark.parametrize("compared", [500, 5_000])
def test_a_sieve_tells_of_pages_what_is_told_of_all_at_once(compared, monkeypatch):
    monkeypatch.setattr(import_module("models.guard.sketches"), "_ALL", compared)
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((900, 64), dtype=np.float32)
    vectors[::9] = vectors[0]
    prompt_ids = np.arange(900) // 4
    short = sketches(vectors, sketch_axes(vectors[:400]))
    sieve = Sieve(2_000)
    for rows in (slice(0, 400), slice(400, 700), slice(700, 900)):
        sieve.add(vectors[rows], prompt_ids[rows])
    told = sieve.may_be_boilerplate(beyond=5)
    assert told.tolist() == may_be_boilerplate(short, cells(vectors), prompt_ids, beyond=5).tolist()
    assert told[::9].all() and not told.all()
    assert Sieve(0).may_be_boilerplate(beyond=5).shape == (0,)


@given(seeds, st.sampled_from([1, 3, 2**16]), st.integers(1, 40))
def test_who_may_repeat_is_who_shares_a_cell_with_a_near_one_of_another_prompt(seed, cell_count, small):
    draw = np.random.default_rng(seed)
    vectors = kinds_and_noise(draw, 50, 12)
    short, in_cells, prompt_ids = sketches(vectors, sketch_axes(vectors)), cells(vectors), draw.integers(0, 9, 50)
    in_cells = in_cells % np.uint32(cell_count)
    near = short @ short.T >= 0.98 - 1e-5
    shares = (in_cells[:, None] == in_cells).any(axis=2)
    slow = (near & shares & (prompt_ids[:, None] != prompt_ids)).any(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("models.guard.sketches"), "_SMALL_CELL", small)
        assert may_repeat(short, in_cells.astype(np.uint16), prompt_ids).tolist() == slow.tolist()
