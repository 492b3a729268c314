from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tiny_generators import build_tiny_model, request, sampling

from models.errors import ModelLoadError, PromptTooLongError
from models.generation.isolated import IsolatedGenerator
from models.generation.vllm_offline import VllmGenerator
from models.records import SamplingParameters

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed (extra cpu or gpu)"),
]
SEEDS = (11, 12, 13, 14)
REQUESTS = [request("hello " * (at + 1), *SEEDS) for at in range(16)]


def arguments(model: str, parameters: SamplingParameters) -> dict[str, Any]:
    return {
        "model": model,
        "parameters": parameters,
        "revision": None,
        "dtype": "float32",
        "max_model_len": None,
        "gpu_memory_utilization": 0.2,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", autouse=True)
def _small_and_silent() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def sampled(folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedGenerator]:
    log_path = tmp_path_factory.mktemp("logs") / "vllm.log"
    parameters = sampling(max_tokens=20, stop=("q",))
    own = IsolatedGenerator(VllmGenerator, arguments(folder, parameters), log_path=log_path, timeout_s=200)
    yield own
    own.close()


def test_a_text_does_not_depend_on_its_batch_or_the_order(sampled: IsolatedGenerator) -> None:
    forth = sampled.generate(REQUESTS)
    back = sampled.generate(REQUESTS[::-1])[::-1]
    alone = [sampled.generate([wanted])[0] for wanted in REQUESTS]
    texts = [[response.text for row in run for response in row] for run in (forth, back, alone)]
    for other in texts[1:]:
        # Rounding may turn a close call in any engine; the noise never differs.
        assert sum(a == b for a, b in zip(texts[0], other, strict=True)) >= 0.95 * len(texts[0])
    assert [[response.seed for response in row] for row in forth] == [list(SEEDS)] * len(REQUESTS)


def test_seeds_give_different_samples_and_equal_seeds_equal_ones(sampled: IsolatedGenerator) -> None:
    (responses,) = sampled.generate([request("hello", *range(20), 3)])
    assert len({response.text for response in responses}) >= 18
    assert responses[-1].text == responses[3].text


def test_prompts_with_seeds_of_their_own_share_no_noise(sampled: IsolatedGenerator) -> None:
    # The same prompt under many seeds: the first characters spread as they would not if one noise served the batch.
    rows = sampled.generate([request("hello", seed) for seed in range(40)])
    assert len({row[0].text[:2] for row in rows}) > 15


def test_lengths_reasons_and_stop_strings_are_right(sampled: IsolatedGenerator) -> None:
    responses = [response for row in sampled.generate([request("bread", *range(200))]) for response in row]
    assert all("q" not in response.text for response in responses)
    assert all(response.token_count == 20 for response in responses if response.finish_reason == "length")
    stopped = [response for response in responses if response.finish_reason == "stop"]
    assert 5 < len(stopped) < 195
    assert all(1 <= response.token_count <= 20 for response in stopped)


def test_a_prompt_without_room_for_its_response_is_refused(sampled: IsolatedGenerator) -> None:
    with pytest.raises(PromptTooLongError, match="context of 256 tokens; the first has 251 tokens") as caught:
        sampled.generate([request("hello", 1), request("x" * 250, 1)])
    assert caught.value.positions == (1,)


@pytest.mark.slow
def test_a_model_the_engine_cannot_load_gives_one_clear_error(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"could not be loaded: .*check the name or the folder"):
        IsolatedGenerator(VllmGenerator, arguments(model, sampling()), log_path=None, timeout_s=200)


@pytest.mark.slow
def test_a_model_that_two_processes_share_samples_the_same_texts(sampled: IsolatedGenerator, folder: str) -> None:
    both = arguments(folder, sampling(max_tokens=20, stop=("q",))) | {"tensor_parallel_size": 2}
    with closing(IsolatedGenerator(VllmGenerator, both, log_path=None, timeout_s=600)) as shared:
        texts = [[response.text for row in one.generate(REQUESTS[:4]) for response in row] for one in (shared, sampled)]
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= 0.9 * len(texts[0]), "but for rounding"


def test_a_temperature_the_engine_would_change_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match=r"0 \(greedy\) or from 0.01 up, got 0.001"):
        VllmGenerator(**arguments(folder, sampling(temperature=0.001)))
