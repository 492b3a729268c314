"""Seeds and scripted replies, and the tiny model on which the other generation tests stand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_generators import request, sampling

from models.generation.scripted import ScriptedGenerator
from models.generation.seeds import sample_seed
from models.records import GeneratedResponse, GenerationRequest, Prompt


def test_a_seed_is_the_same_today_and_tomorrow() -> None:
    # Golden values: a change of them would silently break the resumption of old runs.
    assert sample_seed(0, "key", "model", 0) == GOLDEN_SEEDS[0]
    assert sample_seed(0, "key", "model", 1) == GOLDEN_SEEDS[1]


@given(
    st.integers(),
    st.text(),
    st.text(),
    st.integers(0, 10**6),
    st.integers(),
    st.text(),
    st.text(),
    st.integers(0, 10**6),
)
def test_seeds_fit_json_and_differ_wherever_an_argument_does(
    run: int, key: str, model: str, index: int, run2: int, key2: str, model2: str, index2: int
) -> None:
    first, second = sample_seed(run, key, model, index), sample_seed(run2, key2, model2, index2)
    assert 0 <= first < 2**53
    assert (first == second) == ((run, key, model, index) == (run2, key2, model2, index2))


def test_low_bits_of_seeds_do_not_collide() -> None:
    # A CPU generator of torch looks at the low 32 bits only; 20,000 draws of 2**32 give 0.05 collisions on average.
    seeds = [sample_seed(0, f"prompt {i // 8}", "model", i % 8) for i in range(20_000)]
    assert len({seed % 2**32 for seed in seeds}) >= 19_998


GOLDEN_SEEDS = (6713356733467601, 8778445331531519)
PROMPT = "How do I bake bread without an oven, and how long does it take?"


def test_scripted_replies_quote_the_prompt_and_some_are_equal() -> None:
    (responses,) = ScriptedGenerator(sampling(max_tokens=200)).generate([request(PROMPT, *range(500))])
    texts = Counter(response.text for response in responses)
    quoted = sum(any(word in text for word in ("bake", "bread", "oven", "without")) for text in texts.elements())
    assert texts.most_common(1)[0][0] == "I would rather not answer that."
    assert 20 < texts.most_common(1)[0][1] < 100
    assert quoted > 400
    assert len(texts) > 300


@settings(max_examples=50)
@given(st.text(), st.lists(st.integers(0, 2**53 - 1), max_size=5), st.integers(1, 80), st.booleans())
def test_a_scripted_reply_depends_on_its_own_prompt_and_seed_alone(
    text: str, seeds: list[int], max_tokens: int, is_greedy: bool
) -> None:
    generator = ScriptedGenerator(sampling(max_tokens=max_tokens, temperature=0.0 if is_greedy else 1.0))
    wanted = GenerationRequest(Prompt.from_text(text), tuple(seeds))
    together = generator.generate([request("another", 1), wanted, request(PROMPT, 2, 3)])
    assert together[1] == [generator.generate([request(text, seed)])[0][0] for seed in seeds]
    for response in together[1]:
        assert response.token_count == len(response.text.split()) <= max_tokens
        assert response.finish_reason == "stop" or response.token_count == max_tokens
    if is_greedy:
        assert len({response.text for response in together[1]}) <= 1


def test_a_scripted_reply_is_cut_at_the_limit_and_at_stop_strings() -> None:
    seed = next(s for s in range(9) if len(scripted_text(s).split()) > 10)
    whole = scripted_text(seed)
    assert scripted(seed, max_tokens=5) == GeneratedResponse(" ".join(whole.split()[:5]), seed, 5, "length")
    first_sentence = whole[: whole.index(".")]
    stopped = scripted(seed, max_tokens=200, stop=("zzz", "."))
    assert stopped == GeneratedResponse(first_sentence, seed, len(first_sentence.split()), "stop")


@pytest.mark.parametrize("text", ["", "1 + 1 = ?", "Är du där?"])
def test_a_prompt_with_hardly_a_word_gets_a_reply_all_the_same(text: str) -> None:
    (responses,) = ScriptedGenerator(sampling(max_tokens=100)).generate([request(text, 1, 2, 3)])
    assert all(response.text for response in responses)


def test_nothing_asked_nothing_given() -> None:
    assert ScriptedGenerator(sampling()).generate([]) == []
    assert ScriptedGenerator(sampling()).generate([request(PROMPT)]) == [[]]


def scripted(seed: int, *, max_tokens: int, stop: tuple[str, ...] = ()) -> GeneratedResponse:
    return ScriptedGenerator(sampling(max_tokens=max_tokens, stop=stop)).generate([request(PROMPT, seed)])[0][0]


def scripted_text(seed: int) -> str:
    return scripted(seed, max_tokens=200).text
