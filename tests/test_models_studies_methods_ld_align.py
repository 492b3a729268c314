"""What a study of LD-Align says of made-up outcomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_outcomes import PROMPTS, outcome

from models.intervals import Interval
from models.studies.findings import HistogramPlot
from models.studies.methods.ld_align import LATENT, ld_align_findings


def outcomes(*, worth=0.2):
    return [
        one
        for seed in range(5)
        for one in (
            outcome("ld_align", seed, worth=worth / 2, part="round 1", round=1),
            outcome("ld_align", seed, worth=worth, part="round 2", round=2),
            outcome("sft", seed),
        )
    ]


def latent(seed, *, is_farther_worse=True, count=40):
    couples = [
        {
            "prompt": at, "distances": [1.0, 2.0], "scores": [1.0, 0.0] if is_farther_worse else [at % 2, 1 - at % 2],
            "overlaps": [50.0, 10.0], "length_nearness": [-5, -5],
        }
        for at in range(count)
    ]  # fmt: skip
    found = outcome("ld_align", seed, part=LATENT)
    return replace(found, figures={"distances": [1.0, 2.0, 3.0], "couples": couples})


def test_the_last_round_is_compared_and_the_rounds_are_shown():
    found = ld_align_findings(outcomes())
    assert found.answer == "ld_align, round 2 wins more often than sft."
    assert [name for name, _ in found.sections[0].plots[0].rows[::2]] == [
        "ld_align, round 1",
        "ld_align, round 2",
        "sft",
    ]
    assert dict(found.sizes)["comparisons corrected for"] == "2"
    (by_round,) = found.sections[1].plots
    assert [(line.name, [x for x, _ in line.points]) for line in by_round.lines] == [("ld_align", [1.0, 2.0])]


def with_gains(given, gains):
    """The outcomes with an annotator's gains in reward: of each arm its mean, prompts ±0.5 around it, seeds ±0.1."""
    for one in given:
        mean = gains.get((one.trial.arm, one.trial.part))
        spread = [None if mean is None else mean + (at % 2 - 0.5) + 0.1 * (one.trial.seed - 2) for at in PROMPTS]
        one.figures["by_prompt"]["reward_gain"] = spread
    return given


GAINS = {("ld_align", "round 1"): 1.0, ("ld_align", "round 2"): 1.5, ("sft", ""): -0.25}
MEAN_REWARD = "Mean reward above the fine-tuned model’s"


def test_the_mean_reward_above_the_starts_is_told_of_each_arm_and_round():
    found = ld_align_findings(with_gains(outcomes(), GAINS))
    assert found.sections[1].title == MEAN_REWARD
    (table,), (plot,) = found.sections[1].tables, found.sections[1].plots
    assert [(arm, cell.split()[0]) for arm, cell in table.rows] == [
        ("ld_align, round 1", "+1.000"), ("ld_align, round 2", "+1.500"), ("sft", "−0.250"),
    ]  # fmt: skip
    (line,) = plot.lines
    assert line.name == "ld_align"
    assert [(x, round(of.value, 6)) for x, of in line.points] == [(1.0, 1.0), (2.0, 1.5)]
    assert [f"{of:+.3f}" for _, of in line.points] == [cell for _, cell in table.rows[:2]]
    for _, of in line.points:
        assert of.high - of.value > 0.2, "seeds and prompts are both random"
    rows = {row[:2]: row[2] for row in found.sections[0].tables[1].rows}
    assert rows["ld_align, round 2", "reward_gain"].startswith("+1.750 ["), "paired with the control"
    assert dict(found.sizes)["comparisons corrected for"] == "3"


def test_an_annotator_without_scores_has_no_mean_reward_to_tell_nor_have_old_outcomes():
    for given in (with_gains(outcomes(), {}), outcomes()):
        found = ld_align_findings(given)
        assert MEAN_REWARD not in [section.title for section in found.sections]
        assert dict(found.sizes)["comparisons corrected for"] == "2"


def test_an_arm_that_was_measured_before_there_was_a_mean_reward_is_left_out():
    given = with_gains(outcomes(), GAINS)
    for one in given:
        if one.trial.arm == "sft":
            del one.figures["by_prompt"]["reward_gain"]
    section = ld_align_findings(given).sections[1]
    assert [row[0] for row in section.tables[0].rows] == ["ld_align, round 1", "ld_align, round 2"]


def test_the_mean_reward_of_a_single_seed_has_no_band():
    given = with_gains([one for one in outcomes() if one.trial.seed == 2], GAINS)
    section = ld_align_findings(given).sections[1]
    assert section.tables[0].rows[0] == ("ld_align, round 1", "+1.000 [no interval]")
    assert section.plots[0].lines[0].points[0][1] == Interval(*[pytest.approx(1.0)] * 3)


def test_methods_without_rounds_have_a_mean_reward_and_no_line():
    given = with_gains([one for one in outcomes() if one.trial.arm == "sft"], GAINS)
    section = ld_align_findings(given).sections[1]
    assert section.plots == () and len(section.tables[0].rows) == 1


def test_a_distance_that_means_worse_is_told_from_one_that_means_nothing():
    means = ld_align_findings([*outcomes(), *(latent(seed) for seed in range(5))])
    assert "is the worse one more often than by chance: 1.00" in means.answer
    nothing = ld_align_findings([*outcomes(), *(latent(seed, is_farther_worse=False) for seed in range(5))])
    assert "Cannot tell whether the sample farther from the golden response is the worse one" in nothing.answer


def test_ties_are_left_out_and_counted_and_every_pair_has_its_weight():
    section = ld_align_findings([*outcomes(), latent(0)]).sections[-1]
    rows = {row[0]: row for row in section.tables[0].rows}
    assert rows["the less like the golden one, by length"][1:] == ("–", "0", "40")
    assert rows["the less like the golden one, by a judge"][1:] == ("–", "0", "0")
    assert rows["the worse one, by the annotator"][2] == "40"
    (histogram,) = (plot for plot in section.plots if isinstance(plot, HistogramPlot))
    assert sum(histogram.series[0][1]) == 3


def test_a_judge_that_compared_with_the_golden_response_is_told_beside_the_annotator():
    given = [latent(seed) for seed in range(5)]
    for one in given:
        for couple in one.figures["couples"]:
            couple["closer"] = [0.0, 1.0]
    answer = ld_align_findings([*outcomes(), *given]).answer
    assert "is the worse one more often than by chance: 1.00" in answer
    assert "is the less like it by a judge’s verdict less often than by chance: 0.00" in answer


def test_prompts_that_gave_no_couple_are_counted_and_the_reason_is_not_guessed():
    given = latent(0, count=0)
    given.figures.update(without_golden=3, equal=1)
    found = ld_align_findings([*outcomes(), given])
    assert "3 have no golden response and 1 were answered twice alike" in found.sections[-1].paragraphs[-1]
    assert "is the worse one: no two differ in that." in found.answer
