"""The recommendation of a pilot: each verdict from curves that call for it, and what telling more would take."""

from __future__ import annotations

import numpy as np
import pytest

from models.studies.advice import advise, needs, weigh
from models.studies.comparing import Crossed

COUNTS = (25, 50, 100, 200)
RISING = np.array([0.55, 0.6, 0.65, 0.7])


def curves(gains, *, noise=0.01, seeds=10, prompts=60):
    """Accuracies of each arm: random's curve, its gain, and noise of seeds and prompts."""
    rng = np.random.default_rng(0)
    shape = (len(COUNTS), seeds, prompts)
    common = 0.1 * rng.standard_normal((1, 1, prompts))
    made = {"random": RISING[:, None, None] + common + noise * rng.standard_normal(shape)}
    for arm, gain in gains.items():
        of_seeds = noise * rng.standard_normal((1, seeds, 1))
        made[arm] = RISING[:, None, None] + gain + common + of_seeds + noise * rng.standard_normal(shape)
    return made


def advised(gains, alike, **options):
    evidence = weigh(curves(gains, **options), curves(alike, **options), COUNTS, (50, 100))
    return advise(evidence, seeds=10, prompts=60)


def test_a_gain_that_stands_at_like_length_too_is_a_reason_to_select():
    found = advised({"easy": 0.1, "longest_gap": 0.0}, {"easy": 0.08, "longest_gap": 0.0})
    assert (found.verdict, found.strategy) == ("select", "easy")
    assert found.words.startswith("Select by `easy`: with ")
    assert "corrected for 4 comparisons" in found.words and "not length alone" in found.words


def test_a_gain_that_is_gone_at_like_length_is_explained_by_length():
    found = advised({"easy": 0.1}, {"easy": 0.0})
    assert (found.verdict, found.strategy) == ("length", "easy")
    assert "Among pairs of like length it gains less than 2.0 points" in found.words


def test_a_gain_of_longest_gap_that_stands_at_like_length_is_not_explained_by_length():
    found = advised({"longest_gap": 0.1}, {"longest_gap": 0.08})
    assert (found.verdict, found.strategy) == ("select", "longest_gap")
    assert "not length alone: among pairs of like length the gain is 7.7 [7.1, 8.4]" in found.words
    found = advised({"longest_gap": 0.1}, {"longest_gap": 0.0})
    assert (found.verdict, found.strategy) == ("length", "longest_gap")
    unknown = weigh(curves({"longest_gap": 0.1}), curves({"longest_gap": 0.03}, noise=0.3), COUNTS, (50, 100))
    found = advise(unknown, seeds=10, prompts=60)
    assert found.verdict == "length" and "`longest_gap` reads no response" in found.words


def test_a_gain_that_longest_gap_has_too_is_explained_by_length_where_like_length_cannot_tell():
    wide = curves({"easy": 0.03, "longest_gap": 0.1}, noise=0.3)
    accuracy = curves({"easy": 0.1, "longest_gap": 0.13})
    found = advise(weigh(accuracy, wide, COUNTS, (50, 100)), seeds=10, prompts=60)
    assert found.verdict == "length" and "`longest_gap`" in found.words


def test_intervals_that_leave_no_room_for_a_gain_say_that_it_is_not_worth_its_trouble():
    found = advised({"easy": 0.0, "hard": -0.05}, {"easy": 0.0, "hard": -0.05}, noise=0.005)
    assert (found.verdict, found.strategy) == ("not worth it", "")
    assert "no strategy gains 2.0 points over random" in found.words


def test_wide_intervals_cannot_tell_and_say_what_telling_takes():
    found = advised({"easy": 0.01}, {"easy": 0.0}, noise=0.1)
    assert found.verdict == "cannot tell"
    assert found.needs is not None and (found.needs.seeds > 10 or found.needs.prompts > 60)
    assert f"{found.needs.seeds:,} seeds (now 10)" in found.words


def test_a_gain_of_which_like_length_cannot_tell_is_not_called_more_than_length():
    accuracy, alike = curves({"easy": 0.1}), curves({"easy": 0.03}, noise=0.3)
    found = advise(weigh(accuracy, alike, COUNTS, (50, 100)), seeds=10, prompts=60)
    assert (found.verdict, found.strategy) == ("cannot tell", "easy")
    assert found.words.startswith("Cannot tell whether it is more than length")


def test_without_a_pair_of_like_length_the_words_say_so():
    accuracy = curves({"easy": 0.1})
    nothing = {arm: np.full_like(values, np.nan) for arm, values in accuracy.items()}
    assert "no pair of like length" in advise(weigh(accuracy, nothing, COUNTS, (100,)), seeds=10, prompts=60).words


def test_half_widths_fall_with_the_square_root_of_seeds_until_prompts_limit():
    of_seeds = Crossed(0.0, 4e-4, 4e-4, 0.0, 9)
    found = needs(of_seeds, 0.02, seeds=10, prompts=60)
    assert found is not None and found.prompts == 60 and 38 <= found.seeds <= 42
    of_prompts = Crossed(0.0, 4e-4, 0.0, 4e-4, 9)
    found = needs(of_prompts, 0.02, seeds=10, prompts=60)
    assert found is not None and found.prompts == 240
    assert needs(of_seeds, 1e-6, seeds=10, prompts=60) is None
    assert needs(of_seeds, 0.0, seeds=10, prompts=60) is None


def test_what_cannot_be_weighed_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="compared with random, got easy; add it"):
        weigh({"easy": np.zeros((4, 2, 2))}, {}, COUNTS, (50,))
    with pytest.raises(ValueError, match="name one or more"):
        advise([], seeds=5, prompts=9)
