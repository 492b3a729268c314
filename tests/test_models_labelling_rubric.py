"""The demo's annotators: the truth without noise, Rao and Kupper's shares with it."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

from models.demo.corpus import GOOD, demo_prompts, reference_response, training_dialogues
from models.demo.grammar import Qualities, write_response
from models.demo.parser import fact_asked, utility
from models.labelling.records import ShownPair, ShownResponse
from models.labelling.rubric import TIE_WIDTH, RubricLabeller
from models.records import Prompt

QUESTION = demo_prompts("train")[0]
RUDE = Qualities(is_on_topic=True, is_complete=True, is_specific=True, is_polite=False, has_wrong_fact=False)
VAGUE = Qualities(is_on_topic=True, is_complete=True, is_specific=False, is_polite=True, has_wrong_fact=False)


def written(qualities: Qualities, seed: int = 0) -> str:
    return write_response(fact_asked(QUESTION), qualities, seed=seed)


def pair_of(left: str, right: str, prompt: str = QUESTION) -> ShownPair:
    return ShownPair(Prompt.from_text(prompt), ShownResponse(left), ShownResponse(right))


def demo_pairs() -> list[ShownPair]:
    """All pairs of distinct responses, four to a prompt, of mixed quality."""
    texts: dict[str, list[str]] = {}
    for turns in training_dialogues(4 * 518, seed=5):
        texts.setdefault(turns[-2].content, []).append(turns[-1].content)
    return [
        pair_of(left, right, prompt)
        for prompt, responses in texts.items()
        for left, right in itertools.combinations(dict.fromkeys(responses), 2)
    ]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def true_difference(pair: ShownPair) -> float:
    return utility(pair.prompt.text, pair.left.text) - utility(pair.prompt.text, pair.right.text)


def shares(difference: float, temperature: float) -> tuple[float, float, float]:
    """P(left), P(tie), P(right) by Rao and Kupper's formulas."""
    left = sigmoid((difference - TIE_WIDTH) / temperature)
    right = sigmoid((-difference - TIE_WIDTH) / temperature)
    return left, 1 - left - right, right


@pytest.mark.parametrize(
    ("left", "right", "verdict", "probability", "margin"),
    [
        (written(GOOD), written(RUDE), "left", 1.0, 1.0),
        (written(RUDE), written(GOOD), "right", 0.0, -1.0),
        (written(RUDE), written(VAGUE), "left", 1.0, 0.5),  # 9 against 8.5
        (written(GOOD, 0), written(GOOD, 1), "tie", 0.5, 0.0),
        (written(GOOD), written(GOOD), "tie", 0.5, 0.0),
        (written(GOOD), "asdf", "left", 1.0, 10.0),
        ("asdf", "qwer", "both_bad", 0.5, 0.0),
        ("asdf", "asdf", "tie", 0.5, 0.0),
    ],
)
def test_without_noise_it_tells_the_truth(left, right, verdict, probability, margin) -> None:
    [opinion] = RubricLabeller(temperature=0, seed=3).label([pair_of(left, right)])
    assert (opinion.verdict, opinion.probability, opinion.margin) == (verdict, probability, margin)


def test_the_tie_width_is_half_the_smallest_difference_of_two_utilities() -> None:
    values = {0.0}
    for on_topic, complete, specific, polite, wrong in itertools.product([True, False], repeat=5):
        if specific or not wrong:
            values.add(utility(QUESTION, written(Qualities(on_topic, complete, specific, polite, wrong))))
    smallest = min(abs(one - two) for one, two in itertools.combinations(values, 2))
    assert smallest == 2 * TIE_WIDTH


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("left", "right"), [(GOOD, RUDE), (GOOD, VAGUE), (GOOD, GOOD), (VAGUE, RUDE)])
def test_verdicts_of_many_seeds_have_the_shares_of_the_model(temperature, left, right) -> None:
    pair = pair_of(written(left, 0), written(right, 1))
    people = [RubricLabeller(temperature=temperature, seed=seed).label([pair])[0] for seed in range(2000)]
    counts = Counter(opinion.verdict for opinion in people)
    expected = shares(true_difference(pair), temperature)
    for verdict, share in zip(("left", "tie", "right"), expected, strict=True):
        assert counts[verdict] == pytest.approx(2000 * share, abs=4 * math.sqrt(2000 * share * (1 - share)))
    probability = sigmoid(true_difference(pair) / temperature)
    assert all(opinion.probability == pytest.approx(probability) for opinion in people)
    seems_better = sum(opinion.margin is not None and opinion.margin > 0 for opinion in people)
    assert seems_better == pytest.approx(2000 * probability, abs=4 * math.sqrt(2000 * probability * (1 - probability)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_two_seeds_agree_as_often_as_independent_people_would(temperature: float) -> None:
    pairs = demo_pairs()
    assert len(pairs) > 2500
    one, two = (RubricLabeller(temperature=temperature, seed=seed).label(pairs) for seed in (0, 1))
    agreed = sum(first.verdict == second.verdict for first, second in zip(one, two, strict=True))
    expected = [sum(share**2 for share in shares(true_difference(pair), temperature)) for pair in pairs]
    spread = math.sqrt(sum(share * (1 - share) for share in expected))
    assert agreed == pytest.approx(sum(expected), abs=4 * spread)


def test_the_noise_belongs_to_the_pair_and_not_to_a_response() -> None:
    texts = [written(GOOD, seed) for seed in range(3)]
    labeller = RubricLabeller(temperature=1, seed=0)
    [one, two, three] = labeller.label(
        [pair_of(texts[0], texts[1]), pair_of(texts[1], texts[2]), pair_of(texts[0], texts[2])]
    )
    assert len({one.margin, two.margin, three.margin}) == 3
    assert one.margin is not None and two.margin is not None
    assert one.margin + two.margin != pytest.approx(three.margin)


def test_the_noise_of_a_seed_grows_with_the_temperature() -> None:
    pair = pair_of(written(GOOD, 0), written(GOOD, 1))
    one, three = (RubricLabeller(temperature=value, seed=2).label([pair])[0].margin for value in (1, 3))
    assert one is not None
    assert three == pytest.approx(3 * one)


def test_an_annotator_says_the_same_next_year() -> None:
    pair = pair_of("Thank you for asking!", reference_response(QUESTION), QUESTION)
    margins = [RubricLabeller(temperature=1, seed=seed).label([pair])[0].margin for seed in (0, 1)]
    assert margins == pytest.approx([-8.405872925616, -11.076118791023], abs=1e-9)  # 0 against 10


def test_the_least_temperature_is_as_good_as_none() -> None:
    pairs = demo_pairs()[:200]
    cold = RubricLabeller(temperature=5e-324, seed=1).label(pairs)
    truth = RubricLabeller(temperature=0, seed=1).label(pairs)
    assert [opinion.verdict for opinion in cold] == [opinion.verdict for opinion in truth]
    assert [opinion.probability for opinion in cold] == [opinion.probability for opinion in truth]


@pytest.mark.parametrize("temperature", [-0.1, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be 0"):
        RubricLabeller(temperature=temperature, seed=0)


def test_a_prompt_of_another_world_is_refused() -> None:
    with pytest.raises(ValueError, match=r"demo world only, got 'What is love\?'; label these pairs with another"):
        RubricLabeller(temperature=1, seed=0).label([pair_of("a", "b", "What is love?")])


def test_temperature_and_seed_make_the_annotator() -> None:
    made = [RubricLabeller(temperature=value, seed=seed).identity for value in (0, 1, 0.5) for seed in (0, 1)]
    assert len({identity.key for identity in made}) == len({identity.name for identity in made}) == 6
    assert RubricLabeller(temperature=1, seed=0).identity.key == RubricLabeller(temperature=1.0, seed=0).identity.key
    assert made[2].name == "rubric (temperature 1, seed 0)"
