"""The figures of label quality: worked by hand, against brute force, and on what is missing."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.labelling.records import PairKey, Verdict
from models.labelling.votes import Vote, annotator_vote
from models.quality.quality import (
    Annotator,
    AnnotatorJudgement,
    GroupAgreement,
    LabelledPair,
    LabelQuality,
    Share,
    label_quality,
)

ANNA = Annotator(1, "anna", "person", has_both_orders=False)
JUDGE = Annotator(2, "judge", "judge", has_both_orders=True)
REWARD = Annotator(3, "reward", "reward_model", has_both_orders=False)
ANNOTATORS = (ANNA, JUDGE, REWARD)
VERDICTS: tuple[Verdict, ...] = ("first", "second", "tie", "both_bad", "skip", "unparsed")


def test_the_figures_of_a_worked_case() -> None:
    pairs = [_pair(1, similarity=0.1), _pair(2, similarity=0.2), _pair(3, similarity=0.8, strategies=("easy", "hard"))]
    quality = _quality(
        pairs,
        [
            _judgement(ANNA, 1, "first", seconds=4.0),
            _judgement(ANNA, 2, "second", is_first_left=False, seconds=8.0),
            _judgement(ANNA, 3, "skip", seconds=1.0),
            _judgement(JUDGE, 1, "first"),
            _judgement(JUDGE, 1, "first", is_first_left=False),
            _judgement(JUDGE, 2, "first"),
            _judgement(JUDGE, 2, "second", is_first_left=False),
            _judgement(JUDGE, 3, "unparsed"),
            _judgement(JUDGE, 3, "first", is_first_left=False),
            _judgement(REWARD, 1, "second"),
        ],
    )
    assert (quality.pair_count, quality.labelled_count, quality.judgement_count) == (3, 2, 10)
    # Votes: pair 1 anna first, judge first, reward second; pair 2 anna second, judge tie; pair 3 none.
    # Pairs 1 (3 votes, 4 unequal ordered couples / 2) and 2 (2 / 1): 4 of 5 votes. By chance two of four sides and a
    # tie meet: of 20 ordered couples 12 of two sides, half of them unequal, and 8 of a side and the tie: 14 / 20.
    assert quality.alpha.value == pytest.approx(1 - (4 / 5) / (14 / 20))
    # Both sides are 4 apart, a side and a tie 1: (4 · 4 / 2 + 2) of 5 votes; by chance twice the 4 sides of 5.
    assert quality.ordinal_alpha.value == pytest.approx(1 - (10 / 5) / (2 * 4 / 5))
    anna, judge, reward = quality.annotators
    assert (anna.judgement_count, anna.vote_count, anna.skips, anna.median_seconds) == (3, 2, 1, 4.0)
    assert (judge.judgement_count, judge.vote_count, judge.ties, judge.unparsed) == (6, 2, 1, 1)
    assert (reward.vote_count, reward.median_seconds) == (1, None)
    assert [_counted(one.agreement_with_others) for one in quality.annotators] == [(1, 3), (1, 3), (0, 2)]
    assert [_counted(one.left) for one in quality.annotators] == [(2, 2), (3, 5), (0, 1)]
    assert [_counted(one.longer) for one in quality.annotators] == [(1, 2), (1, 1), (0, 1)]
    assert [_counted(one.flips) for one in quality.annotators] == [(0, 0), (1, 2), (0, 0)]
    assert [(group.group, group.pair_count, _counted(group.agreement)) for group in quality.by_strategy] == [
        ("easy", 2, (1, 4)),
        ("hard", 0, (0, 0)),
    ]
    assert [(group.group, group.low, group.high, _counted(group.agreement)) for group in quality.by_similarity] == [
        ("0.10 to 0.10", 0.1, 0.1, (1, 3)),
        ("0.20 to 0.20", 0.2, 0.2, (0, 1)),
    ]
    assert [(one.first.name, one.second.name, _counted(one.agreement)) for one in quality.agreements] == [
        ("anna", "judge", (1, 2)),
        ("anna", "reward", (0, 1)),
        ("judge", "reward", (0, 1)),
    ]
    # Anna and the judge: half; by chance half of the sides agree, two for anna, one for the judge: 1 / 4.
    assert [one.kappa.value for one in quality.agreements] == [pytest.approx((1 / 2 - 1 / 4) / (1 - 1 / 4)), -1.0, -1.0]
    assert [one.ordinal_kappa.value for one in quality.agreements] == [pytest.approx(1 - 0.5 / 1.5), -1.0, -1.0]
    assert [(one.pair, one.reason) for one in quality.suspects] == [
        (_key(1), "votes differ: 2 first, 1 second"),
        (_key(2), "votes differ: 1 second, 1 tie"),
    ]
    assert quality.suspects[0].verdicts == (("anna", "first"), ("judge", "first"), ("reward", "second"))
    assert [one.weight for one in quality.suspects] == [pytest.approx(0.5 + 1 / 3), 0.25]


def test_nothing_at_all_is_described() -> None:
    for pairs in ([], [_pair(1)]):
        quality = _quality(pairs, [])
        assert (quality.pair_count, quality.labelled_count, quality.alpha.value) == (len(pairs), 0, None)
        assert quality.by_similarity == quality.agreements == quality.suspects == ()
        assert [one.left for one in quality.annotators] == [Share(None, 0.0, 1.0, 0)] * 3
        assert [one.accuracy for one in quality.annotators] == [Share(None, 0.0, 1.0, 0)] * 3
    assert label_quality([], [], [], bins=3, suspect_count=3).annotators == ()


def test_one_annotator_has_biases_but_no_agreement() -> None:
    pairs = [_pair(number) for number in range(1, 5)]
    judgements = [_judgement(ANNA, number, "first", margin=1.0) for number in range(1, 5)]
    quality = label_quality(pairs, judgements, [ANNA], bins=2, suspect_count=5)
    (anna,) = quality.annotators
    assert (_counted(anna.left), _counted(anna.agreement_with_others), anna.accuracy.value) == ((4, 4), (0, 0), None)
    assert quality.alpha.value is None
    assert quality.suspects == ()


def test_judgements_on_other_pairs_are_ignored() -> None:
    judgements = [_judgement(ANNA, 1, "first"), _judgement(REWARD, 1, "second", margin=-1.0)]
    others = [_judgement(ANNA, 9, "first"), _judgement(REWARD, 9, "second", margin=-9.0)]
    assert _quality([_pair(1)], judgements + others) == _quality([_pair(1)], judgements)


def test_a_larger_contradicted_margin_is_more_suspect() -> None:
    pairs = [_pair(number) for number in range(1, 5)]
    judgements = [_judgement(ANNA, number, "first") for number in range(1, 5)]
    judgements += [
        _judgement(REWARD, number, "tie", margin=margin) for number, margin in enumerate([-0.1, -3.0, 2.0, 0.0], 1)
    ]
    suspects = _quality(pairs, judgements).suspects
    # All votes differ (a decisive one against a tie: 1/4); sizes 0, 0.1, 2, 3 rank 1/4, 2/4, 3/4 and 1.
    assert [(one.pair, one.weight) for one in suspects] == [
        (_key(2), 1.25),
        (_key(1), 0.75),
        *((_key(number), 0.25) for number in (3, 4)),
    ]
    assert suspects[0].reason == "votes differ: 1 first, 1 tie; others contradict the margin of reward (-3)"


def test_the_margin_of_both_orders_is_their_mean() -> None:
    judgements = [
        _judgement(ANNA, 1, "second"),
        _judgement(JUDGE, 1, "first", margin=5.0),
        _judgement(JUDGE, 1, "second", is_first_left=False, margin=-1.0),
    ]
    (suspect,) = _quality([_pair(1)], judgements).suspects
    assert suspect.reason.endswith("(+2)")


def test_one_answer_of_a_judge_is_no_chance_to_flip() -> None:
    (judge,) = label_quality([_pair(1)], [_judgement(JUDGE, 1, "first")], [JUDGE], bins=1, suspect_count=1).annotators
    assert (_counted(judge.flips), judge.vote_count, judge.judgement_count) == ((0, 0), 0, 1)


def test_a_margin_is_not_contradicted_by_its_own_annotator() -> None:
    (suspect,) = _quality(
        [_pair(1)], [_judgement(REWARD, 1, "second", margin=1.0), _judgement(ANNA, 1, "tie")]
    ).suspects
    assert suspect.reason == "votes differ: 1 second, 1 tie"


def test_suspects_are_cut_and_equals_come_by_pair() -> None:
    pairs = [_pair(number) for number in (3, 1, 2)]
    judgements = [_judgement(ANNA, number, "first") for number in (1, 2, 3)]
    judgements += [_judgement(REWARD, number, "second") for number in (3, 2, 1)]
    quality = label_quality(pairs, judgements, ANNOTATORS, bins=1, suspect_count=2)
    assert [suspect.pair for suspect in quality.suspects] == [_key(1), _key(2)]
    assert label_quality(pairs, judgements, ANNOTATORS, bins=1, suspect_count=0).suspects == ()


@given(
    st.lists(st.one_of(st.none(), st.sampled_from([0.1, 0.3, 0.5, 0.5001, 0.9])), max_size=20),
    st.integers(1, 6),
)
def test_bins_hold_every_labelled_pair_once_and_never_split_equals(similarities: list[float | None], bins: int) -> None:
    groups = _bins(similarities, bins)
    known = [similarity for similarity in similarities if similarity is not None]
    assert len(groups) <= bins
    assert sum(group.pair_count for group in groups) == len(known)
    bounds = [bound for group in groups for bound in (group.low, group.high)]
    assert all(low is not None and low in known for low in bounds)
    assert bounds == sorted(bounds, key=lambda bound: bound or 0.0)
    for group in groups:
        inside = [one for one in known if (group.low or 0.0) <= one <= (group.high or 0.0)]
        assert group.pair_count == len(inside) > 0
    assert len({group.group for group in groups}) == len(groups)


def test_bins_of_distinct_similarities_hold_equally_many() -> None:
    groups = _bins([1 / number for number in range(1, 31)], 4)
    assert [group.pair_count for group in groups] == [7, 8, 7, 8]


def test_bins_that_two_decimals_cannot_tell_apart_get_more() -> None:
    assert [group.group for group in _bins([0.991, 0.992], 2)] == ["0.991 to 0.991", "0.992 to 0.992"]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2), st.booleans(), st.sampled_from(VERDICTS)), max_size=30))
def test_agreement_agrees_with_brute_force(rows: list[tuple[int, int, bool, Verdict]]) -> None:
    shown = {(number, row, is_first_left): verdict for number, row, is_first_left, verdict in rows}
    judgements = [
        _judgement(ANNOTATORS[row], number, verdict, is_first_left=is_first_left)
        for (number, row, is_first_left), verdict in shown.items()
    ]
    quality = _quality([_pair(number) for number in range(1, 6)], judgements)
    votes = {
        (number, annotator.id): vote
        for number in range(1, 6)
        for annotator in ANNOTATORS
        if (vote := _vote(judgements, number, annotator))
    }
    couples = [
        (one, other, votes[number, one] == votes[number, other])
        for number in range(1, 6)
        for one, other in combinations((1, 2, 3), 2)
        if (number, one) in votes and (number, other) in votes
    ]
    (group,) = quality.by_strategy
    assert _counted(group.agreement) == (sum(equal for _, _, equal in couples), len(couples))
    for one in quality.annotators:
        mine = [equal for first, second, equal in couples if one.annotator.id in (first, second)]
        assert _counted(one.agreement_with_others) == (sum(mine), len(mine))
        assert one.vote_count == sum(annotator == one.annotator.id for _, annotator in votes)
        sided = [
            number
            for number in range(1, 6)
            if votes.get((number, one.annotator.id)) in {"first", "second"}
            and any((number, other.id) in votes for other in ANNOTATORS if other != one.annotator)
        ]
        assert (one.accuracy.value is None, one.accuracy.count) == (not sided, len(sided))
    assert {(one.first.id, one.second.id) for one in quality.agreements} == {(one, other) for one, other, _ in couples}


def test_the_order_of_judgements_changes_nothing() -> None:
    random = np.random.default_rng(0)
    pairs = [_pair(number, similarity=float(random.random())) for number in range(1, 60)]
    judgements = [
        _judgement(annotator, number, VERDICTS[random.integers(6)], margin=float(random.normal()))
        for number in range(1, 60)
        for annotator in ANNOTATORS
    ]
    shuffled = [judgements[place] for place in random.permutation(len(judgements))]
    assert _quality(pairs, shuffled) == _quality(pairs, judgements)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), st.booleans(), st.sampled_from(VERDICTS)), max_size=40),
    st.sets(st.integers(1, 6)),
)
def test_exchanging_the_two_responses_of_some_pairs_changes_no_figure(
    rows: list[tuple[int, int, bool, Verdict]], exchanged: set[int]
) -> None:
    shown = {(number, row, is_first_left): verdict for number, row, is_first_left, verdict in rows}
    pairs = [_pair(number, similarity=number % 3 / 3) for number in range(1, 7)]
    judgements = [
        _judgement(ANNOTATORS[row], number, verdict, is_first_left=is_first_left, margin=float(number - row))
        for (number, row, is_first_left), verdict in shown.items()
    ]
    other_pairs = [_swapped_pair(pair) if pair.pair.first_response_id // 10 in exchanged else pair for pair in pairs]
    other_judgements = [
        _swapped_judgement(one) if one.pair.first_response_id // 10 in exchanged else one for one in judgements
    ]
    quality, other = _quality(pairs, judgements), _quality(other_pairs, other_judgements)
    assert [(one.pair, one.weight) for one in other.suspects] == [(one.pair, one.weight) for one in quality.suspects]
    _assert_close(asdict(replace(other, suspects=())), asdict(replace(quality, suspects=())))


def test_a_source_that_always_says_first_is_no_worse_a_companion_than_one_with_sides_drawn_at_random() -> None:
    # A data set's chosen response is imported first. The second annotator agrees on 74 % of 200 pairs: 2 · 0.74 − 1.
    random = np.random.default_rng(7)
    pairs = [_pair(number) for number in range(1, 201)]
    judgements = [_judgement(ANNA, number, "first") for number in range(1, 201)]
    judgements += [_judgement(REWARD, number, "first" if number <= 148 else "second") for number in range(1, 201)]
    exchanged = set(np.flatnonzero(random.random(200) < 0.5) + 1)
    judgements_at_random = [
        _swapped_judgement(one) if one.pair.first_response_id // 10 in exchanged else one for one in judgements
    ]
    for quality in (_quality(pairs, judgements), _quality(pairs, judgements_at_random)):
        (couple,) = quality.agreements
        coefficients = (quality.alpha, quality.ordinal_alpha, couple.kappa, couple.ordinal_kappa)
        assert [one.value for one in coefficients] == pytest.approx([0.48] * 4)
        assert all(one.low == pytest.approx(0.35, abs=0.02) for one in coefficients)


def test_a_pair_with_many_annotators_is_one_observation() -> None:
    many = [Annotator(number, f"a{number}", "person", has_both_orders=False) for number in range(10, 20)]
    pairs = [_pair(number) for number in range(1, 11)]
    judgements = [
        _judgement(annotator, number, "first" if number < 6 or annotator.id % 2 else "second")
        for number in range(1, 11)
        for annotator in many
    ]
    (group,) = label_quality(pairs, judgements, many, bins=1, suspect_count=0).by_strategy
    # 450 couples of ten pairs; Wilson's interval of 450 observations would be 0.68 to 0.76.
    assert group.agreement.value == pytest.approx((5 * 45 + 5 * 20) / 450)
    assert group.agreement.high - group.agreement.low > 0.25


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 and 1"):
        label_quality([_pair(1)], [], ANNOTATORS, bins=0, suspect_count=1)
    with pytest.raises(ValueError, match="got 1 and -1"):
        label_quality([_pair(1)], [], ANNOTATORS, bins=1, suspect_count=-1)
    with pytest.raises(ValueError, match="2 pairs, 1 different"):
        _quality([_pair(1), _pair(1)], [])
    with pytest.raises(ValueError, match="must include 2"):
        label_quality([_pair(1)], [_judgement(JUDGE, 1, "first")], [ANNA], bins=1, suspect_count=1)


def _key(number: int) -> PairKey:
    return PairKey(number * 10, number * 10 + 1)


def _pair(number: int, *, similarity: float | None = None, strategies: tuple[str, ...] = ("easy",)) -> LabelledPair:
    return LabelledPair(_key(number), f"prompt {number}", strategies, similarity, first_length=9, second_length=5)


def _judgement(
    annotator: Annotator,
    number: int,
    verdict: Verdict,
    *,
    is_first_left: bool = True,
    margin: float | None = None,
    seconds: float | None = None,
) -> AnnotatorJudgement:
    left = _key(number)[0 if is_first_left else 1]
    return AnnotatorJudgement(annotator.id, _key(number), left, verdict, margin, seconds)


def _quality(pairs: Sequence[LabelledPair], judgements: Sequence[AnnotatorJudgement]) -> LabelQuality:
    return label_quality(pairs, judgements, ANNOTATORS, bins=3, suspect_count=10)


def _swapped_pair(pair: LabelledPair) -> LabelledPair:
    """The same pair, had its responses been stored in the other order: ids say nothing, so they stay."""
    return pair._replace(first_length=pair.second_length, second_length=pair.first_length)


def _swapped_judgement(judgement: AnnotatorJudgement) -> AnnotatorJudgement:
    other_left = sum(judgement.pair) - judgement.left_response_id
    verdicts: dict[Verdict, Verdict] = {"first": "second", "second": "first"}
    margin = None if judgement.margin is None else -judgement.margin
    verdict = verdicts.get(judgement.verdict, judgement.verdict)
    return judgement._replace(left_response_id=other_left, verdict=verdict, margin=margin)


def _assert_close(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-9)
    else:
        assert found == expected


def _bins(similarities: Sequence[float | None], bins: int) -> tuple[GroupAgreement, ...]:
    pairs = [_pair(number, similarity=similarity) for number, similarity in enumerate(similarities, 1)]
    judgements = [_judgement(ANNA, number, "first") for number in range(1, len(pairs) + 1)]
    return label_quality(pairs, judgements, ANNOTATORS, bins=bins, suspect_count=0).by_similarity


def _counted(share: Share) -> tuple[int, int]:
    return round((share.value or 0.0) * share.count), share.count


def _vote(judgements: Sequence[AnnotatorJudgement], number: int, annotator: Annotator) -> Vote | None:
    showings = {
        judgement.left_response_id: judgement.verdict
        for judgement in judgements
        if judgement.pair == _key(number) and judgement.annotator_id == annotator.id
    }
    return annotator_vote(showings, has_both_orders=annotator.has_both_orders)
