"""Gold, source and scores: the verdicts that a data set brings."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labelling.data_labels import GoldLabeller, ScoresLabeller, SourceLabeller
from models.labelling.records import Opinion, ShownPair, ShownResponse, SourceSays
from models.records import Prompt

PROMPT = Prompt.from_text("How are you?")


def scored(left: float | None, right: float | None) -> ShownPair:
    return ShownPair(PROMPT, ShownResponse("Fine.", score=left), ShownResponse("Well.", score=right))


def score_opinion(left: float | None, right: float | None, *, min_ratio: float = 1.5) -> Opinion:
    [opinion] = ScoresLabeller(min_ratio=min_ratio).label([scored(left, right)])
    return opinion


@pytest.mark.parametrize(
    ("left", "right", "other_text", "verdict"),
    [
        (True, False, "Well.", "left"),
        (False, True, "Well.", "right"),
        (True, True, "Well.", "skip"),
        (False, False, "Well.", "skip"),
        (True, False, "Fine.", "tie"),
        (False, True, "Fine.", "tie"),
        (True, True, "Fine.", "skip"),
    ],
)
def test_the_reference_wins_where_there_is_one(left, right, other_text, verdict) -> None:
    pair = ShownPair(
        PROMPT,
        ShownResponse("Fine.", is_reference=left),
        ShownResponse(other_text, is_reference=right),
        (SourceSays("right"),),
    )
    [opinion] = GoldLabeller().label([pair])
    assert opinion.verdict == verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [("left", "left"), ("right", "right"), ("tie", "tie"), ("both_bad", "both_bad"), (None, "skip")],
)
def test_the_source_is_believed(said, verdict) -> None:
    says = () if said is None else (SourceSays(said), SourceSays("both_bad", "safer"))
    pair = ShownPair(PROMPT, ShownResponse("Fine.", score=9), ShownResponse("Well.", score=1, is_reference=True), says)
    assert SourceLabeller().label([pair]) == [Opinion(verdict)]


@pytest.mark.parametrize(
    ("left", "right", "verdict", "margin"),
    [
        (3, 2, "left", 1),  # exactly 1.5 times
        (2, 3, "right", -1),
        (2.9, 2, "tie", pytest.approx(0.9)),
        (2, 2, "tie", 0),
        (1, 0, "left", 1),
        (0.001, -50, "left", pytest.approx(50.001)),
        (0, 0, "tie", 0),
        (-3, -3, "tie", 0),
        (0, -1, "skip", 1),
        (-4, -1, "skip", -3),
        (None, 5, "skip", None),
        (5, None, "skip", None),
        (None, None, "skip", None),
    ],
)
def test_a_score_wins_by_ratio(left, right, verdict, margin) -> None:
    opinion = score_opinion(left, right)
    assert (opinion.verdict, opinion.margin) == (verdict, margin)


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_with_ratio_one_every_difference_counts(left: float, right: float) -> None:
    expected = "tie" if left == right else "left" if left > right else "right"
    assert score_opinion(left, right, min_ratio=1).verdict == expected


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.sampled_from([1.0, 1.25, 1.5, 2.0, 8.0]))
def test_the_ratio_is_that_of_exact_arithmetic(left: int, right: int, min_ratio: float) -> None:
    ratio = Fraction(max(left, right), min(left, right))
    winner = "left" if left > right else "right"
    expected = winner if ratio >= Fraction(min_ratio) and left != right else "tie"
    assert score_opinion(left, right, min_ratio=min_ratio).verdict == expected


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(1, 10), st.floats(1, 10))
def test_a_larger_ratio_only_takes_verdicts_away(left: float, right: float, one: float, two: float) -> None:
    strict = score_opinion(left, right, min_ratio=max(one, two)).verdict
    assert strict in {"tie", "skip", score_opinion(left, right, min_ratio=min(one, two)).verdict}


@pytest.mark.parametrize("min_ratio", [0.99, 0, -1.5, float("nan")])
def test_a_ratio_below_one_is_refused(min_ratio: float) -> None:
    with pytest.raises(ValueError, match="min_ratio must be at least 1"):
        ScoresLabeller(min_ratio=min_ratio)


def test_the_ratio_is_part_of_the_identity() -> None:
    one, two, three = (ScoresLabeller(min_ratio=ratio).identity for ratio in (1.5, 2, 2.0))
    assert one.key != two.key == three.key
    assert (one.kind, one.name) == ("scores", "scores (ratio 1.5)")


def test_a_yes_or_no_and_a_score_are_on_two_scales() -> None:
    yes, no = ShownResponse("Fine.", 1.0, is_desirable=True), ShownResponse("Well.", 0.0, is_desirable=False)
    verdicts = [ShownPair(PROMPT, yes, other) for other in (no, ShownResponse("Well.", 9.0), ShownResponse("Well."))]
    assert [one.verdict for one in ScoresLabeller(min_ratio=1).label(verdicts)] == ["left", "skip", "skip"]


def test_each_criterion_is_an_annotator_that_hears_nothing_else() -> None:
    pair = ShownPair(PROMPT, ShownResponse("Fine."), ShownResponse("Well."), (SourceSays("left", "better"),))
    labellers = [SourceLabeller(), SourceLabeller(criterion="better"), SourceLabeller(criterion="safer")]
    assert [one.label([pair])[0].verdict for one in labellers] == ["skip", "left", "skip"]
    assert len({one.identity.key for one in labellers}) == 3
    assert labellers[0].identity.settings == (), "the annotator of earlier versions"


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [({1}, {2}, "skip"), ({1, 2}, {2, 3}, "left"), ({1}, set(), "left"), (set(), set(), "left")],
)
def test_scores_of_two_sources_are_not_compared(left, right, verdict) -> None:
    pair = ShownPair(
        PROMPT,
        ShownResponse("Fine.", score=9, source_ids=frozenset(left)),
        ShownResponse("Well.", score=4, source_ids=frozenset(right)),
    )
    [opinion] = ScoresLabeller(min_ratio=1).label([pair])
    assert opinion.verdict == verdict
