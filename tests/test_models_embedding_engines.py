"""Embedders behind another engine or in another process, against `HiddenStateEmbedder` in this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_embedders import TEXTS, make_embedder, make_model, requests_of

from models.embedding import Context
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.isolated import IsolatedEmbedder
from models.embedding.vllm_pooling import VllmPoolingEmbedder, pooling_fault
from models.errors import ModelLoadError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("tiny-llama"))


# vLLM's pooling engine


@pytest.mark.vllm
@pytest.mark.slow
# What `start_and_response` puts before a response is the tokenizer's; to the engine it is as a prompt.
@pytest.mark.parametrize("context", ["response", "prompt_and_response"])
def test_vllm_pools_as_transformers_does(model: str, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shared: dict[str, Any] = {
        "revision": None,
        "dtype": "float32",
        "context": context,
        "max_tokens": 50,
        "tokens_per_batch": 256,
    }
    here = HiddenStateEmbedder(model, **shared).embed(requests_of(TEXTS))
    only_vllm = {"max_model_len": None, "gpu_memory_utilization": 0.3}
    embedder = IsolatedEmbedder(
        VllmPoolingEmbedder, {"model": model, **shared, **only_vllm}, log_path=None, timeout_s=240
    )
    try:
        there, nothing = embedder.embed(requests_of(TEXTS)), embedder.embed(requests_of([""]))
    finally:
        embedder.close()
    assert there.token_counts.tolist() == here.token_counts.tolist()
    assert there.is_truncated.tolist() == here.is_truncated.tolist()
    has_tokens = here.token_counts > 0
    first, second = here.vectors[has_tokens], there.vectors[has_tokens]
    norms = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    assert ((first * second).sum(axis=1) / norms[0] / norms[1] >= 0.9999).all()
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-4)
    assert np.isnan(there.vectors[~has_tokens]).all()
    assert nothing.vectors.shape == (1, first.shape[1])


def probe_states(seed: int, spread: float = 1.0) -> np.ndarray:
    """States (64, 16) of a made-up text: a common mean and `spread` of noise around it."""
    return 3.0 + spread * np.random.default_rng(seed).normal(size=(64, 16)).astype(np.float32)


def pooled_prefixes(states: np.ndarray, pool: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.stack([pool(states[:length]) for length in (1, 2, 3, 4, 61, 62, 63, 64)])


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.01])
def test_only_the_plain_mean_passes_the_start_up_check(spread: float) -> None:
    for seed in range(20):
        states = probe_states(seed, spread)
        unit = states / np.linalg.norm(states, axis=1, keepdims=True)
        prefixes = pooled_prefixes(states, lambda states: states.mean(axis=0))
        assert pooling_fault(prefixes, states[:4]) is None
        for pool in (lambda states: states[-1], lambda states: states[0]):
            assert "does not pool it by the mean" in str(pooling_fault(pooled_prefixes(states, pool), states[:4]))
        assert "divides its states by their norm" in str(pooling_fault(prefixes, unit[:4]))


# A process of its own


def test_an_isolated_embedder_answers_as_one_in_this_process(model: str) -> None:
    arguments = {
        "revision": None,
        "dtype": "float32",
        "context": "response",
        "max_tokens": 100,
        "tokens_per_batch": 64,
    }
    embedder = IsolatedEmbedder(HiddenStateEmbedder, {"model": model, **arguments}, log_path=None, timeout_s=120)
    try:
        result = embedder.embed(requests_of(TEXTS))
    finally:
        embedder.close()
        embedder.close()
    here = make_embedder(model).embed(requests_of(TEXTS))
    np.testing.assert_allclose(result.vectors, here.vectors, atol=1e-6)
    assert result.token_counts.tolist() == here.token_counts.tolist()


def test_an_isolated_embedder_raises_what_its_backend_raises(tmp_path: Path) -> None:
    arguments = {
        "model": str(tmp_path / "none"),
        "revision": None,
        "dtype": "float32",
        "context": "response",
        "max_tokens": 1,
        "tokens_per_batch": 1,
    }
    with pytest.raises(ModelLoadError, match="none"):
        IsolatedEmbedder(HiddenStateEmbedder, arguments, log_path=tmp_path / "log", timeout_s=120)
