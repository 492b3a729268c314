"""What trials with policies say: arrays that pair, answers no stronger than the intervals, tables of means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.studies.trials import Outcome, Trial
from tasks.studies.policies.findings import findings_of, to_random, values_of

SEEDS, PROMPTS = range(5), list(range(30))


def outcome(arm, seed, *, win, without=()):
    noise = [0.1 * ((prompt * 3 + seed) % 4 - 1.5) for prompt in PROMPTS]
    values = [None if prompt in without else win + step for prompt, step in zip(PROMPTS, noise, strict=True)]
    by_prompt = {"compared_prompts": PROMPTS, "win_rate": values, "prompts": PROMPTS, "accuracy": [0.5] * 30}
    curves = {"margin": [[0, 0.0], [10, win]]}
    samples = [["Why?", "Because.", f"{arm} says so."]] if seed == 0 else []
    figures = {"by_prompt": by_prompt, "curves": curves, "policy": seed, "win": win, "labels": 30}
    return Outcome(Trial(arm, "truth", seed=seed), figures | {"samples": samples}, 1.0)


def all_of(**levels):
    return [outcome(arm, seed, win=level) for seed in SEEDS for arm, level in levels.items()]


def test_values_are_by_seed_and_prompt_with_nothing_where_nothing_was_measured():
    outcomes = [outcome("random", 3, win=0.5), outcome("random", 1, win=0.4, without=(7,))]
    values = values_of(outcomes, "win_rate")["random"]
    assert values.shape == (2, 30) and np.isnan(values[0, 7]) and np.isfinite(values).sum() == 59
    assert values[1, 0] == 0.5 + 0.1 * (3 - 1.5), "seeds rise"
    assert values_of(outcomes, "like_length_win_rate") == {}


def test_an_arm_above_random_is_named_with_its_interval_and_the_number_of_comparisons():
    findings = findings_of(all_of(easy=0.7, hard=0.4, random=0.5), question="?", names=("win_rate",))
    assert findings.answer == (
        "Above random in win rate: easy, truth by +0.2 [+0.2, +0.2]. Below random in win rate: hard, truth by "
        "−0.1 [−0.1, −0.1] (corrected for 2 comparisons)."
    )
    assert dict(findings.sizes)["Comparisons corrected for"] == "2"


def test_equal_arms_cannot_be_told_apart():
    findings = findings_of(all_of(twin=0.5, random=0.5), question="?", names=("win_rate", "accuracy"))
    assert findings.answer.startswith("Cannot tell: no arm differs from random in win rate after correction for 2")
    assert {one.interval.value for one in to_random(all_of(twin=0.5, random=0.5), ("win_rate",)).values()} == {0.0}


def test_a_single_seed_says_in_words_that_it_leaves_no_interval():
    outcomes = [outcome(arm, 0, win=level) for arm, level in {"easy": 0.7, "random": 0.5}.items()]
    findings = findings_of(outcomes, question="?", names=("win_rate",))
    assert findings.answer.endswith("comparisons; a single seed leaves no interval.")
    cells = [cell for section in findings.sections for table in section.tables for row in table.rows for cell in row]
    assert "+0.200 [no interval]" in cells and not any("inf" in cell for cell in cells)


def test_without_a_comparison_the_answer_says_who_should_compare():
    findings = findings_of(all_of(random=0.5), question="?", names=("win_rate",))
    assert (
        findings.answer
        == "Cannot tell: no win rate was measured against random; name who compares: --evaluate.annotator."
    )


def test_curves_and_samples_are_by_arm():
    sections = {
        one.title: one for one in findings_of(all_of(easy=0.7, random=0.5), question="?", names=("win_rate",)).sections
    }
    (plot,) = sections["Along training"].plots
    assert [line.name for line in plot.lines] == ["easy", "random"]
    assert [(step, interval.value) for step, interval in plot.lines[0].points] == [(0.0, 0.0), (10.0, 0.7)]
    assert [row[1:] for row in sections["Samples side by side"].tables[0].rows] == [
        ("start", "Because."), ("easy", "easy says so."), ("random", "random says so."),
    ]  # fmt: skip


def test_what_was_not_measured_along_training_has_no_heading():
    outcomes = [
        replace(one, figures=one.figures | {"curves": {}, "samples": []}) for one in all_of(easy=0.7, random=0.5)
    ]
    titles = [one.title for one in findings_of(outcomes, question="?", names=("win_rate",)).sections]
    assert "Along training" not in titles and "Samples side by side" not in titles
