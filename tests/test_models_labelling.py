"""What every labeller has in common: sides and order change no verdict, and what is stored is in terms of the pair."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_models import make_labeller, make_reward_model

from models.demo.corpus import demo_prompts, training_dialogues
from models.labelling import Labeller, as_judgement
from models.labelling.data_labels import GoldLabeller, ScoresLabeller, SourceLabeller
from models.labelling.records import Opinion, PairKey, ShownPair, ShownResponse, SourceSays
from models.labelling.rubric import RubricLabeller
from models.records import Prompt

NAMES = ["gold", "source", "scores", "every score", "truth", "rubric", "noisy rubric", "reward model"]
KEY = PairKey(3, 8)
MIRRORED = {"left": "right", "right": "left"}

# Sentences of any topic, and often the same one twice; a prompt of its own for each pair.
TEXTS = [turns[-1].content for turns in training_dialogues(60, seed=0)]


def responses() -> st.SearchStrategy[ShownResponse]:
    return st.builds(
        ShownResponse,
        text=st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8"), max_size=20),
        score=st.none() | st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]) | st.floats(-1e6, 1e6),
        is_reference=st.booleans(),
    )


def shown_pairs() -> st.SearchStrategy[ShownPair]:
    prompts = st.sampled_from(demo_prompts("test")).map(Prompt.from_text)
    verdicts: st.SearchStrategy[Literal["left", "right", "tie", "both_bad"]]
    verdicts = st.sampled_from(["left", "right", "tie", "both_bad"])
    says = st.none().map(lambda _: ()) | verdicts.map(lambda verdict: (SourceSays(verdict),))
    pair = st.builds(ShownPair, prompts, responses(), responses(), says)
    same_text = pair.map(lambda it: ShownPair(it.prompt, it.left, ShownResponse(it.left.text, it.right.score)))
    return pair | same_text


@pytest.fixture(scope="module")
def labellers(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Labeller]]:
    reward_model = make_labeller(make_reward_model(demo_model, tmp_path_factory.mktemp("reward")), tie_margin=0.05)
    made: list[Labeller] = [
        GoldLabeller(),
        SourceLabeller(),
        ScoresLabeller(min_ratio=1.5),
        ScoresLabeller(min_ratio=1),
        RubricLabeller(temperature=0, seed=0),
        RubricLabeller(temperature=1, seed=0),
        RubricLabeller(temperature=5, seed=7),
        reward_model,
    ]
    yield dict(zip(NAMES, made, strict=True))
    for labeller in made:
        labeller.close()


def assert_mirrored(opinion: Opinion, other: Opinion) -> None:
    assert other.verdict == MIRRORED.get(opinion.verdict, opinion.verdict)
    assert (other.margin is None) == (opinion.margin is None)
    assert (other.probability is None) == (opinion.probability is None)
    assert other.rationale == opinion.rationale
    if opinion.margin is not None and other.margin is not None:
        assert other.margin == -opinion.margin
    if opinion.probability is not None and other.probability is not None:
        assert other.probability == pytest.approx(1 - opinion.probability, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(pair=shown_pairs())
def test_exchanged_sides_exchange_the_opinion(labellers: dict[str, Labeller], name: str, pair: ShownPair) -> None:
    [opinion], [other] = labellers[name].label([pair]), labellers[name].label([pair.swapped])
    assert_mirrored(opinion, other)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(pair=shown_pairs())
def test_what_is_stored_does_not_depend_on_the_side(labellers: dict[str, Labeller], name: str, pair: ShownPair) -> None:
    [opinion], [other] = labellers[name].label([pair]), labellers[name].label([pair.swapped])
    one = as_judgement(KEY, KEY.first_response_id, opinion)
    two = as_judgement(KEY, KEY.second_response_id, other)
    assert (one.left_response_id, two.left_response_id) == KEY
    assert one.verdict == two.verdict
    assert one.margin == two.margin
    assert one.probability == pytest.approx(two.probability, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(pairs=st.lists(shown_pairs(), max_size=6), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing(
    labellers: dict[str, Labeller], name: str, pairs: list[ShownPair], shuffle: random.Random
) -> None:
    order = list(range(len(pairs)))
    shuffle.shuffle(order)
    opinions = labellers[name].label(pairs)
    assert len(opinions) == len(pairs)
    assert labellers[name].label([pairs[place] for place in order]) == [opinions[place] for place in order]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(pair=shown_pairs())
def test_verdict_probability_and_margin_fit_together(
    labellers: dict[str, Labeller], name: str, pair: ShownPair
) -> None:
    [opinion] = labellers[name].label([pair])
    assert opinion.verdict in {"left", "right", "tie", "both_bad", "skip"}
    assert opinion.probability is None or 0 <= opinion.probability <= 1
    if opinion.margin is not None and opinion.verdict in MIRRORED:
        assert (opinion.margin > 0) == (opinion.verdict == "left")


@pytest.mark.parametrize("name", NAMES)
def test_no_pairs_give_no_opinions(labellers: dict[str, Labeller], name: str) -> None:
    assert labellers[name].label([]) == []


def test_every_labeller_is_an_annotator_of_its_own(labellers: dict[str, Labeller]) -> None:
    identities = [labeller.identity for labeller in labellers.values()]
    assert len({identity.key for identity in identities}) == len(NAMES)
    assert len({identity.name for identity in identities}) == len(NAMES)
    assert not any(identity.has_both_orders for identity in identities)


@pytest.mark.parametrize(
    ("left", "verdict", "stored", "probability", "margin"),
    [
        (3, "left", "first", 0.75, 2.0),
        (3, "right", "second", 0.75, 2.0),
        (8, "left", "second", 0.25, -2.0),
        (8, "right", "first", 0.25, -2.0),
        (8, "tie", "tie", 0.25, -2.0),
        (8, "both_bad", "both_bad", 0.25, -2.0),
        (8, "skip", "skip", 0.25, -2.0),
        (8, "unparsed", "unparsed", 0.25, -2.0),
    ],
)
def test_an_opinion_on_sides_is_stored_as_a_judgement_on_the_pair(left, verdict, stored, probability, margin) -> None:
    judgement = as_judgement(KEY, left, Opinion(verdict, probability=0.75, margin=2.0, rationale="why"), seconds=4.5)
    assert (judgement.pair, judgement.left_response_id, judgement.verdict) == (KEY, left, stored)
    assert (judgement.probability, judgement.margin) == (probability, margin)
    assert (judgement.rationale, judgement.seconds) == ("why", 4.5)


def test_a_left_response_of_another_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of \(3, 8\), got 4"):
        as_judgement(KEY, 4, Opinion("tie"))
