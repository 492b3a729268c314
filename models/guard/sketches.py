"""Which responses may be boilerplate at all, told by short vectors: two sieves before all components are compared.

`may_repeat` asks who shares a cell with a near one of another prompt, in time that grows with the responses;
`may_have_near` who may have enough near ones, in time that grows with the square of those that it is given.
"""

from __future__ import annotations

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
_CELL_ROWS = 256  # looked at together
_ROWS_A_TIME = 2_048  # laid into cells: 8 kB a row meanwhile
_TOLERANCE = 1e-5  # of sums of float32 products
_BOUND = LEAST_SIMILARITY - _TOLERANCE
_ALL = 50_000  # up to so many all are compared, in 3 s of a core at most
_OVERLOOKED = 2  # near ones that share no cell with each other, each with a chance of 0.01 at a cosine of just 0.98
_SLACK = 1e-4  # of distances in float32
_ROWS, _COLUMNS = 512, 2_048  # their products stay in the cache


class Sieve:
    """Takes a run's vectors page by page and keeps 280 bytes of each; tells at the end which may be boilerplate."""

    def __init__(self, most: int) -> None:
        """Make room for so many vectors; what is not filled takes no memory."""
        self._most, self._count = most, 0
        self._prompt_ids = np.empty(most, np.int64)
        self._in_cells = np.empty((most, _TABLES), np.uint16)
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
            self._sketches[rows], self._in_cells[rows] = sketches(some, self._axes), cells(some)
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
    for table in in_cells.T:
        is_large = np.bincount(table, minlength=1)[table] > _LARGEST_CELL
        found |= is_large  # of vectors that are all alike: who lies there is not ruled out
        order = np.argsort(table, kind="stable")
        order = order[~is_large[order]]
        ordered = table[order]
        for start in range(0, len(order), _CELL_ROWS):
            rows = order[start : start + _CELL_ROWS]
            first, last = np.searchsorted(ordered, table[rows[0]]), np.searchsorted(ordered, table[rows[-1]], "right")
            others = order[first:last]
            at, place = np.nonzero(of_run[rows] @ of_run[others].T >= _BOUND)
            at, place = rows[at], others[place]
            found[at[(table[at] == table[place]) & (prompt_ids[at] != prompt_ids[place])]] = True
    return found


def may_have_near(of_run: Sketches, *, beyond: int) -> NDArray[np.bool_]:
    """Whether more than `beyond` of the run's may be at cosine 0.98 or more of each one, itself included: (n,).

    Told by (n, r + 1) sketches: who is told not to has not so many. Each sketch is in the cell of the nearest of some
    of them. What lies further apart than 0.2 along the line between the centres of two cells is not compared: of
    155,000 scripted responses 4 % of all with all were, in 2.3 s of a core.
    """
    if not len(of_run):
        return np.zeros(0, np.bool_)
    centres, order, cells = _by_nearest_centre(of_run)
    counts = [np.zeros(len(cell), np.int64) for cell in cells]
    reach = float(np.sqrt(2 * (np.einsum("nr,nr->n", of_run, of_run).max() - _BOUND))) + _SLACK
    for at, cell in enumerate(cells):
        counts[at] += _near(cell, cell)[0]
        for other in range(at):
            axis = centres[at] - centres[other]
            axis /= np.linalg.norm(axis)
            along, along_other = cell @ axis, cells[other] @ axis
            few = np.flatnonzero(along <= along_other.max(initial=-np.inf) + reach)
            few_others = np.flatnonzero(along_other >= along.min(initial=np.inf) - reach)
            if len(few) and len(few_others):
                found, found_others = _near(cell[few], cells[other][few_others])
                counts[at][few] += found
                counts[other][few_others] += found_others
    is_many = np.empty(len(of_run), np.bool_)
    is_many[order] = np.concatenate(counts) > beyond
    return is_many


def _by_nearest_centre(of_run: Sketches) -> tuple[Sketches, Counts, list[Sketches]]:
    """Centres, all of them different; the run's rows in the order of cells; the sketches of each cell."""
    sample = np.linspace(0, len(of_run) - 1, max(1, isqrt(len(of_run)) // 3), dtype=np.int64)
    centres = np.unique(of_run[sample], axis=0)
    halves = np.einsum("cr,cr->c", centres, centres) / 2
    blocks = range(0, len(of_run), _COLUMNS)
    cell_of = np.concatenate([(of_run[at : at + _COLUMNS] @ centres.T - halves).argmax(axis=1) for at in blocks])
    order = np.argsort(cell_of, kind="stable")
    ends = np.cumsum(np.bincount(cell_of, minlength=len(centres)))
    return centres, order, np.split(of_run[order], ends[:-1])


def _near(some: Sketches, others: Sketches) -> tuple[Counts, Counts]:
    """How many of the others may be near each of some, and how many of some near each of the others."""
    found, found_others = np.zeros(len(some), np.int64), np.zeros(len(others), np.int64)
    for row in range(0, len(some), _ROWS):
        for column in range(0, len(others), _COLUMNS):
            is_near = some[row : row + _ROWS] @ others[column : column + _COLUMNS].T >= _BOUND
            found[row : row + _ROWS] += np.count_nonzero(is_near, axis=1)
            found_others[column : column + _COLUMNS] += np.count_nonzero(is_near, axis=0)
    return found, found_others
