"""KL from samples: against a truth worked by hand, in simulations and on a real model, with samples cut at a limit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.alignment.records import ScoreRequest
from models.alignment.scorer import LogpScorer
from models.alignment.tokens import end_ids
from models.evaluation.kl import kl
from models.evaluation.measurements import Divergences, Measurements
from models.intervals import clustered_mean
from models.records import Prompt

STOPS, POLICY_STOPS = 0.01, 0.02  # a token, of the reference and of the policy
TRUTH = {64: 0.15, 128: 0.22, 256: 0.29}


def truth(own: float, other: float, limit: int) -> float:
    """KL of lengths that stop with `own` a token from those that stop with `other`, both cut at the limit."""
    a_token = own * math.log(own / other) + (1 - own) * math.log((1 - own) / (1 - other))
    return sum((1 - own) ** at for at in range(limit)) * a_token  # each token is reached with this probability


def lengths(draw: np.random.Generator, stops: float, limit: int, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tokens sampled, the end's among them, and which samples were cut."""
    drawn = draw.geometric(stops, count)
    return np.minimum(drawn, limit), drawn > limit


def logps(counts: NDArray[Any], is_cut: NDArray[Any], stops: float) -> NDArray[Any]:
    """Of so many tokens, the last one the end unless the sample was cut."""
    return np.where(
        is_cut, counts * math.log1p(-stops), (counts - 1) * math.log1p(-stops) + math.log(stops)
    )  # all plain tokens are equally likely under both


@pytest.mark.parametrize("limit", TRUTH)
def test_cut_samples_count_so_that_the_estimate_is_the_kl_of_what_was_sampled(limit: int) -> None:
    counts, is_cut = lengths(np.random.default_rng(7), STOPS, limit, 40_000)
    own, other = logps(counts, is_cut, STOPS), logps(counts, is_cut, POLICY_STOPS)
    found = kl(own, other, token_counts=counts, is_cut=is_cut, clusters=np.arange(len(counts)))
    assert truth(STOPS, POLICY_STOPS, limit) == pytest.approx(TRUTH[limit], abs=0.006)
    assert found.per_response.value == pytest.approx(TRUTH[limit], abs=0.01)
    assert found.per_response.low < truth(STOPS, POLICY_STOPS, limit) < found.per_response.high
    assert found.per_token.value == pytest.approx(found.per_response.value / counts.mean())
    assert (found.response_count, found.cut_count) == (len(counts), is_cut.sum())
    # Without them, as it once was, the mean is of what ended early, and below 0 at a low limit.
    ended = clustered_mean((own - other)[~is_cut], np.arange((~is_cut).sum()))
    assert ended.high < TRUTH[limit] and (limit > 128 or ended.high < 0)


def test_the_two_directions_differ_and_each_is_on_its_own_samples() -> None:
    draw, limit = np.random.default_rng(3), 128
    for own, other in ((STOPS, POLICY_STOPS), (POLICY_STOPS, STOPS)):
        counts, is_cut = lengths(draw, own, limit, 40_000)
        scored = [logps(counts, is_cut, stops) for stops in (own, other)]
        found = kl(*scored, token_counts=counts, is_cut=is_cut, clusters=np.arange(len(counts)))
        assert found.per_response.value == pytest.approx(truth(own, other, limit), abs=0.015)


def test_intervals_hold_the_truth_though_samples_of_one_prompt_are_alike() -> None:
    draw, covered, narrow = np.random.default_rng(5), 0, 0
    for _ in range(200):
        of_prompt = draw.normal(0.3, 1.0, 30)  # each prompt has its own KL; 0.3 over all prompts
        clusters = np.repeat(np.arange(30), 8)
        ratios = of_prompt[clusters] + draw.normal(0, 1.0, len(clusters))
        counts = np.full(len(clusters), 10)
        found = kl(ratios, 0 * ratios, token_counts=counts, is_cut=counts < 0, clusters=clusters)
        covered += found.per_response.low < 0.3 < found.per_response.high
        assert found.per_token == pytest.approx(tuple(bound / 10 for bound in found.per_response))
        assert (found.prompt_count, found.response_count) == (30, 240)
        as_if_apart = clustered_mean(ratios, np.arange(len(ratios)))
        narrow += as_if_apart.low < 0.3 < as_if_apart.high
    assert 180 <= covered <= 199 and narrow < 150


def test_the_figures_survive_being_stored_with_one_prompt_too() -> None:
    counts, is_cut = lengths(np.random.default_rng(1), STOPS, 64, 5)
    found = kl(
        logps(counts, is_cut, STOPS), logps(counts, is_cut, STOPS), token_counts=counts, is_cut=is_cut, clusters=[1] * 5
    )
    assert found.per_response == (0, -math.inf, math.inf)
    stored = json.loads(json.dumps(Measurements(kl=Divergences(found, None)).as_dict(), allow_nan=False))
    assert Measurements.from_dict(stored) == Measurements(kl=Divergences(found, None))
    assert Measurements.from_dict({"version": 1}).kl is None, "stored before it was measured"


def constant_model(folder: Path, stops: float) -> str:
    """A GPT-2 that stops with this probability after any text and says every other token equally often."""
    from alignment_jobs import make_tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = make_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1, n_positions=256, tie_word_embeddings=False
    )
    model = GPT2LMHeadModel(config)
    (end,) = end_ids(tokenizer)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.transformer.ln_f.bias[0] = 1.0
        model.lm_head.weight[end, 0] = math.log(stops / (1 - stops) * (len(tokenizer) - 1))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_samples_of_a_real_model_scored_by_two_give_the_kl_worked_by_hand(tmp_path: Path) -> None:
    limit, prompt = 24, Prompt.from_text("Why?")
    own, other = 0.05, 0.1
    counts, is_cut = lengths(np.random.default_rng(2), own, limit, 240)
    requests = [
        # "zq" is learnt by no merge, so that every letter is one token; the end is the last of those that ended.
        ScoreRequest(prompt, ("zq" * limit)[: count - (not cut)], bool(cut), is_sample=True)
        for count, cut in zip(counts, is_cut, strict=True)
    ]
    scored = []
    for name, stops in (("own", own), ("other", other)):
        scorer = LogpScorer(
            constant_model(tmp_path / name, stops), revision=None, dtype="float32", device="cpu", tokens_per_batch=4096
        )
        scored.append([found for found in scorer.score(requests, max_length=200) if found is not None])
    assert [found.token_count for found in scored[0]] == counts.tolist()
    found = kl(
        *([one.logps for one in of_model] for of_model in scored),
        token_counts=counts,
        is_cut=is_cut,
        clusters=np.arange(len(counts)),
    )
    assert found.per_response.low < truth(own, other, limit) < found.per_response.high
    assert found.per_response.value == pytest.approx(truth(own, other, limit), abs=0.1)
