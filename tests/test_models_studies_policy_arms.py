"""Arms that are policies: their values side by side, comparisons as one family, words that say no more than they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study_outcomes import PROMPTS, outcome

from models.intervals import clustered_mean
from models.studies.policy_arms import (
    LIKE_LENGTH,
    WIN_RATE,
    against,
    difference_table,
    in_words,
    lines_of,
    over_seeds,
    values_of,
    win_rate_plot,
    win_rate_table,
)

SEEDS = range(5)


def arms(**worths):
    return {arm: [outcome(arm, seed, worth=worth) for seed in SEEDS] for arm, worth in worths.items()}


def test_values_stand_by_seed_and_prompt_whatever_order_they_come_in():
    given = arms(sft=0.0, dpo=0.2)
    turned = {"sft": given["sft"], "dpo": given["dpo"][::-1]}
    values, again = values_of(given, WIN_RATE), values_of(turned, WIN_RATE)
    assert values["sft"].shape == (5, len(PROMPTS))
    np.testing.assert_array_equal(values["dpo"], again["dpo"])
    assert values["dpo"][3, 2] == given["dpo"][3].figures["by_prompt"]["win_rate"][2]
    assert np.isnan(values_of(given, LIKE_LENGTH)["sft"][:, 0]).all()


def test_a_prompt_that_one_arm_lacks_is_no_value_and_an_arm_without_any_is_left_out():
    given = arms(sft=0.0, dpo=0.2)
    short = given["dpo"][0]
    by_prompt = {"compared_prompts": list(PROMPTS[1:]), WIN_RATE: [0.5] * (len(PROMPTS) - 1)}
    given["dpo"][0] = replace(short, figures=short.figures | {"by_prompt": by_prompt})
    given["none"] = [replace(one, figures=one.figures | {"by_prompt": {}}) for one in arms(none=0.0)["none"]]
    values = values_of(given, WIN_RATE)
    assert list(values) == ["sft", "dpo"]
    assert np.isnan(values["dpo"][0, 0]) and not np.isnan(values["dpo"][1:]).any()


def test_a_win_rate_of_two_seeds_stays_a_share():
    """With one degree of freedom t is 12.7: the interval alone would end far outside."""
    given = {"dpo": [outcome("dpo", seed, worth=worth) for seed, worth in enumerate((0.0, 0.4))]}
    ((_, rate),) = win_rate_plot(given, "").rows[:1]
    assert (rate.low, rate.high) == (0, 1)
    assert "[0.00, 1.00]" in win_rate_table(given, "", "").rows[0][4]


def test_what_is_surely_better_is_told_from_what_cannot_be_told():
    given = arms(sft=0.0, dpo=0.2, ipo=0.0, orpo=-0.2)
    found = against("sft", (WIN_RATE, values_of(given, WIN_RATE)), (LIKE_LENGTH, values_of(given, LIKE_LENGTH)))
    assert len(found) == 6
    assert found[WIN_RATE, "dpo"].interval.value == pytest.approx(0.2, abs=0.02)
    words = in_words(found, "sft")
    assert words == ("dpo wins more often than sft; orpo wins less often than sft; cannot tell ipo from sft.")
    table = difference_table(found, "sft")
    assert len(table.rows) == 6 and "6 comparisons" in table.note


def test_a_single_arm_compares_with_nothing():
    given = arms(dpo=0.2)
    assert in_words(against("dpo", (WIN_RATE, values_of(given, WIN_RATE))), "dpo").startswith("Cannot tell")


def test_tables_and_plots_have_a_row_an_arm_and_say_what_is_missing():
    given = arms(sft=0.0, dpo=0.2)
    given["dpo"] = [replace(one, figures=one.figures | {"length_controlled": None}) for one in given["dpo"]]
    table = win_rate_table(given, "Win rates", "note")
    assert [row[0] for row in table.rows] == ["sft", "dpo"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert (table.rows[0][-1], table.rows[1][-1]) == ("0.50", "–")
    plot = win_rate_plot(given, "Win rates")
    assert [name for name, _ in plot.rows] == ["sft", "sft, of like length", "dpo", "dpo, of like length"]


def test_curves_are_means_over_seeds_and_a_single_seed_has_no_band():
    (line,) = lines_of(arms(dpo=0.2), "likelihood_margin")
    assert [step for step, _ in line.points] == [0.0, 5.0]
    assert line.points[1][1].value == pytest.approx(0.2)
    assert lines_of(arms(dpo=0.2), "none") == ()
    assert over_seeds([1.0]) == (1.0, 1.0, 1.0)
    assert over_seeds([1.0, 2.0, 4.0]) == clustered_mean([1.0, 2.0, 4.0], [0, 1, 2])
