"""Embedders on a tiny random Llama made on the spot, against the obvious twin: one text at a time, with the head."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_embedders import (
    CONTEXT_LENGTH,
    PROMPT,
    TEXTS,
    make_embedder,
    make_model,
    make_tokenizer,
    plain_ids,
    requests_of,
)

from models.embedding import Context, EmbeddingRequest
from models.errors import ModelLoadError
from models.prompting import render_prompt
from models.records import Prompt

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def twin(model: str) -> Any:
    """The mean of the last of all hidden states of the model with its head, one sequence at a time, no padding."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def mean(ids: list[int], response_length: int) -> np.ndarray:
        with torch.no_grad():
            states = network(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
        return np.asarray(states[-response_length:].double().mean(dim=0))

    return mean


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


def test_the_mean_goes_over_the_last_hidden_states_of_the_response(model: str, twin: Any, tokenizer: Any) -> None:
    result = make_embedder(model).embed(requests_of(TEXTS))
    for text, vector, count in zip(TEXTS, result.vectors, result.token_counts, strict=True):
        ids = plain_ids(tokenizer, text)
        assert count == len(ids)
        if ids:
            np.testing.assert_allclose(vector, twin(ids, len(ids)), atol=1e-5)
    assert result.vectors.dtype == np.float32
    assert not result.is_truncated.any()


def test_with_its_prompt_the_mean_still_goes_over_the_response_alone(model: str, twin: Any, tokenizer: Any) -> None:
    prompts = [PROMPT, Prompt.from_text("Say hi"), Prompt.from_text("x " * 90)]
    requests = [EmbeddingRequest(prompts[row % 3], text) for row, text in enumerate(TEXTS)]
    result = make_embedder(model, context="prompt_and_response").embed(requests)
    for row, request in enumerate(requests):
        response = plain_ids(tokenizer, request.text)
        prompt = render_prompt(tokenizer, request.prompt, system_prompt=None)
        assert result.token_counts[row] == len(response)
        if response:
            ids = (prompt + response)[-CONTEXT_LENGTH:]
            np.testing.assert_allclose(result.vectors[row], twin(ids, len(response)), atol=1e-5)
            assert result.is_truncated[row] == (len(prompt) + len(response) > CONTEXT_LENGTH)
    assert result.is_truncated.any()
    assert not result.is_truncated.all()


def test_the_prompt_is_read_only_in_its_context(model: str) -> None:
    other = Prompt.from_text("Something else entirely")
    expected: list[tuple[Context, bool]] = [
        ("response", True),
        ("start_and_response", True),
        ("prompt_and_response", False),
    ]
    for context, is_same in expected:
        embedder = make_embedder(model, context=context)
        first = embedder.embed(requests_of(TEXTS[:1])).vectors
        second = embedder.embed(requests_of(TEXTS[:1], other)).vectors
        assert np.allclose(first, second, atol=1e-5) == is_same


def test_an_empty_text_is_nan_and_counts_no_token(model: str) -> None:
    for context in ("response", "prompt_and_response"):
        result = make_embedder(model, context=context).embed(requests_of(["", "Hi", ""]))
        assert result.token_counts.tolist()[::2] == [0, 0]
        assert np.isnan(result.vectors[[0, 2]]).all()
        assert np.isfinite(result.vectors[1]).all()
        assert not result.is_truncated.any()


def test_no_requests_and_only_empty_ones_keep_the_dimension(model: str) -> None:
    embedder = make_embedder(model)
    assert embedder.embed([]).vectors.shape == (0, 64)
    assert embedder.embed(requests_of(["", ""])).vectors.shape == (2, 64)


def test_neither_order_nor_batch_size_nor_padding_changes_a_row(model: str) -> None:
    requests = requests_of(TEXTS)
    alone = np.concatenate([make_embedder(model).embed([request]).vectors for request in requests])
    order = np.random.default_rng(0).permutation(len(requests))
    for tokens_per_batch in (1, 40, 100_000):
        embedder = make_embedder(model, tokens_per_batch=tokens_per_batch)
        np.testing.assert_allclose(embedder.embed(requests).vectors, alone, atol=1e-5)
        shuffled = embedder.embed([requests[place] for place in order]).vectors
        np.testing.assert_allclose(shuffled, alone[order], atol=1e-5)


def test_truncated_texts_embed_as_their_first_tokens(model: str, twin: Any, tokenizer: Any) -> None:
    result = make_embedder(model, max_tokens=5).embed(requests_of(TEXTS))
    whole = [plain_ids(tokenizer, text) for text in TEXTS]
    assert result.token_counts.tolist() == [min(len(ids), 5) for ids in whole]
    assert result.is_truncated.tolist() == [len(ids) > 5 for ids in whole]
    np.testing.assert_allclose(result.vectors[0], twin(whole[0][:5], 5), atol=1e-5)


def test_a_response_longer_than_the_model_s_context_is_cut_and_reported(model: str) -> None:
    result = make_embedder(model, max_tokens=10_000).embed(requests_of(["fox 漢字 " * 100]))
    assert result.token_counts.tolist() == [CONTEXT_LENGTH]
    assert result.is_truncated.tolist() == [True]


def test_a_context_may_be_given_for_one_call_alone(model: str) -> None:
    alone, after_prompt = (make_embedder(model, context=name) for name in ("response", "prompt_and_response"))
    requests = requests_of(TEXTS[:3])
    before = alone.embed(requests).vectors

    np.testing.assert_array_equal(
        alone.embed(requests, "prompt_and_response").vectors, after_prompt.embed(requests).vectors
    )
    np.testing.assert_array_equal(alone.embed(requests).vectors, before)


def test_bfloat16_stays_close_to_float32(model: str) -> None:
    vectors = [
        make_embedder(model, dtype=dtype).embed(requests_of(TEXTS[:2])).vectors for dtype in ("float32", "bfloat16")
    ]
    norms = [np.linalg.norm(vector, axis=1) for vector in vectors]
    assert ((vectors[0] * vectors[1]).sum(axis=1) / norms[0] / norms[1] > 0.999).all()
    assert vectors[1].dtype == np.float32


def test_states_that_overflow_are_an_error_and_not_a_vector(model: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, LlamaForCausalLM

    network = LlamaForCausalLM.from_pretrained(model)
    network.model.norm.weight.data.fill_(float("inf"))
    network.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    with pytest.raises(FloatingPointError, match="use bfloat16 or float32"):
        make_embedder(str(tmp_path)).embed(requests_of(["Hi"]))


def test_a_folder_without_a_model_is_a_load_error(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelLoadError):
        make_embedder(str(tmp_path))
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError):
        make_embedder(str(tmp_path))
    with pytest.raises(ModelLoadError):
        make_embedder(model, dtype="float17")


def test_a_checkpoint_that_lacks_weights_is_a_load_error(model: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for path in Path(model).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lacks 1 weights, norm\.weight"):
        make_embedder(str(tmp_path))


@pytest.mark.parametrize("limits", [{"max_tokens": 0}, {"tokens_per_batch": 0}])
def test_limits_below_one_are_refused(model: str, limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be at least 1, got 0"):
        make_embedder(model, **limits)


def test_a_closed_embedder_says_so(model: str) -> None:
    embedder = make_embedder(model)
    embedder.close()
    embedder.close()
    with pytest.raises(RuntimeError, match="closed"):
        embedder.embed(requests_of(["Hi"]))


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=6))
def test_any_text_has_a_finite_embedding_or_no_token(model: str, texts: list[str]) -> None:
    result = make_embedder(model).embed(requests_of(texts))
    assert (np.isnan(result.vectors).all(axis=1) == (result.token_counts == 0)).all()
    assert (result.token_counts > 0).tolist() == [bool(text) for text in texts]


@pytest.mark.real_data
def test_real_responses_embed_as_one_at_a_time(model: str, twin: Any, tokenizer: Any) -> None:
    path = DATA / "hh_rlhf_harmless_base_test.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [
            json.loads(line)["chosen"].rpartition("\n\nAssistant:")[2].strip()
            for _, line in zip(range(60), lines, strict=False)
        ]
    result = make_embedder(model, tokens_per_batch=512).embed(requests_of(texts))
    for row, text in enumerate(texts):
        ids = plain_ids(tokenizer, text)[:100]
        if ids:
            np.testing.assert_allclose(result.vectors[row], twin(ids, len(ids)), atol=2e-5)
