"""What labels are worth: splits by dialogue, power laws, promises that are kept, strategies on common ground."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import expit
from simulated_labels import simulated

from models.head import Labels, fit_head, label_worth
from models.head.curve import FOLDS, Curve, dialogue_splits, drawn, learning_curve, prepare, right
from models.head.extrapolation import fit_power_laws, promise
from models.head.propagation import Votes
from models.head.worth import MOST_LABELS


def as_labels(world, count, dialogues=None):
    which = np.arange(count) if dialogues is None else dialogues
    return Labels(world.differences[:count], world.votes[:count], np.ones(count), which)


def test_no_dialogue_is_on_both_sides_and_every_label_is_held_out_equally_often():
    dialogues = np.random.default_rng(0).integers(0, 30, 200)
    held_out = np.zeros(200)
    for train, test in dialogue_splits(dialogues, 3):
        assert not set(dialogues[train]) & set(dialogues[test])
        assert sorted([*train, *test]) == list(range(200))
        held_out[test] += 1
    assert set(held_out) == {len(dialogue_splits(dialogues, 3)) / FOLDS}


def test_a_margin_of_nothing_is_half_right():
    assert right(np.array([2.0, -1.0, 0.0]), np.array([1.0, 0.75, 0.0])).tolist() == [1.0, 0.0, 0.5]


def test_power_laws_are_those_of_a_plain_optimiser():
    sizes = np.array([10, 20, 40, 80, 160, 320])
    curves = np.array([0.8 - 0.9 * sizes**-0.5, 0.7 - 0.3 * sizes**-0.8]) + 0.003 * np.sin(np.arange(12)).reshape(2, 6)
    weights = sizes.astype(float)
    found = fit_power_laws(sizes, curves, weights)
    for at, curve in enumerate(curves):
        best, _ = curve_fit(
            lambda n, a, b, c: a - b * n**-c, sizes, curve, p0=(0.7, 0.5, 0.5), sigma=weights**-0.5,
            bounds=([0, 0, 0.1], [1, 5, 0.7]),
        )  # fmt: skip
        expected = best[0] - best[1] * 400.0 ** -best[2]
        assert found.at(400.0)[at] == pytest.approx(expected, abs=0.004)


def test_a_curve_that_falls_or_reaches_all_is_a_law_still():
    sizes = np.array([10, 20, 40])
    found = fit_power_laws(sizes, np.array([[0.7, 0.65, 0.6], [0.5, 0.9, 1.0]]), np.ones(3))
    assert found.drops[0] == 0 and found.at(500.0)[0] == pytest.approx(0.65)
    assert found.limits[1] <= 1


@pytest.mark.parametrize(("count", "seeds"), [(100, 16), (250, 8)])
def test_what_is_promised_of_the_next_hundred_labels_comes(count, seeds):
    kept, off = [], []
    for seed in range(seeds):
        world = simulated(seed, count + 2_100, dimension=32, size=(1.0, 2.5)[seed % 2])
        labels = as_labels(world, count)
        every = np.ones(count, dtype=bool)
        prepared = prepare(labels.differences, Votes(labels.shares, labels.weights))
        curve = learning_curve(prepared, labels.dialogues, learns=every, tests=every, seed=seed)
        gain = promise(curve, count).gain
        came = accuracy(world, count + 100) - accuracy(world, count)
        kept.append(gain.low <= came <= gain.high)
        off.append(gain.value - came)
    assert np.mean(kept) >= 0.8
    assert abs(np.mean(off)) < 0.0075, "of the 1 to 2.5 points that come; promises are rather low"


def accuracy(world, count):
    """How often the head of the first labels is right about new ones, on average over their noise."""
    tested = world.differences[-2_000:]
    means = fit_head(world.differences[:count], world.votes[:count]).compare(tested, np.zeros_like(tested)).means
    return expit(np.sign(means) * world.margins[-2_000:]).mean()


def test_two_sizes_make_no_promise():
    assert promise(Curve(np.array([5, 9]), np.ones((4, 2)), np.full(4, 2), np.zeros((4, 1))), 12) is None


def test_labels_of_noise_are_promised_nothing_measurable():
    world = simulated(1, 150, size=1.0)
    noise = world._replace(votes=np.random.default_rng(2).integers(0, 2, 150).astype(float))
    worth = label_worth(as_labels(noise, 150), np.zeros(150), {})
    assert not worth.next.is_measurable and worth.next.gain.low < 0 < worth.next.gain.high
    assert worth.curve[-1].accuracy.low < 0.5 < worth.curve[-1].accuracy.high
    assert worth.longer.value == 0.5


def test_too_few_labels_or_dialogues_have_no_curve():
    world = simulated(1, 120)
    for labels in (as_labels(world, 99), as_labels(world, 120, np.arange(120) % 19), as_labels(world, 0)):
        worth = label_worth(labels, np.ones(len(labels.shares)), {})
        assert worth.next is None and worth.curve == () and worth.strategies == ()
    assert worth.longer is None


def test_strategies_are_compared_on_labels_of_random_pairs():
    """One strategy's labels are turned round half of the time: on common ground they teach nothing."""
    world = simulated(4, 420, size=3.0)
    good, bad, chance = (np.arange(420) % 3 == at for at in range(3))
    votes = np.where(bad & (np.arange(420) % 2 == 0), 1 - world.votes, world.votes)
    labels = as_labels(world._replace(votes=votes), 420)
    worth = label_worth(labels, world.margins, {"easy": good, "hard": bad, "random": chance}, seed=1)
    at = {one.strategy: one.at_common for one in worth.strategies}
    assert worth.tested_on == "random" and len({point.count for point in at.values()}) == 1
    assert at["easy"].accuracy.low > at["hard"].accuracy.value + 0.1
    assert {one.strategy: one.label_count for one in worth.strategies} == {"easy": 140, "hard": 140, "random": 140}
    alone = label_worth(labels, world.margins, {"easy": good, "hard": bad}, seed=1)
    assert alone.tested_on == "all"
    assert label_worth(labels, world.margins, {"easy": good}).strategies == ()


def test_identical_vectors_and_one_way_labels_have_a_curve_of_coins():
    labels = Labels(np.zeros((120, 4), dtype=np.float32), np.ones(120), np.ones(120), np.arange(120))
    worth = label_worth(labels, np.zeros(120), {})
    assert {point.accuracy.value for point in worth.curve} == {0.5}
    assert worth == label_worth(labels, np.zeros(120), {})


def test_of_many_labels_some_are_read_and_all_are_counted():
    count, read = MOST_LABELS + 400, []
    world = simulated(5, count, dimension=4)

    class Rows:
        def __getitem__(self, places):
            read.append(places)
            return world.differences[places]

    easy = np.arange(count) % 2 == 0
    labels = Labels(Rows(), world.votes, np.ones(count), np.arange(count) // 2)
    worth = label_worth(labels, world.margins, {"easy": easy, "hard": ~easy})
    (places,) = read
    assert len(places) == MOST_LABELS and np.array_equal(np.unique(places), places)
    assert np.array_equal(places, drawn(labels.dialogues, MOST_LABELS, 0))
    assert np.unique(labels.dialogues[places], return_counts=True)[1].tolist() == [2] * (MOST_LABELS // 2)
    assert worth.label_count == worth.next.count == count
    assert {one.label_count for one in worth.strategies} == {one.next.count for one in worth.strategies} == {count // 2}
