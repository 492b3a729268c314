"""A rule makes an outcome of a pair's votes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labelling.dawid_skene import PRIOR_ACCURACY, fit_votes
from models.labelling.rules import Rule, mean_strength, resolve
from models.labelling.votes import EXCHANGED, VOTES, Vote

RULES: tuple[Rule, ...] = ("majority", "unanimous", "weighted")
MIRRORED: dict[str, str] = {vote: VOTES[code] for vote, code in zip(VOTES, EXCHANGED, strict=True)}
GIVEN = st.dictionaries(st.integers(1, 6), st.sampled_from(VOTES), max_size=6)


@pytest.mark.parametrize(
    ("votes", "majority", "unanimous"),
    [
        (["first"], ("first", 1.0), ("first", 1.0)),
        (["first", "second"], ("contradiction", 0.5), ("contradiction", 0.5)),
        (["first", "first", "second"], ("first", 2 / 3), ("contradiction", 2 / 3)),
        (["tie", "tie", "both_bad", "second"], ("contradiction", 0.5), ("contradiction", 0.5)),
        (["both_bad", "both_bad"], ("both_bad", 1.0), ("both_bad", 1.0)),
        (["tie", "tie", "tie", "second"], ("tie", 0.75), ("contradiction", 0.75)),
    ],
)
def test_majority_and_unanimity_of_worked_cases(
    votes: list[Vote], majority: tuple[str, float], unanimous: tuple[str, float]
) -> None:
    given_votes = dict(enumerate(votes))
    assert resolve(given_votes, "majority", model=None) == majority
    assert resolve(given_votes, "unanimous", model=None) == unanimous


@pytest.mark.parametrize("rule", RULES)
def test_the_vote_of_who_settles_contradictions_stands_with_its_own_support(rule: Rule) -> None:
    votes: dict[int, Vote] = {1: "first", 2: "first", 3: "second"}
    model = fit_votes([votes])
    outcome = resolve(votes, rule, model=model, decision="second")
    assert outcome is not None and outcome[0] == "second" and outcome[1] < 0.5
    if rule != "weighted":
        assert outcome[1] == 1 / 3


@pytest.mark.parametrize("rule", RULES)
def test_no_vote_has_no_outcome(rule: Rule) -> None:
    assert resolve({}, rule, model=fit_votes([])) is None


def test_an_annotator_nobody_overlaps_with_settles_a_pair_with_the_priors_accuracy() -> None:
    votes: list[dict[int, Vote]] = [{1: "first"}, {1: "second"}, {2: "first"}]
    assert resolve(votes[0], "weighted", model=fit_votes(votes)) == ("first", pytest.approx(PRIOR_ACCURACY))
    assert resolve({9: "second"}, "weighted", model=fit_votes(votes)) == ("second", pytest.approx(PRIOR_ACCURACY))


def test_a_verdict_nobody_gave_never_wins() -> None:
    # Annotator 3 says the opposite of three who agree: alone, its vote is good evidence for the other side.
    votes: list[dict[int, Vote]] = [{1: "first", 2: "first", 4: "first", 3: "second"}] * 40
    outcome = resolve({3: "first"}, "weighted", model=fit_votes(votes))
    assert outcome is not None and outcome[0] == "contradiction" and outcome[1] < 0.05
    assert resolve({1: "second", 3: "first"}, "weighted", model=fit_votes(votes)) == (
        "second",
        pytest.approx(1, abs=1e-3),
    )


def test_a_verdict_that_came_after_the_model_settles_nothing() -> None:
    model = fit_votes([{1: "first", 2: "first"}] * 9)
    assert resolve({1: "tie"}, "weighted", model=model) == ("contradiction", 0.0)
    outcome = resolve({1: "tie", 2: "first"}, "weighted", model=model)
    assert outcome is not None and outcome[0] == "first"
    assert resolve({1: "tie"}, "weighted", model=fit_votes([])) == ("contradiction", 0.0)


def test_the_rule_weighted_needs_a_model_and_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="fit_votes"):
        resolve({1: "first"}, "weighted", model=None)
    with pytest.raises(ValueError, match="'plurality'"):
        resolve({1: "first"}, "plurality", model=None)  # type: ignore[arg-type]


@given(GIVEN, st.lists(GIVEN, max_size=9), st.sampled_from(RULES))
def test_exchanging_first_and_second_exchanges_the_outcome(
    votes: dict[int, Vote], all_votes: list[dict[int, Vote]], rule: Rule
) -> None:
    model = fit_votes(all_votes)
    outcome = resolve(votes, rule, model=model)
    mirrored = resolve({annotator: MIRRORED[vote] for annotator, vote in votes.items()}, rule, model=model)  # type: ignore[misc]
    if outcome is None:
        assert mirrored is None
        return
    assert mirrored == (MIRRORED.get(outcome[0], outcome[0]), outcome[1])
    assert resolve(dict(reversed(votes.items())), rule, model=model) == outcome


@given(GIVEN, st.dictionaries(st.integers(1, 6), st.sampled_from([0.25, 0.5, 1.0])), st.sampled_from(VOTES))
def test_a_strength_is_the_mean_over_those_who_agree_and_said_so(
    votes: dict[int, Vote], strengths: dict[int, float], outcome: Vote
) -> None:
    total = count = 0.0
    for annotator, vote in votes.items():
        if vote == outcome and outcome in ("first", "second") and annotator in strengths:
            total += strengths[annotator]
            count += 1
    expected = total / count if count else None
    assert mean_strength(votes, strengths, outcome) == (None if expected is None else pytest.approx(expected))
