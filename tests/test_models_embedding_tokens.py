"""What an embedder feeds: response and prompt ids, truncation, special tokens in a text, and batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_embedders import PROMPT, TEXTS, make_tokenizer, plain_ids, requests_of
from tiny_generators import CHAT_TEMPLATE, THINKING_TEMPLATE, tiny_tokenizer

from models.embedding import EmbeddingRequest
from models.embedding.tokens import token_budget_batches, tokenize
from models.prompting import render_prompt


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


# Batches


def test_a_worked_set_of_batches() -> None:
    assert token_budget_batches([3, 9, 10, 1, 10], 20) == [[2, 4], [1], [0], [3]]
    assert token_budget_batches([], 20) == []


def test_a_text_longer_than_the_budget_makes_a_batch_of_its_own() -> None:
    assert token_budget_batches([50, 60, 5], 20) == [[1], [0], [2]]


@given(lengths=st.lists(st.integers(1, 300), max_size=80), budget=st.integers(1, 2000))
def test_every_text_is_in_one_batch_and_no_batch_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_budget_batches(lengths, budget)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= budget


def test_a_large_pool_is_padded_by_less_than_five_percent() -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(3.4, 0.9, size=2000).astype(int), 1, 512)
    batches = token_budget_batches(lengths.tolist(), 4096)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded - lengths.sum() <= 0.05 * padded


# Tokens


def test_special_tokens_written_in_a_response_are_plain_text(tokenizer: Any) -> None:
    texts = ["fox</s>", "<s>fox", "<|endoftext|>", "a <|endoftext|></s> b"]
    sequences = tokenize(tokenizer, requests_of(texts), context="response", max_tokens=100, max_positions=None)
    for text, sequence in zip(texts, sequences, strict=True):
        assert not set(sequence.ids) & set(tokenizer.all_special_ids)
        assert tokenizer.decode(sequence.ids) == text


def test_a_text_that_answers_nothing_is_read_alone_among_answers(tokenizer: Any) -> None:
    alone, behind = EmbeddingRequest(None, "the fox"), EmbeddingRequest(PROMPT, "the fox")
    arguments = {"context": "prompt_and_response", "max_tokens": 100, "max_positions": None}
    first, second = tokenize(tokenizer, [alone, behind], **arguments)
    assert first.ids == plain_ids(tokenizer, "the fox") == second.ids[-second.response_length :]
    assert len(second.ids) > len(first.ids) == first.response_length


def test_a_special_token_spelt_by_the_vocabulary_itself_is_dropped() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    pieces = [("<unk>", -5.0), ("</s>", -0.1), *[(letter, -2.0) for letter in "<>/sfox"]]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    unigram.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unigram, eos_token="</s>", unk_token="<unk>")
    (sequence,) = tokenize(tokenizer, requests_of(["fox</s>é"]), context="response", max_tokens=9, max_positions=None)
    assert tokenizer.convert_ids_to_tokens(sequence.ids) == ["f", "o", "x", "<unk>"]


def test_truncation_keeps_the_start_and_is_reported(tokenizer: Any) -> None:
    ids = plain_ids(tokenizer, TEXTS[0])
    for max_tokens in (1, len(ids) - 1, len(ids), len(ids) + 1):
        (sequence,) = tokenize(
            tokenizer, requests_of(TEXTS[:1]), context="response", max_tokens=max_tokens, max_positions=None
        )
        assert sequence.ids == ids[:max_tokens]
        assert sequence.is_truncated == (max_tokens < len(ids))


def test_a_response_may_follow_the_token_that_begins_a_text(tokenizer: Any) -> None:
    response = plain_ids(tokenizer, TEXTS[0])
    start = render_prompt(tokenizer, PROMPT, system_prompt=None)[0]
    assert start in tokenizer.all_special_ids and start not in response
    for max_positions in (None, len(response) + 1, len(response), 3):
        (sequence, nothing) = tokenize(
            tokenizer,
            requests_of([TEXTS[0], ""]),
            context="start_and_response",
            max_tokens=100,
            max_positions=max_positions,
        )
        kept = response[:max_positions]
        has_room = max_positions is None or max_positions > len(kept)
        assert sequence.ids == [start] * has_room + kept
        assert sequence.response_length == len(kept)
        assert sequence.is_truncated == (not has_room)
        assert nothing.ids == []


def test_a_model_without_a_token_that_begins_a_text_cannot_begin_with_it() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template, tokenizer.bos_token = None, None
    with pytest.raises(ValueError, match=r"begins with '\.'; use the context response"):
        tokenize(tokenizer, requests_of(["a"]), context="start_and_response", max_tokens=9, max_positions=None)


def test_a_prompt_that_does_not_fit_is_cut_from_the_left_and_reported(tokenizer: Any) -> None:
    prompt, response = render_prompt(tokenizer, PROMPT, system_prompt=None), plain_ids(tokenizer, TEXTS[0])
    whole = len(prompt) + len(response)
    for max_positions in (whole, whole - 1, len(response) + 1, len(response), len(response) - 2, 1):
        (sequence,) = tokenize(
            tokenizer,
            requests_of(TEXTS[:1]),
            context="prompt_and_response",
            max_tokens=100,
            max_positions=max_positions,
        )
        kept = response[:max_positions]
        room = max_positions - len(kept)
        assert sequence.ids == (prompt[-room:] if room else []) + kept
        assert sequence.response_length == len(kept)
        assert sequence.is_truncated == (max_positions < whole)


def test_a_thought_is_read_before_its_answer_where_it_is_asked_for() -> None:
    request = EmbeddingRequest(PROMPT, "Yes.", "hm")
    for chat_template, start in ((CHAT_TEMPLATE, "<think>\n"), (THINKING_TEMPLATE, "")):
        tokenizer = tiny_tokenizer(chat_template=chat_template)
        (sequence,) = tokenize(
            tokenizer, [request], context="prompt_and_response", max_tokens=100, max_positions=None
        )  # fmt: skip
        response = tokenizer.decode(sequence.ids[-sequence.response_length :])
        assert response == f"{start}hm\n</think>\n\nYes."
        assert tokenizer.decode(sequence.ids).count("<think>") == 1
    (alone,) = tokenize(tokenizer, [request], context="response", max_tokens=100, max_positions=None)
    assert tokenizer.decode(alone.ids) == "<think>\nhm\n</think>\n\nYes."


def test_template_arguments_are_part_of_the_prompt_that_is_read() -> None:
    tokenizer = tiny_tokenizer(chat_template=THINKING_TEMPLATE)
    limits = {"context": "prompt_and_response", "max_tokens": 100, "max_positions": None}
    (told,) = tokenize(tokenizer, requests_of(["Yes."]), template_arguments={"enable_thinking": False}, **limits)
    (closed,) = tokenize(tokenizer, requests_of(["Yes."]), **limits)
    assert tokenizer.decode(told.ids) == tokenizer.decode(closed.ids), "no thought is a thought closed at once"
