"""Texts laid end to end beside one text at a time, on a small random Llama."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaModel, MistralConfig, MistralModel

from models.embedding.tokens import TokenSequence
from models.embedding.varlen import ATTENTION, _packs_as_it_pads, set_packing, try_packing, varlen_means

VOCABULARY = 97


def made(kind: Any = LlamaModel, config: Any = LlamaConfig, **more: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2}
    return kind(config(**sizes, **heads, initializer_range=0.2, attn_implementation="sdpa", **more)).eval()


def drawn_sequences(count: int) -> list[TokenSequence]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 40, count)
    return [
        TokenSequence(rng.integers(0, VOCABULARY, n).tolist(), int(rng.integers(1, n + 1)), is_truncated=False)
        for n in lengths
    ]


def one_at_a_time(network: Any, sequences: list[TokenSequence]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        states = [network(input_ids=torch.tensor([sequence.ids])).last_hidden_state[0] for sequence in sequences]
    return np.stack(
        [state[-sequence.response_length :].mean(dim=0) for state, sequence in zip(states, sequences, strict=True)]
    )


@pytest.mark.parametrize("tokens_per_batch", [1, 100, 10_000])
def test_means_are_those_of_one_text_at_a_time(tokens_per_batch: int) -> None:
    network, sequences = made(), drawn_sequences(30)
    expected = one_at_a_time(network, sequences)
    set_packing(network)
    np.testing.assert_allclose(varlen_means(network, sequences, tokens_per_batch), expected, atol=1e-5)


def test_a_model_that_packs_is_left_packing() -> None:
    network = made()
    assert _packs_as_it_pads(network)
    assert network.config._attn_implementation == ATTENTION


def test_a_model_that_reads_from_one_text_into_the_next_is_left_as_it_was() -> None:
    network = made()
    forward = network.forward

    def forgetful(cu_seq_lens_q: torch.Tensor | None = None, **rest: Any) -> Any:
        return forward(**rest, cu_seq_lens_q=None if cu_seq_lens_q is None else cu_seq_lens_q[[0, -1]])

    network.forward = forgetful
    assert not _packs_as_it_pads(network)
    assert network.config._attn_implementation == "sdpa"


def test_a_model_that_knows_no_such_arguments_is_left_as_it_was() -> None:
    network = made()
    forward = network.forward
    network.forward = lambda input_ids: forward(input_ids=input_ids)
    assert not _packs_as_it_pads(network)
    assert network.config._attn_implementation == "sdpa"


def test_a_model_whose_layers_have_windows_is_left_as_it_was() -> None:
    network = made(MistralModel, MistralConfig, sliding_window=4096)
    assert not _packs_as_it_pads(network)
    assert network.config._attn_implementation == "sdpa"


def test_nothing_packs_without_a_gpu() -> None:
    assert torch.cuda.is_available() or not try_packing(made().bfloat16())


@pytest.mark.gpu
def test_on_a_gpu_flash_attention_gives_the_means_of_one_text_at_a_time() -> None:
    sequences = drawn_sequences(60)
    expected = one_at_a_time(made(), sequences)
    network = made().bfloat16().cuda()
    assert try_packing(network)
    errors = np.linalg.norm(varlen_means(network, sequences, 500) - expected, axis=1)
    assert (errors / np.linalg.norm(expected, axis=1)).max() < 0.03


@pytest.mark.gpu
def test_on_a_gpu_a_model_with_windows_does_not_pack() -> None:
    network = made(MistralModel, MistralConfig, sliding_window=8).bfloat16().cuda()
    assert not try_packing(network)
