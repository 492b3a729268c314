"""Which responses may be boilerplate at all, told by short vectors: two sieves before all components are compared.

`may_repeat` asks who shares a cell with a near one of another prompt, in time that grows with the responses;
`may_have_near` who may have enough near ones, in time that grows with the square of those that it is given.
"""

from __future__ import annotations

from itertools import count
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from models.guard.boilerplate import LEAST_SIMILARITY, unit_rows

Sketches = NDArray[np.float32]
Counts = NDArray[np.int64]

_AXES = 47  # 48 numbers a sketch, a tenth of a whole vector
_SAMPLED = 1_024
# Vectors at cosine 0.98 (distance 0.2) share a cell of one table with a chance of 0.11, so of any with one of 0.99;
# unlike ones of one table with 6e-7 at distance 1.3, with 5e-4 at 0.6, where mean hidden states are.
_TABLES, _HASHES, _CELL_WIDTH, _SEED = 40, 10, 0.8, 0
_LARGEST_CELL = 4_096
_SMALL_CELL = 32  # whose members are compared pair by pair, all cells together; of a larger one as a matrix
_CELL_ROWS = 256  # of a larger one, compared together
_PAIRS = 2**14  # compared together
_LEADING = 8  # axes along which two of a small cell are compared first; the one before them is common to all
_ROWS_A_TIME = 2_048  # laid into cells: 8 kB a row meanwhile
_TOLERANCE = 1e-5  # of sums of float32 products
BOUND = LEAST_SIMILARITY - _TOLERANCE
_ALL = 50_000  # up to so many all are compared, in 3 s of a core at most
_OVERLOOKED = 2  # near ones that share no cell with each other, each with a chance of 0.01 at a cosine of just 0.98
_SLACK = 1e-4  # of distances in float32
_ROWS, _COLUMNS = 512, 2_048  # their products stay in the cache


class Sieve:
    """Takes a run's vectors page by page, at most 280 bytes of each; tells at the end which may be boilerplate."""

    def __init__(self, most: int) -> None:
        """Make room for so many vectors; what is not filled takes no memory. Of few enough no cell is asked."""
        self._most, self._count = most, 0
        self._prompt_ids = np.empty(most, np.int64)
        self._in_cells = np.empty((most, _TABLES if most > _ALL else 0), np.uint16)
        self._axes: NDArray[np.float32] | None = None
        self._sketches: Sketches = np.empty((most, 0), np.float32)

    def add(self, vectors: NDArray[np.floating], prompt_ids: Counts) -> None:
        """Take (n, d) vectors, none zero and n at least 1, and of which prompt each is (n,)."""
        if self._axes is None:
            self._axes = sketch_axes(vectors)
            self._sketches = np.empty((self._most, self._axes.shape[1] + 1), np.float32)
        self._prompt_ids[self._count : self._count + len(vectors)] = prompt_ids
        for some in (vectors[start : start + _ROWS_A_TIME] for start in range(0, len(vectors), _ROWS_A_TIME)):
            rows = slice(self._count, self._count + len(some))
            self._sketches[rows] = sketches(some, self._axes)
            if self._most > _ALL:
                self._in_cells[rows] = cells(some)
            self._count += len(some)

    def may_be_boilerplate(self, *, beyond: int) -> NDArray[np.bool_]:
        """Whether a response or a near one may stand under more than `beyond` prompts: (n,), in the order taken."""
        rows = slice(0, self._count)
        return may_be_boilerplate(self._sketches[rows], self._in_cells[rows], self._prompt_ids[rows], beyond=beyond)


def sketch_axes(sample: NDArray[np.floating]) -> NDArray[np.float32]:
    """The 47 axes, or fewer, along which some (n, d) vectors differ most from 0: (d, r) orthonormal columns."""
    return np.ascontiguousarray(np.linalg.svd(unit_rows(sample[:_SAMPLED]), full_matrices=False)[2][:_AXES].T)


def sketches(vectors: NDArray[np.floating], axes: NDArray[np.float32]) -> Sketches:
    """Short vectors whose inner products are no less than the cosines of the (n, d) vectors, none zero: (n, r + 1).

    The coordinates along the axes, and the length of what is left: u · v ≤ Σ u_r v_r + |u_rest| |v_rest|.
    """
    along = unit_rows(vectors) @ axes
    rest = np.sqrt(np.maximum(1 - np.einsum("nr,nr->n", along, along), 0) + _TOLERANCE)
    return np.concatenate([along, rest[:, None]], axis=1)


def cells(vectors: NDArray[np.floating]) -> NDArray[np.uint16]:
    """In which cell of each of 40 tables (n, d) vectors, none zero, lie: (n, 40). Near ones nearly always share one.

    A cell is what ten random directions, each cut into steps of 0.8, have in common (Datar et al. 2004), and what falls
    on the same number by chance. They are the same for the same dimension.
    """
    rng = np.random.default_rng(_SEED)
    directions = rng.standard_normal((vectors.shape[1], _TABLES * _HASHES), dtype=np.float32) / _CELL_WIDTH
    steps = np.floor(unit_rows(vectors) @ directions + rng.random(_TABLES * _HASHES, dtype=np.float32))
    factors = rng.integers(0, 2**62, _HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = (steps.astype(np.int64).view(np.uint64).reshape(-1, _TABLES, _HASHES) * factors).sum(axis=2)
    numbers: NDArray[np.uint16] = (mixed >> np.uint64(48)).astype(np.uint16)
    return numbers


def may_be_boilerplate(
    of_run: Sketches, in_cells: NDArray[np.uint16], prompt_ids: Counts, *, beyond: int
) -> NDArray[np.bool_]:
    """Whether a response or a near one may stand under more than `beyond` prompts: (n,), all that do and some others.

    Of more than 50,000 responses, only those that another prompt's may be near are compared with each other. Two near
    ones may then be overlooked, and are as good as there: of those under just six prompts, all at a cosine of just
    0.98, one in 100,000 is not told.

    Args:
        of_run: sketches (n, r + 1).
        in_cells: where they lie, (n, 40).
        prompt_ids: whose they are, (n,).
        beyond: prompts, its own among them.
    """
    asked = np.arange(len(of_run))
    if len(of_run) > _ALL:
        asked = np.flatnonzero(may_repeat(of_run, in_cells, prompt_ids))
        beyond = max(0, beyond - _OVERLOOKED)
    found = np.zeros(len(of_run), np.bool_)
    found[asked] = may_have_near(of_run[asked], beyond=beyond)
    return found


def may_repeat(of_run: Sketches, in_cells: NDArray[np.uint16], prompt_ids: Counts) -> NDArray[np.bool_]:
    """Whether another prompt's response may be at cosine 0.98 or more: (n,), in time that grows with n, not with n².

    Of those that one other is near, 1 % is overlooked at a cosine of just 0.98, 0.1 % at 0.985, none where they are
    equal; of those that five are near, nobody.

    Args:
        of_run: sketches (n, r + 1).
        in_cells: where they lie, (n, 40).
        prompt_ids: whose they are, (n,).
    """
    found = np.zeros(len(of_run), np.bool_)
    if not len(of_run):
        return found
    leading, reach = np.ascontiguousarray(of_run[:, 1 : 1 + _LEADING]), reach_of(of_run, of_run)
    for table in in_cells.T:
        sizes = np.bincount(table, minlength=1)[table]
        found |= sizes > _LARGEST_CELL  # of vectors that are all alike: who lies there is not ruled out
        is_open = np.zeros(2**16, np.bool_)
        is_open[table[~found]] = True
        rows = np.flatnonzero((sizes > 1) & is_open[table])
        order = rows[np.argsort(table[rows], kind="stable")]
        is_small = sizes[order] <= _SMALL_CELL
        _compare_neighbours(of_run, leading, reach, table, prompt_ids, order[is_small], found)
        of_large = order[~is_small]
        for cell in np.split(of_large, np.flatnonzero(np.diff(table[of_large])) + 1):
            _compare_all(of_run, prompt_ids, cell, found)
    return found


def _compare_neighbours(
    of_run: Sketches,
    leading: Sketches,
    reach: float,
    table: NDArray[np.uint16],
    prompt_ids: Counts,
    order: Counts,
    found: NDArray[np.bool_],
) -> None:
    """Compare those that share a cell, sorted by cell: each with the next one, then with the one after that."""
    in_order, asked_by, first = table[order], prompt_ids[order], leading[order]
    at = np.arange(len(order))
    for step in count(1):
        at = at[: np.searchsorted(at, len(order) - step)]
        at = at[in_order[at] == in_order[at + step]]
        if not len(at):
            return
        for some in (at[start : start + _PAIRS] for start in range(0, len(at), _PAIRS)):
            apart = first[some] - first[some + step]
            may_be = np.einsum("pr,pr->p", apart, apart) <= reach**2
            may_be &= asked_by[some] != asked_by[some + step]
            one, other = order[some[may_be]], order[some[may_be] + step]
            is_asked = ~(found[one] & found[other])
            one, other = one[is_asked], other[is_asked]
            is_near = np.einsum("pr,pr->p", of_run[one], of_run[other]) >= BOUND
            found[one[is_near]] = True
            found[other[is_near]] = True


def _compare_all(of_run: Sketches, prompt_ids: Counts, cell: Counts, found: NDArray[np.bool_]) -> None:
    """Compare the members of a cell that are not found yet with all of it."""
    left = cell[~found[cell]]
    for some in (left[start : start + _CELL_ROWS] for start in range(0, len(left), _CELL_ROWS)):
        is_near = of_run[some] @ of_run[cell].T >= BOUND
        is_near &= prompt_ids[some][:, None] != prompt_ids[cell]
        found[some] = is_near.any(axis=1)


def may_have_near(of_run: Sketches, *, beyond: int) -> NDArray[np.bool_]:
    """Whether more than `beyond` of the run's may be at cosine 0.98 or more of each one, itself included: (n,).

    Told by (n, r + 1) sketches: who is told not to has not so many. Each sketch is in the cell of the nearest of some
    of them. What lies further apart than 0.2 along the line between the centres of two cells is not compared (of
    155,000 scripted responses 4 % of all with all were, in 2.3 s of a core), and who has enough is counted no more.
    """
    if not len(of_run):
        return np.zeros(0, np.bool_)
    centres, order, cells = by_nearest_centre(of_run)
    counts = [_near_within(cell, beyond) for cell in cells]
    reach = reach_of(of_run, of_run)
    for at, cell in enumerate(cells):
        for other in range(at):
            axis = centres[at] - centres[other]
            axis /= np.linalg.norm(axis)
            along, along_other = cell @ axis, cells[other] @ axis
            few = np.flatnonzero(along <= along_other.max(initial=-np.inf) + reach)
            few_others = np.flatnonzero(along_other >= along.min(initial=np.inf) - reach)
            is_open, is_open_other = counts[at][few] <= beyond, counts[other][few_others] <= beyond
            for some, others in (
                (few[is_open], few_others),
                (few[~is_open], few_others[is_open_other]),
            ):
                if len(some) and len(others):
                    found, found_others = _near(cell[some], cells[other][others])
                    counts[at][some] += found
                    counts[other][others] += found_others
    is_many = np.empty(len(of_run), np.bool_)
    is_many[order] = np.concatenate(counts) > beyond
    return is_many


def reach_of(some: Sketches, others: Sketches) -> float:
    """How far apart two of these sketches can lie that may be near each other."""
    longest = max(float(np.einsum("nr,nr->n", rows, rows).max()) for rows in (some, others))
    return float(np.sqrt(2 * (longest - BOUND))) + _SLACK


def by_nearest_centre(of_run: Sketches) -> tuple[Sketches, Counts, list[Sketches]]:
    """Centres, all of them different; the run's rows in the order of cells; the sketches of each cell."""
    sample = np.linspace(0, len(of_run) - 1, max(1, isqrt(len(of_run)) // 3), dtype=np.int64)
    centres = np.unique(of_run[sample], axis=0)
    cell_of = nearest(of_run, centres)
    order = np.argsort(cell_of, kind="stable")
    ends = np.cumsum(np.bincount(cell_of, minlength=len(centres)))
    return centres, order, np.split(of_run[order], ends[:-1])


def nearest(of_run: Sketches, centres: Sketches) -> Counts:
    """Which centre is the nearest of each sketch: (n,)."""
    halves = np.einsum("cr,cr->c", centres, centres) / 2
    blocks = range(0, len(of_run), _COLUMNS)
    return np.concatenate([(of_run[at : at + _COLUMNS] @ centres.T - halves).argmax(axis=1) for at in blocks])


def _near_within(cell: Sketches, beyond: int) -> Counts:
    """How many of a cell may be near each of it; of those that have more than `beyond`, perhaps not all are counted."""
    counts = np.zeros(len(cell), np.int64)
    for column in range(0, len(cell), _COLUMNS):
        others = cell[column : column + _COLUMNS]
        is_open = np.flatnonzero(counts <= beyond)
        counts[is_open] += _near(cell[is_open], others)[0]
    return counts


def _near(some: Sketches, others: Sketches) -> tuple[Counts, Counts]:
    """How many of the others may be near each of some, and how many of some near each of the others."""
    found, found_others = np.zeros(len(some), np.int64), np.zeros(len(others), np.int64)
    for row in range(0, len(some), _ROWS):
        for column in range(0, len(others), _COLUMNS):
            is_near = (some[row : row + _ROWS] @ others[column : column + _COLUMNS].T >= BOUND).view(np.uint8)
            # `count_nonzero` along an axis takes ten times as long.
            found[row : row + _ROWS] += is_near.sum(axis=1, dtype=np.uint16)
            found_others[column : column + _COLUMNS] += is_near.sum(axis=0, dtype=np.uint16)
    return found, found_others
