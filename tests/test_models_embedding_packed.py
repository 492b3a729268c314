"""Packed rows against their two twins: the padded batch, and each sequence alone; over the families of models."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_embedders import PROMPT, TEXTS, make_embedder, make_model, make_tokenizer, requests_of

from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.packed import PackedNetwork, Run, _can_prepack, packed, packs, prepack, runs_of
from models.embedding.tokens import TokenSequence
from models.number_format import fast_format

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
PACKED = {
    "grouped heads": ("Llama", GROUPED),
    "biases": ("Qwen2", GROUPED),
    "heads that are normed": ("Qwen3", GROUPED | {"head_dim": 8}),
    "experts": ("Mixtral", GROUPED | {"num_local_experts": 3, "sliding_window": None}),
    "a window": ("Mistral", GROUPED | {"sliding_window": 8}),
    "some layers with a window": ("Gemma3Text", GROUPED | {"head_dim": 8, "sliding_window": 8}),
    "learned positions, no linear layer": ("GPT2", SIZES),
    "rotated in part, layers side by side": ("GPTNeoX", SIZES),
    "an encoder": ("Bert", SIZES),
}
PADDED = {
    "positions that begin at two": ("Roberta", SIZES),
    "a bias by distance": ("Bloom", SIZES),
    "a state carried on": ("Mamba", {**SIZES, "state_size": 4}),
    "a memory of short convolutions": ("Lfm2", GROUPED | {"layer_types": ["conv", "full_attention"]}),
}


def network_of(family: tuple[str, dict[str, Any]]) -> Any:
    name, sizes = family
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**sizes)
    return transformers.AutoModel.from_config(config, dtype=torch.float32).eval()


def sequences_of(lengths: list[int], seed: int = 0) -> list[TokenSequence]:
    """Random ids; the response is a part of them, as it is behind a prompt."""
    random = np.random.default_rng(seed)
    return [
        TokenSequence(random.integers(3, 300, size=length).tolist(), int(random.integers(1, length + 1)), False)
        for length in lengths
    ]


def means_alone(network: Any, sequences: list[TokenSequence]) -> np.ndarray:
    """One sequence at a time, summed in float64."""
    with torch.no_grad():
        states = [network(input_ids=torch.tensor([one.ids])).last_hidden_state[0] for one in sequences]
    return np.stack([
        row[-one.response_length :].double().mean(dim=0).numpy() for row, one in zip(states, sequences, strict=True)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def llama() -> tuple[Any, PackedNetwork]:
    """A network as it was, and the same one packed."""
    network = network_of(PACKED["grouped heads"])
    packed_network = packed(network_of(PACKED["grouped heads"]))
    assert packed_network is not None
    return network, packed_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("tiny-llama"))


# The same vectors


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_a_packed_row_means_what_each_sequence_means_alone(
    llama: tuple[Any, PackedNetwork], lengths: list[int], seed: int
) -> None:
    network, packed_network = llama
    sequences = sequences_of(lengths, seed)
    with torch.inference_mode():
        means = packed_network.means(sequences)
    assert means.dtype == torch.float32
    np.testing.assert_allclose(means.numpy(), means_alone(network, sequences), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    words=st.lists(st.integers(0, 90), max_size=10),
    tokens_per_batch=st.sampled_from([1, 30, 4096]),
    context=st.sampled_from(["response", "start_and_response", "prompt_and_response"]),
)
def test_packed_and_padded_embeddings_are_the_same(
    model: str, words: list[int], tokens_per_batch: int, context: Any
) -> None:
    texts = ["fox and " * count for count in words] + TEXTS
    here, padded = (make_embedder(model, context=context, tokens_per_batch=tokens_per_batch) for _ in range(2))
    assert here._packed is not None
    padded._packed = None
    expected, result = (embedder.embed(requests_of(texts, PROMPT)) for embedder in (padded, here))
    assert result.token_counts.tolist() == expected.token_counts.tolist()
    np.testing.assert_allclose(result.vectors, expected.vectors, atol=1e-5)  # NaN where NaN is
    kept = expected.token_counts > 0
    first, second = (one.vectors[kept].astype(np.float64) for one in (result, expected))
    cosines = (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert (cosines >= 0.99999).all()


@pytest.mark.parametrize("family", PACKED.values(), ids=PACKED)
def test_a_family_that_passes_the_trial_is_packed_and_embeds_as_alone(family: tuple[str, dict[str, Any]]) -> None:
    network, packed_network = network_of(family), packed(network_of(family))
    assert packed_network is not None
    sequences = sequences_of([8, 8, 8, 5, 1, 1, 3])
    with torch.inference_mode():
        means = packed_network.means(sequences).numpy()
    np.testing.assert_allclose(means, means_alone(network, sequences), atol=1e-5)


@pytest.mark.parametrize("family", PADDED.values(), ids=PADDED)
def test_a_family_that_is_not_known_to_be_safe_reads_padded_batches(
    family: tuple[str, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    network = network_of(family)
    sequences = sequences_of([8, 5, 5, 1])
    before = means_alone(network, sequences)
    with caplog.at_level(logging.DEBUG, logger="models.embedding.packed"):
        assert packed(network) is None
    assert len([record for record in caplog.records if "reads padded batches" in record.message]) == 1
    np.testing.assert_array_equal(means_alone(network, sequences), before)


@pytest.mark.parametrize("family", ["a window", "some layers with a window"])
def test_a_text_longer_than_the_window_is_read_as_it_was(family: str, tmp_path: Any) -> None:
    network = network_of(PACKED[family])
    network.save_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    embedder = make_embedder(str(tmp_path))
    assert embedder._packed is not None
    assert embedder._packed.takes(8) and not embedder._packed.takes(9)
    sequences = sequences_of([30, 9, 8, 8, 1])
    vectors = embedder._vectors(sequences, 32)
    np.testing.assert_allclose(vectors, means_alone(network, sequences), atol=1e-5)


def test_bfloat16_rows_stay_close_to_those_of_one_at_a_time() -> None:
    network = network_of(PACKED["grouped heads"]).to(torch.bfloat16)
    sequences = sequences_of([20, 20, 7, 3, 3])
    expected = means_alone(network, sequences)
    packed_network = packed(network)
    assert packed_network is not None
    with torch.inference_mode():
        means = packed_network.means(sequences).double().numpy()
    cosines = (means * expected).sum(axis=1) / np.linalg.norm(means, axis=1) / np.linalg.norm(expected, axis=1)
    assert (cosines > 0.999).all()


# Its parts


@pytest.mark.parametrize("bias", [True, False])
def test_a_prepacked_layer_multiplies_as_before_and_keeps_one_copy(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.embedding.packed.is_of_intel", lambda: False)
    assert _can_prepack(torch.float32), "torch's CPU wheels hold oneDNN"
    layer = torch.nn.Linear(48, 32, bias=bias)
    twin = functools.partial(torch.nn.functional.linear, weight=layer.weight, bias=layer.bias)
    network = torch.nn.Sequential(layer)
    network.dtype = torch.float32  # type: ignore[assignment]
    prepack(network)
    assert layer.weight is None
    with torch.inference_mode():
        for rows in (1, 2, 77):
            states = torch.randn(1, rows, 48)
            torch.testing.assert_close(network(states), twin(states))


def test_where_mkl_multiplies_fastest_layers_of_float32_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.embedding.packed.is_of_intel", lambda: True)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    layer = torch.nn.Linear(48, 32)
    network = torch.nn.Sequential(layer)
    network.dtype = torch.float32  # type: ignore[assignment]
    prepack(network)
    assert layer.weight is not None and "forward" not in vars(layer)
    assert _can_prepack(torch.bfloat16) or fast_format().dtype == "float32", "bfloat16 is oneDNN's on every CPU"


def test_a_worked_set_of_runs_and_packs() -> None:
    assert runs_of([9, 4, 4, 1]) == [Run(0, 1, 9), Run(9, 2, 4), Run(17, 1, 1)]
    assert runs_of([]) == []
    assert packs([4, 1, 9, 4, 30], 9) == [[4], [2], [0, 3, 1]]
    assert packs([], 9) == []


@given(lengths=st.lists(st.integers(1, 300), max_size=80), size=st.integers(1, 2000))
def test_every_text_is_in_one_pack_and_no_pack_exceeds_its_size(lengths: list[int], size: int) -> None:
    groups = packs(lengths, size)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        of_group = [lengths[place] for place in group]
        assert len(group) == 1 or sum(of_group) <= size
        assert of_group == sorted(of_group, reverse=True)
        assert sum(run.sequences * run.length for run in runs_of(of_group)) == sum(of_group)


def test_a_closed_embedder_holds_no_packed_network(model: str) -> None:
    embedder: HiddenStateEmbedder = make_embedder(model)
    embedder.close()
    assert embedder._packed is None


def test_a_folder_of_adapters_embeds_by_the_layers_they_are_beside(model: str, tmp_path: Path) -> None:
    base = transformers.AutoModel.from_pretrained(model, dtype=torch.float32)
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    texts = [text for text in TEXTS if text]
    embedder = make_embedder(str(tmp_path))
    read = [embedder._tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    expected = means_alone(adapted.base_model.model.eval(), [TokenSequence(ids, len(ids), False) for ids in read])
    np.testing.assert_allclose(embedder.embed(requests_of(texts, PROMPT)).vectors, expected, atol=1e-5)
    without = make_embedder(model).embed(requests_of(texts, PROMPT)).vectors
    assert not np.allclose(expected, without, atol=1e-2)
