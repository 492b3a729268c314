"""Which pairs a strategy has labelled: the seed's order, first turns first, the first labelled one where few are."""

from __future__ import annotations

import numpy as np
import pytest
from study_pools import labelled_pool, planted_pool

from models.head import fit_head
from models.selection import SHIPPED, select_pairs
from models.selection.asking import rule_of
from models.studies.annotators import stored, truth
from models.studies.asking import ROUND, asked_pairs, pair_count
from models.studies.pool import owners


def no_head(_pairs, _answers):
    return None


def asked(pool, rule, count, *, seed=0, annotator=None, fitted=no_head, groups=None):
    answer = (annotator or truth(pool)).answer
    groups = np.arange(len(pool.offsets) - 1) if groups is None else groups
    return asked_pairs(pool, groups, rule, lambda rows: answer(rows, seed), fitted, seed=seed, count=count)


def test_every_prompt_has_its_first_pair_labelled_before_any_has_a_second():
    pool = planted_pool(prompts=30)
    for name in ("easy", "random", "centroid", "longest_gap", "max_min_lcb"):
        rows = asked(pool, SHIPPED[name], 75)
        prompts = owners(pool, rows[:, 0])
        assert sorted(prompts[:30]) == sorted(prompts[30:60]) == list(range(30))
        assert len({tuple(sorted(pair)) for pair in rows.tolist()}) == 75


def test_all_strategies_of_a_seed_go_through_the_prompts_in_one_order():
    pool = planted_pool(prompts=60)
    orders = {tuple(owners(pool, asked(pool, SHIPPED[name], 50)[:, 0])) for name in SHIPPED}
    assert len(orders) == 1
    assert orders != {tuple(owners(pool, asked(pool, SHIPPED["easy"], 50, seed=1)[:, 0]))}


def test_the_pairs_are_those_that_the_strategy_selects():
    pool = planted_pool(prompts=20)
    groups = np.array([3, 7, 12])
    rows = asked(pool, SHIPPED["easy"], 3, groups=groups)
    selected = select_pairs(pool.embeddings, pool.offsets, strategy="easy", seed=0)
    for pair in rows:
        group = owners(pool, pair)[0]
        assert group in groups
        assert pair.tolist() == [selected.first[group], selected.second[group]]


def test_of_few_labelled_pairs_a_strategy_gets_the_first_in_its_order_over_all():
    pool = labelled_pool([[0, 1], [1, 2], [3, 4], [7, 8], [6, 8]], [1.0, 0.0, 1.0, 0.5, 1.0])

    def by_number(similarity):
        """The pairs from the last to the first."""
        return -np.arange(similarity.size).reshape(similarity.shape)

    rows = asked(pool, rule_of("by_number", by_number), 5, annotator=stored(pool))
    assert sorted(map(tuple, rows[:3].tolist())) == [(1, 2), (3, 4), (7, 8)]
    assert sorted(map(tuple, rows[3:].tolist())) == [(0, 1), (6, 8)]


def test_fewer_pairs_than_asked_for_are_refused_with_how_many_there_are():
    pool = labelled_pool([[0, 1], [3, 4]], [1.0, 0.0])
    answer = stored(pool).answer
    assert pair_count(pool, np.arange(3), lambda rows: answer(rows, 0)) == 2
    for name in ("easy", "max_min_lcb"):
        with pytest.raises(ValueError, match="hold 2 pairs to label, 3 are asked for; lower the largest budget to 2"):
            asked(pool, SHIPPED[name], 3, annotator=stored(pool))


def test_a_strategy_that_learns_is_asked_in_rounds_with_the_labels_before():
    pool = planted_pool(prompts=40)
    seen = []

    def fitted(pairs, answers):
        seen.append(len(pairs))
        if len(pairs) < ROUND:
            return None
        return fit_head(pool.embeddings[pairs[:, 0]] - pool.embeddings[pairs[:, 1]], answers)

    rows = asked(pool, SHIPPED["max_min_lcb"], 70, fitted=fitted)
    assert seen == [0, 25, 40, 65]  # 40 prompts: 25 and 15, and again
    assert len({tuple(sorted(pair)) for pair in rows.tolist()}) == 70


def test_a_learning_plug_in_that_names_the_same_pair_again_gets_its_next_one():
    pool = planted_pool(prompts=4, candidates=3)

    def stubborn(margins, similarity):
        """The least similar, labelled or not."""
        return similarity

    rows = asked(pool, rule_of("stubborn", stubborn), 12)
    assert len({tuple(pair) for pair in rows.tolist()}) == 12
