"""What a study chooses from and measures on: candidates by prompt, what is known of them, and who is held out.

Arrays alone; knows no text, no strategy and no database. A row is a candidate, a group is a prompt with its candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.selection.draws import mixed, seed_word

ALIKE = 0.8  # shorter ÷ longer, in characters: from here on two responses are of like length

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


class LabelledPairs(NamedTuple):
    """Pairs of one group each that people or judges have labelled.

    Attributes:
        rows: (m, 2) numbers of candidates.
        shares: (m,) the share of the votes for the first, 0 to 1; 0.5 is a tie.
        votes: (m,) how many votes.
    """

    rows: Rows
    shares: Floats
    votes: Rows


class Split(NamedTuple):
    """Numbers of groups, rising: those to choose and train from, and those that are only measured on."""

    training: Rows
    held_out: Rows


class Pairs(NamedTuple):
    """Pairs of candidates whose better one is known.

    Attributes:
        rows: (t, 2) numbers of candidates, the first below the second.
        groups: (t,) the place of each pair's group among the groups that were asked for.
        is_first_better: (t,).
        is_alike: (t,) whether the two are of like length.
    """

    rows: Rows
    groups: Rows
    is_first_better: NDArray[np.bool_]
    is_alike: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates of g prompts; make it with `pool_of`, which checks.

    Attributes:
        embeddings: (n, d) float32 of length 1; zeros where a candidate has none, which is then in no pair.
        offsets: (g + 1,) rows offsets[i] up to offsets[i + 1] are the candidates of group i.
        lengths: (n,) characters.
        dialogues: (g,) the same number for prompts of one dialogue, which are held out together.
        utilities: (n,) the larger the better, NaN where unknown; None where there are none.
        labelled: pairs with labels; None where there are none.
    """

    embeddings: NDArray[np.float32]
    offsets: Rows
    lengths: Rows
    dialogues: Rows
    utilities: Floats | None = None
    labelled: LabelledPairs | None = None

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """(n,) whether a candidate has an embedding."""
        return np.asarray(self.embeddings.any(axis=1))

    def rows_of(self, groups: ArrayLike) -> Iterator[Rows]:
        """The candidates of each of these groups."""
        for group in np.asarray(groups, dtype=np.int64):
            yield np.arange(self.offsets[group], self.offsets[group + 1])


def pool_of(
    embeddings: ArrayLike,
    offsets: ArrayLike,
    lengths: ArrayLike,
    dialogues: ArrayLike,
    *,
    utilities: ArrayLike | None = None,
    labelled: LabelledPairs | None = None,
) -> Pool:
    """Check what a pool is made of; embeddings are brought to length 1, what is not finite becomes zeros.

    Raises:
        ValueError: if shapes do not fit, offsets fall, a length is negative, or a labelled pair is not of two
            candidates of one group, or its share is none.
    """
    vectors = _unit(np.asarray(embeddings, dtype=np.float32))
    bounds, sizes, names = (np.asarray(each, dtype=np.int64) for each in (offsets, lengths, dialogues))
    count, groups = len(vectors), len(bounds) - 1
    if groups < 0 or bounds[0] != 0 or bounds[-1] != count or (np.diff(bounds) < 0).any():
        raise ValueError(f"offsets must rise from 0 to the {count} candidates, got {bounds[:3].tolist()} ...")
    if sizes.shape != (count,) or names.shape != (groups,):
        raise ValueError(f"expected {count} lengths and {groups} dialogues, got shapes {sizes.shape} and {names.shape}")
    if sizes.min(initial=0) < 0:
        raise ValueError(f"a length is 0 or more, got {sizes.min()}")
    values = None if utilities is None else np.asarray(utilities, dtype=np.float64)
    if values is not None and (values.shape != (count,) or np.isinf(values).any()):
        raise ValueError(f"expected {count} utilities, finite or NaN, got shape {values.shape}")
    return Pool(vectors, bounds, sizes, names, values, None if labelled is None else _checked(labelled, bounds))


def split(pool: Pool, held_out_share: float, *, seed: int) -> Split:
    """Hold out this share of the dialogues, one at least, drawn by the seed alone: one split for all arms and seeds.

    Raises:
        ValueError: if the share is not between 0 and 1, or there are fewer than 2 dialogues.
    """
    if not 0 < held_out_share < 1:
        raise ValueError(f"the held-out share is between 0 and 1, got {held_out_share:g}")
    names, places = np.unique(pool.dialogues, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"a study needs at least 2 dialogues, one to hold out, got {len(names)}; import more prompts")
    count = min(len(names) - 1, max(1, round(held_out_share * len(names))))
    words = mixed(names.astype(np.uint64) ^ mixed(seed_word(seed)))
    is_out = np.zeros(len(names), dtype=np.bool_)
    is_out[np.argsort(words, kind="stable")[:count]] = True
    return Split(np.flatnonzero(~is_out[places]), np.flatnonzero(is_out[places]))


def known_pairs(pool: Pool, groups: Rows, *, by_labels: bool) -> Pairs:
    """All pairs within these groups of usable candidates whose better one is known; ties are left out.

    Args:
        pool: of candidates.
        groups: numbers of groups.
        by_labels: whether labels decide, or utilities.

    Raises:
        ValueError: if the pool does not have what decides.
    """
    pairs, places = _labelled_in(pool, groups) if by_labels else _all_pairs(pool, groups)
    is_usable = pool.is_usable
    first, second = pairs.rows.T
    is_kept = is_usable[first] & is_usable[second] & (pairs.shares != 0.5) & ~np.isnan(pairs.shares)
    order = np.flatnonzero(is_kept)[np.argsort(places[is_kept], kind="stable")]
    rows, is_first = pairs.rows[order], pairs.shares[order] > 0.5
    is_turned = rows[:, 0] > rows[:, 1]
    return Pairs(np.sort(rows, axis=1), places[order], is_first ^ is_turned, are_alike(pool.lengths, rows))


def are_alike(lengths: Rows, rows: Rows) -> NDArray[np.bool_]:
    """(m,) whether the two of each pair (m, 2) are of like length; two of length 0 are."""
    sides = lengths[rows]
    return np.asarray(sides.min(axis=1) >= ALIKE * sides.max(axis=1))


def mean_by_group(values: ArrayLike, groups: Rows, count: int) -> Floats:
    """(count,) the mean of the values (t,) of each group (t,); NaN for a group without any."""
    numbers = np.bincount(groups, minlength=count)
    sums = np.bincount(groups, np.asarray(values, dtype=np.float64), minlength=count)
    return np.asarray(np.where(numbers, sums / np.maximum(numbers, 1), np.nan))


def longer_wins(pool: Pool, pairs: Pairs, count: int) -> Floats:
    """(count,) by group, the share of pairs whose longer one is the better, equal lengths by half: no label is read."""
    gaps = np.subtract(*pool.lengths[pairs.rows].T)
    rights = (1 + np.sign(gaps) * np.where(pairs.is_first_better, 1, -1)) / 2
    return mean_by_group(rights, pairs.groups, count)


def owners(pool: Pool, rows: Rows) -> Rows:
    """The group of each candidate, of the shape of `rows`."""
    return np.asarray(np.searchsorted(pool.offsets, rows, side="right") - 1, dtype=np.int64)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    if vectors.ndim != 2:
        raise ValueError(f"expected embeddings (n, d), got shape {vectors.shape}")
    finite = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, np.float32(0))
    norms = np.linalg.norm(finite.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(np.where(norms > 1e-15, finite / np.maximum(norms, 1e-15), 0), dtype=np.float32)


def _checked(labelled: LabelledPairs, offsets: Rows) -> LabelledPairs:
    rows = np.asarray(labelled.rows, dtype=np.int64).reshape(-1, 2)
    shares, votes = np.asarray(labelled.shares, dtype=np.float64), np.asarray(labelled.votes, dtype=np.int64)
    if shares.shape != (len(rows),) or votes.shape != (len(rows),):
        raise ValueError(f"expected {len(rows)} shares and votes, got {shares.shape} and {votes.shape}")
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("a share of votes is within [0, 1]; some are not")
    if len(rows) and (rows.min() < 0 or rows.max() >= offsets[-1]):
        raise ValueError(f"labelled pairs name candidates 0 to {offsets[-1] - 1}, got {rows.min()} to {rows.max()}")
    groups = np.searchsorted(offsets, rows, side="right")
    is_pair = (groups[:, 0] == groups[:, 1]) & (rows[:, 0] != rows[:, 1])
    if not is_pair.all():
        raise ValueError(f"a labelled pair is of two candidates of one prompt, {rows[~is_pair][0].tolist()} is not")
    if len(np.unique(np.sort(rows, axis=1), axis=0)) < len(rows):
        raise ValueError("a labelled pair is there twice; give each once, with the share of all its votes")
    return LabelledPairs(rows, shares, votes)


def _labelled_in(pool: Pool, groups: Rows) -> tuple[LabelledPairs, Rows]:
    """The labelled pairs of these groups, with the place of each one's group."""
    if pool.labelled is None:
        raise ValueError("there is no label in the pool; label pairs first")
    place = np.full(len(pool.offsets) - 1, -1, dtype=np.int64)
    place[groups] = np.arange(len(groups))
    places = place[owners(pool, pool.labelled.rows[:, 0])]
    is_in = places >= 0
    rows, shares, votes = pool.labelled
    return LabelledPairs(rows[is_in], shares[is_in], votes[is_in]), places[is_in]


def _all_pairs(pool: Pool, groups: Rows) -> tuple[LabelledPairs, Rows]:
    """Every pair of these groups with what utilities say of it; NaN where one is unknown."""
    if pool.utilities is None:
        raise ValueError("there is no utility in the pool; import scores, or study the stored labels")
    parts = [rows[np.stack(np.triu_indices(len(rows), 1), axis=1)] for rows in pool.rows_of(groups)]
    rows = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
    places = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    gaps = np.subtract(*pool.utilities[rows].T)
    return LabelledPairs(rows, (1 + np.sign(gaps)) / 2, np.ones(len(rows), dtype=np.int64)), places
