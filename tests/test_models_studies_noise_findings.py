"""What the study of noise says in words: never more than the intervals allow."""

from __future__ import annotations

from models.intervals import Interval
from models.studies.noise import Noise, Third, Trend
from models.studies.noise_findings import OfAnnotator, noise_findings


def trend(value, half, p, pairs=300):
    return Trend(Interval(value, value - half, value + half), p, pairs=pairs, prompts=100)


def noise(**trends):
    thirds = tuple(Third(at / 3, Interval(0.8, 0.7, 0.9), 100) for at in range(3))
    return Noise(pairs=300, prompts=100, mean=0.8, trends=trends, thirds=thirds, like_thirds=thirds[:1])


def answer(**trends):
    return noise_findings("3 (mine)", {"agreement": noise(**trends)}, {}).answer


def test_the_answer_names_the_trend_its_interval_and_its_size():
    assert answer(all=trend(-0.3, 0.1, 0.0)) == (
        "Yes: agreement falls as the two responses grow more alike "
        "(rank correlation −0.30 [−0.40, −0.20], 300 of 100 prompts)."
    )
    assert answer(all=trend(0.3, 0.1, 0.0)).startswith("The reverse: agreement rises")
    assert answer(all=trend(0.01, 0.05, 0.7)).startswith("No: ")


def test_where_it_cannot_be_told_it_says_how_many_more_pairs_would_tell():
    said = answer(all=trend(-0.1, 0.2, 0.3))
    assert said.startswith("Cannot tell whether agreement changes with similarity")
    assert "About 2,149 more pairs" in said  # 300 × ((1.43 × 0.2 / 0.1)² − 1)


def test_what_holds_of_all_pairs_and_not_at_like_length_is_said_beside():
    said = answer(all=trend(-0.3, 0.1, 0.0), length_held=trend(0.0, 0.05, 0.9), like_length=trend(-0.1, 0.2, 0.3))
    assert "length ratio held, no (0.00 [−0.05, 0.05])" in said
    assert "of like length (≥ 0.8), cannot tell" in said


def test_trends_are_corrected_for_how_many_are_tested():
    alone = answer(all=trend(-0.2, 0.19, 0.04))
    among = answer(all=trend(-0.2, 0.19, 0.04), length_held=trend(-0.1, 0.2, 0.3))
    assert alone.startswith("Yes") and among.startswith("Cannot tell")
    found = noise_findings("3", {"agreement": noise(all=trend(-0.2, 0.1, 0.0), length_held=trend(0, 0.1, 1.0))}, {})
    assert ("Trends tested, corrected together (Holm)", "2") in found.sizes


def test_measures_that_were_not_taken_are_named_with_the_reason():
    found = noise_findings("3", {"clarity": noise(all=trend(-0.2, 0.1, 0.0))}, {"agreement": "no pair has two votes"})
    assert "Agreement was not measured: no pair has two votes." in found.sections[0].paragraphs
    assert found.answer.startswith("Yes: clarity falls")


def test_what_other_measures_say_stands_in_the_answer_too():
    measured = {"agreement": noise(all=trend(-0.1, 0.2, 0.3)), "clarity": noise(all=trend(-0.2, 0.05, 0.0))}
    said = noise_findings("3", measured, {}).answer
    assert said.startswith("Cannot tell whether agreement")
    assert said.endswith("Clarity: all pairs, yes (−0.20 [−0.25, −0.15]).")


def test_of_labels_that_never_differ_nothing_can_be_told():
    assert answer().startswith("Cannot tell: agreement or similarity is the same for all 300 of 100 prompts")


def test_annotators_are_listed_by_accuracy():
    careless = OfAnnotator("careless", noise(all=trend(0.1, 0.2, 0.5)))
    right = OfAnnotator("right", Noise(20, 20, 1.0, {}, (), ()))
    found = noise_findings("3", {"accuracy": noise(all=trend(-0.2, 0.1, 0.0))}, {}, [careless, right])
    (table,) = found.sections[-1].tables
    assert table.rows == (
        ("right", "1.00", "20", "–", "–"),
        ("careless", "0.80", "300", "0.10 [−0.10, 0.30]", "–"),
    )
