"""The judge on a real vLLM server with the demo model: free replies mostly cannot be read, constrained ones all can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_models_generation_openai import free_port
from test_models_generation_vllm import answers_within
from test_models_labelling_judge import judge, many, shown

from models.labelling.judge_prompts import allowed_answers

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def url(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log_path = tmp_path_factory.mktemp("vllm") / "log"
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
