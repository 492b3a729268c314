"""The demo world: what is written can be read back, the prompts are sound, and the utility ranks as documented."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demo.corpus import demo_prompts, reference_response, training_dialogues
from models.demo.grammar import Qualities, all_facts, statements, tails, vague_statements, write_response
from models.demo.parser import fact_asked, parse_response, utility

BEST = Qualities(is_on_topic=True, is_complete=True, is_specific=True, is_polite=True, has_wrong_fact=False)
ALL_QUALITIES = [
    Qualities(topic, complete, specific, polite, wrong)
    for topic, complete, specific, polite, wrong in itertools.product((False, True), repeat=5)
    if specific or not wrong
]

PROMPTS = demo_prompts("train") + demo_prompts("test")
FERN = "How often should I water my fern?"

prompts = st.sampled_from(PROMPTS)
qualities = st.sampled_from(ALL_QUALITIES)
seeds = st.integers(min_value=0, max_value=2**64 - 1)


def test_there_are_at_least_600_prompts_in_two_splits_without_overlap() -> None:
    train, test = demo_prompts("train"), demo_prompts("test")

    assert (len(train), len(test)) == (518, 130)
    assert len(set(train + test)) == 648


def test_every_test_prompt_asks_for_a_fact_that_train_prompts_ask_for_too() -> None:
    trained = {fact_asked(prompt) for prompt in demo_prompts("train")}

    assert {fact_asked(prompt) for prompt in demo_prompts("test")} <= trained


def test_no_question_and_no_core_sentence_belongs_to_two_facts() -> None:
    questions = [q.format(subject=fact.subject) for fact in all_facts() for q in fact.aspect.questions]
    cores = [
        core for fact in all_facts() for value in (fact.value, *fact.wrong_values) for core in statements(fact, value)
    ] + [core for fact in all_facts() for core in vague_statements(fact)]

    assert len(set(questions)) == len(questions)
    assert len(set(cores)) == len(cores)


def test_no_text_puts_the_article_a_before_a_vowel_that_wants_an() -> None:
    texts = PROMPTS + [core for fact in all_facts() for core in statements(fact, fact.value) + vague_statements(fact)]

    assert [text for text in texts if re.search(r"\b[Aa] [aeio]", text)] == []


def test_every_tail_belongs_to_one_tone_only() -> None:
    for fact in all_facts():
        for is_specific in (False, True):
            polite = tails(fact, is_specific=is_specific, is_polite=True)
            assert not set(polite) & set(tails(fact, is_specific=is_specific, is_polite=False))


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [
        (
            "That is a good question. You should water your fern every second day. "
            "Use water that is not too cold, and give it in the morning. Have a wonderful day.",
            BEST,
            10.0,
        ),
        (
            "That is a good question. You should water your fern once a month. "
            "Use water that is not too cold, and give it in the morning. Have a wonderful day.",
            Qualities(True, True, True, True, has_wrong_fact=True),
            8.0,
        ),
        (
            "What a waste of my time. The capital of Peru is Lima. It has a",
            Qualities(False, False, True, False, has_wrong_fact=False),
            3.5,
        ),
        (
            "Glad that you asked! There are many opinions about the watering of your fern. "
            "You will surely find something that works somehow.",
            Qualities(True, False, False, True, has_wrong_fact=False),
            7.0,
        ),
        ("You should water your fern every second day.", None, 0.0),
        ("", None, 0.0),
    ],
)
def test_responses_read_by_hand_have_the_qualities_and_the_utility_worked_out(
    response: str, expected: Qualities | None, score: float
) -> None:
    assert parse_response(FERN, response) == expected
    assert utility(FERN, response) == score


@given(prompts, qualities, seeds)
def test_what_is_written_is_read_back(prompt: str, wanted: Qualities, seed: int) -> None:
    response = write_response(fact_asked(prompt), wanted, seed=seed)

    assert parse_response(prompt, response) == wanted
    assert parse_response(prompt, f"  {response}\n") == wanted


@given(prompts, qualities, seeds)
def test_a_response_has_20_to_60_words_or_was_cut_short(prompt: str, wanted: Qualities, seed: int) -> None:
    words = write_response(fact_asked(prompt), wanted, seed=seed).split()

    assert 8 <= len(words) <= 60
    assert len(words) >= 20 or not wanted.is_complete


@given(prompts, qualities, seeds)
def test_readable_text_scores_between_one_and_a_half_and_ten(prompt: str, wanted: Qualities, seed: int) -> None:
    assert 1.5 <= utility(prompt, write_response(fact_asked(prompt), wanted, seed=seed)) <= 10


@given(prompts, qualities, seeds, st.data())
def test_a_word_that_the_grammar_does_not_know_makes_text_unreadable(
    prompt: str, wanted: Qualities, seed: int, data: st.DataObject
) -> None:
    words = write_response(fact_asked(prompt), wanted, seed=seed).split()
    words[data.draw(st.integers(0, len(words) - 1))] = "xyzzy"

    assert parse_response(prompt, " ".join(words)) is None


@given(prompts, seeds, st.data())
def test_cutting_a_response_never_makes_it_better(prompt: str, seed: int, data: st.DataObject) -> None:
    response = write_response(fact_asked(prompt), BEST, seed=seed)
    words = response.split()
    cut = " ".join(words[: data.draw(st.integers(0, len(words) - 1))])

    assert utility(prompt, cut) < utility(prompt, response)


def test_a_single_fault_costs_what_the_documentation_says() -> None:
    def score(**faults: bool) -> float:
        return utility(FERN, write_response(fact_asked(FERN), replace(BEST, **faults), seed=1))

    assert score() == 10
    assert score(is_on_topic=False) == 6
    assert score(has_wrong_fact=True) == 8
    assert score(is_specific=False) == score(is_complete=False) == 8.5
    assert score(is_polite=False) == 9


def test_a_vague_response_with_a_wrong_fact_is_refused() -> None:
    with pytest.raises(ValueError, match="vague"):
        Qualities(is_on_topic=True, is_complete=True, is_specific=False, is_polite=True, has_wrong_fact=True)


def test_a_prompt_from_elsewhere_is_refused_with_its_text() -> None:
    with pytest.raises(ValueError, match="'Who are you"):
        utility("Who are you?", "I am happy to help with this.")


@pytest.mark.parametrize("prompt", PROMPTS[::50])
def test_the_reference_response_has_nothing_wrong_and_never_changes(prompt: str) -> None:
    assert utility(prompt, reference_response(prompt)) == 10
    assert reference_response(prompt) == reference_response(prompt)


def test_training_dialogues_are_the_same_for_a_seed_readable_and_of_train_prompts_only() -> None:
    dialogues = list(training_dialogues(2000, seed=7))
    asked = [dialogue[-2].content for dialogue in dialogues]

    assert dialogues == list(training_dialogues(2000, seed=7))
    assert dialogues != list(training_dialogues(2000, seed=8))
    assert set(asked) == set(demo_prompts("train"))
    assert all(utility(dialogue[-2].content, dialogue[-1].content) > 0 for dialogue in dialogues)
    assert {dialogue[0].role for dialogue in dialogues} == {"system", "user"}


def test_good_responses_to_one_prompt_usually_differ_in_wording() -> None:
    texts = [write_response(fact_asked(FERN), BEST, seed=seed) for seed in range(8)]

    assert len(set(texts)) >= 7
