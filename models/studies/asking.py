"""Which pairs a strategy has labelled: one a prompt in the seed's order of prompts, then the second ones, and so on.

The order of prompts is the same for all strategies of a seed. Where only some pairs have a label, a strategy gets the
first labelled one in its order over all pairs of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from models.selection import Margins, StrategyRule, select_several
from models.studies.pool import Floats, Pool, Rows

ROUND = 25  # labels between two heads of a strategy that learns
LEARNS_FROM = frozenset({"margins", "deviations", "is_labelled"})

Answered = Callable[[Rows], Floats]  # (m, 2) pairs to (m,) answers, NaN where there is none
Fitted = Callable[[Rows, Floats], Head | None]  # pairs and answers to what they say together


def asked_pairs(
    pool: Pool, groups: Rows, rule: StrategyRule, answered: Answered, fitted: Fitted, *, seed: int, count: int
) -> Rows:
    """The first `count` pairs (count, 2) that a strategy has labelled, in order.

    Args:
        pool: of candidates.
        groups: numbers of the groups to choose in.
        rule: the strategy.
        answered: what the annotator says of pairs.
        fitted: the head of labels so far; None where they are too few.
        seed: of the order of groups, and of what is drawn.
        count: of pairs.

    Raises:
        ValueError: if there are fewer pairs that can be labelled.
        StrategyError: if the strategy fails.
    """
    ordered = np.random.default_rng(seed).permutation(groups)
    if LEARNS_FROM.isdisjoint(rule.asks):
        rows = _in_one_go(pool, ordered, rule, answered, seed=seed, count=count)
    else:
        rows = _in_rounds(pool, ordered, rule, answered, fitted, seed=seed, count=count)
    if len(rows) < count:
        raise ValueError(
            f"the {len(groups)} training prompts hold {len(rows)} pairs to label, {count} are asked for; "
            f"lower the largest budget to {len(rows)}, or lower data.held_out_share"
        )
    return rows[:count]


def pair_count(pool: Pool, groups: Rows, answered: Answered) -> int:
    """How many pairs of these groups can be labelled: two usable candidates that the annotator has an answer on."""
    is_usable, count = pool.is_usable, 0
    for rows in pool.rows_of(groups):
        usable = rows[is_usable[rows]]
        pairs = usable[np.stack(np.triu_indices(len(usable), 1), axis=1)]
        count += int((~np.isnan(answered(pairs))).sum())
    return count


def _in_one_go(pool: Pool, ordered: Rows, rule: StrategyRule, answered: Answered, *, seed: int, count: int) -> Rows:
    """All turns of all groups; only as many turns as it takes where every pair can be labelled."""
    most = _most_pairs(pool, ordered)
    turns = min(most, -(-count // max(1, len(ordered))))
    found = _turns(pool, ordered, rule, turns, seed=seed)
    rows = _labelled(found, answered)
    if turns < most and (len(rows) < count or _is_passed_over(found, answered)):
        rows = _labelled(_turns(pool, ordered, rule, most, seed=seed), answered)
    return rows


def _in_rounds(
    pool: Pool, ordered: Rows, rule: StrategyRule, answered: Answered, fitted: Fitted, *, seed: int, count: int
) -> Rows:
    """Rounds of 25 prompts, all again and again; a prompt without a further pair is left out from then on."""
    rows, left, lap = np.empty((0, 2), dtype=np.int64), ordered, 0
    while len(rows) < count and len(left):
        with_pairs, lap = [], lap + 1
        for start in range(0, len(left), ROUND):
            part = left[start : start + ROUND]
            head, most = fitted(rows, answered(rows)), _most_pairs(pool, part)
            margins, turns = None if head is None else head.margins, min(lap, most)  # a pair of each lap is taken
            found = _turns(pool, part, rule, turns, seed=seed, head=margins, labelled=rows)
            chosen, owners = _first_new(found, answered, rows)
            if turns < most and (len(chosen) < len(part) or _is_passed_over(found, answered)):
                found = _turns(pool, part, rule, most, seed=seed, head=margins, labelled=rows)
                chosen, owners = _first_new(found, answered, rows)
            rows = np.concatenate([rows, chosen])
            with_pairs.append(part[owners])
            if len(rows) >= count:
                break
        left = np.concatenate(with_pairs)
    return rows


def _turns(
    pool: Pool,
    ordered: Rows,
    rule: StrategyRule,
    turns: int,
    *,
    seed: int,
    head: Margins | None = None,
    labelled: Rows | None = None,
) -> Rows:
    """(turns, groups, 2) numbers of candidates; −1 where a group has no further pair."""
    if not turns:
        return np.full((0, len(ordered), 2), -1, dtype=np.int64)
    parts = list(pool.rows_of(ordered))
    rows = np.concatenate(parts)
    own = None
    if labelled is not None:
        place = np.full(len(pool.embeddings), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        own = place[labelled][(place[labelled] >= 0).all(axis=1)]
    found = select_several(
        pool.embeddings[rows],
        np.cumsum([0, *map(len, parts)]),
        strategies=(rule,),
        seed=seed,
        count=turns,
        lengths=pool.lengths[rows],
        head=head,
        labelled=own,
    ).turns[rule.name]
    ends = np.stack([np.stack([turn.first, turn.second], axis=1) for turn in found])
    return np.asarray(np.where(ends >= 0, rows[ends], -1), dtype=np.int64)


def _labelled(turns: Rows, answered: Answered) -> Rows:
    """Of (turns, groups, 2) the pairs with an answer: of each group its first, then of each its second, and so on."""
    has_label = _has_label(turns, answered)
    nth = np.cumsum(has_label, axis=0)
    turn, group = np.nonzero(has_label)
    order = np.lexsort((group, nth[turn, group]))
    return np.asarray(turns[turn[order], group[order]], dtype=np.int64)


def _first_new(turns: Rows, answered: Answered, asked: Rows) -> tuple[Rows, Rows]:
    """Each group's first pair (m, 2) that has an answer and was not asked yet, and which groups have one (m,)."""
    known = {tuple(pair) for pair in asked.tolist()}
    is_new = np.array([[tuple(pair) not in known for pair in turn] for turn in turns.tolist()], dtype=np.bool_)
    is_open = _has_label(turns, answered) & is_new.reshape(turns.shape[:2])
    if not len(turns):
        return np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.int64)
    owners = np.flatnonzero(is_open.any(axis=0))
    return turns[is_open[:, owners].argmax(axis=0), owners], owners


def _is_passed_over(turns: Rows, answered: Answered) -> bool:
    """Whether a pair that the strategy would have labelled has no label, so that its further ones must be known."""
    return bool(((turns[..., 0] >= 0) & ~_has_label(turns, answered)).any())


def _has_label(turns: Rows, answered: Answered) -> NDArray[np.bool_]:
    is_there = turns[..., 0] >= 0
    has_label = np.zeros(is_there.shape, dtype=np.bool_)
    has_label[is_there] = ~np.isnan(answered(turns[is_there]))
    return has_label


def _most_pairs(pool: Pool, groups: Rows) -> int:
    """The pairs of the largest group."""
    size = int(np.diff(pool.offsets)[groups].max(initial=0))
    return size * (size - 1) // 2
