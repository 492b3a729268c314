"""Paths of a head over budgets: what arms share, what they learn, and planted worlds that are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from study_pools import flipped, planted_pool, similarities, studied_curves

from models.head import fit_head
from models.selection import SHIPPED
from models.selection.asking import rule_of
from models.studies.advice import advise, weigh
from models.studies.annotators import noisy, truth
from models.studies.comparing import crossed_mean, paired
from models.studies.head_trials import head_path, label_grid, laboratory
from models.studies.held_out import FIGURES
from models.studies.pool import split

BUDGETS = (20, 40, 80)


def ready(pool, share=0.4, seed=0):
    return laboratory(pool, split(pool, share, seed=seed), by_labels=False, seed=seed)


def another_random(is_valid, group_seed):
    """Any two responses, by another draw."""
    return np.random.default_rng(group_seed ^ 0x5DEECE66D).random(is_valid.shape)


def test_a_head_learns_and_what_it_is_right_about_is_that_of_a_head_of_the_same_labels():
    pool = planted_pool(prompts=80, dimension=12)
    lab = ready(pool)
    points = head_path(lab, SHIPPED["random"], truth(pool), seed=3, counts=(10, 90))
    assert [(point.labels, point.decided) for point in points] == [(10, 10), (90, 90)]
    few, many = (float(np.mean(point.figures["accuracy"])) for point in points)
    assert 0.5 < few < many > 0.75
    plain = fit_head(*_labels_of(pool, lab, 90))
    rows = lab.held_out.pairs.rows
    means = plain.compare(pool.embeddings[rows[:, 0]], pool.embeddings[rows[:, 1]]).means
    assert many == pytest.approx(np.mean((means > 0) == lab.held_out.pairs.is_first_better), abs=0.05)


def _labels_of(pool, lab, count):
    """Differences and targets of as many random pairs of training prompts."""
    rng = np.random.default_rng(0)
    prompts = rng.permutation(np.tile(lab.split.training, 3))[:count]
    pairs = np.array([6 * prompt + rng.permutation(6)[:2] for prompt in prompts])
    gaps = np.subtract(*pool.utilities[pairs].T)
    return pool.embeddings[pairs[:, 0]] - pool.embeddings[pairs[:, 1]], (gaps > 0).astype(float)


def test_a_path_is_the_same_whichever_budgets_are_measured_on_it():
    pool = planted_pool(prompts=60)
    lab, annotator = ready(pool), noisy(pool, 0.7)
    for name in ("easy", "max_min_lcb"):
        whole = head_path(lab, SHIPPED[name], annotator, seed=1, counts=(20, 35, 50))
        (alone,) = head_path(lab, SHIPPED[name], annotator, seed=1, counts=(35,))
        for figure, values in alone.figures.items():
            assert np.array_equal(values, whole[1].figures[figure], equal_nan=True)


def test_a_tie_costs_a_label_and_teaches_nothing():
    pool = planted_pool(prompts=40)
    pool.utilities[:] = np.round(pool.utilities / 4)
    (point,) = head_path(ready(pool), SHIPPED["random"], truth(pool), seed=0, counts=(24,))
    assert 0 < point.decided < point.labels == 24


def test_labels_that_are_all_ties_leave_a_coin():
    pool = planted_pool(prompts=20, candidates=3)
    lab = ready(pool)
    ties = truth(pool)._replace(answer=lambda rows, _seed: np.full(len(rows), 0.5))
    (point,) = head_path(lab, SHIPPED["easy"], ties, seed=0, counts=(5,))
    assert point.decided == 0 and (point.figures["accuracy"] == 0.5).all()


def test_numbers_of_labels_hold_the_budgets_and_steps_around_them():
    assert label_grid((50, 100, 200), 10_000) == (12, 17, 24, 34, 50, 68, 100, 136, 200, 272, 400)
    assert label_grid((50, 100, 200), 210) == (12, 17, 24, 34, 50, 68, 100, 136, 200, 210)
    assert label_grid((50, 100), 60) == (12, 17, 24, 34, 50, 60)


@pytest.mark.slow
def test_a_world_in_which_selection_must_help_is_told_from_one_in_which_it_cannot():
    pool = planted_pool(prompts=240, dimension=12, spread=0.0)
    bound = np.quantile(similarities(pool, ready(pool).held_out.pairs.rows), 0.3)
    helps = flipped(pool, lambda rows: np.where(similarities(pool, rows) < bound, 0.0, 0.5))
    cannot = flipped(pool, lambda rows: np.full(len(rows), 0.35))
    verdicts = []
    for annotator in (helps, cannot):
        lab = ready(pool, share=0.5)
        counts, curves = studied_curves(lab, ("random", "easy", "longest_gap"), annotator, BUDGETS, seeds=8)
        evidence = weigh(curves["accuracy"], curves["accuracy_alike"], counts, BUDGETS)
        verdicts.append((advise(evidence, seeds=8, prompts=len(lab.split.held_out)), evidence))
    (helped, of_helped), (useless, of_useless) = verdicts
    assert (helped.verdict, helped.strategy) == ("select", "easy")
    assert all(each.saving.interval.low > 1 for each in of_helped if each.strategy == "easy")
    assert useless.verdict in ("cannot tell", "not worth it")
    assert not any(each.gain.is_more for each in of_useless)
    assert not any(each.gain.is_more for each in of_helped if each.strategy == "longest_gap")


@pytest.mark.slow
def test_a_strategy_under_two_names_has_a_difference_of_nothing_within_the_interval_of_every_figure():
    rules, tables = (SHIPPED["random"], rule_of("another_random", another_random)), []
    for study in range(250):
        pool = planted_pool(study, prompts=30, candidates=3, dimension=4)
        lab, annotator = ready(pool, seed=study), noisy(pool, 0.7)
        one, other = (
            [head_path(lab, rule, annotator, seed=100 * study + seed, counts=(15,))[0].figures for seed in range(5)]
            for rule in rules
        )
        tables.append({
            figure: paired([each[figure] for each in one], [each[figure] for each in other]) for figure in FIGURES
        })  # fmt: skip
    for figure in FIGURES:
        for seeds in (3, 5):
            measured = [table[figure][:seeds] for table in tables]  # some small world has no responses of like length
            found = [crossed_mean(table) for table in measured if not np.isnan(table).all()]
            assert np.mean([low <= 0 <= high for _, low, high in found]) >= 0.95, (figure, seeds)
