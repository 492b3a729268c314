"""KL of a real training: both directions, on samples that were cut, without an end that nobody sampled."""

from __future__ import annotations

import json

import pytest
import torch
from alignment_world import align_config, prefer, store_samples, tiny_model
from installed import installed
from sqlalchemy import text

from db import evaluations, policies
from flows.terminal.policies import show_policy
from models.prompting import load_tokenizer, render_prompt
from tasks.alignment.data import read_data
from tasks.alignment.opening import open_align_run
from tasks.alignment.training import train_policy
from tasks.evaluation.comparison import evaluate_policy
from tasks.run_kinds import load_alignment
from tasks.runs import recorded

OF_START, OF_POLICY = "It is late. The sky", "No. It rains, and the"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A policy trained and evaluated; all that both models sampled was cut."""
    folder = tmp_path_factory.mktemp("kl")
    with installed(folder) as (settings, sessions):
        prefer(sessions)
        model = tiny_model(folder / "model")
        run_id = open_align_run.fn(align_config(model))
        with sessions() as session:
            config = load_alignment(session, run_id)
        with recorded(run_id):
            store_samples(sessions, config, model, settings, lambda _: OF_START, reason="length")
            policy_id = train_policy.fn(run_id, None)
            store_samples(sessions, config, f"policy:{policy_id}", settings, lambda _: OF_POLICY, reason="length")
            evaluation_id = evaluate_policy.fn(run_id, policy_id, None)
        with sessions() as session:
            prompts = [row.prompt for row in read_data(session, config).preferences.held_out]
            found = evaluations.get_evaluation(session, evaluation_id).metrics.kl
        yield settings, sessions, model, policy_id, prompts, found


def logps(folder, prompts, words):
    """The log-probability of each prompt's answer by transformers alone, and its tokens; no end."""
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(str(folder), revision=None)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids, sums = tokenizer(words, add_special_tokens=False)["input_ids"], []
    for prompt in prompts:
        start = render_prompt(tokenizer, prompt, system_prompt=None)
        with torch.no_grad():
            scores = network(torch.tensor([start + ids])).logits[0, len(start) - 1 : -1].log_softmax(dim=-1)
        sums.append(float(scores[range(len(ids)), ids].sum()))
    return torch.tensor(sums), len(ids)


def test_both_divergences_are_of_the_tokens_that_were_sampled(world):
    settings, sessions, model, policy_id, prompts, found = world
    with sessions() as session:
        folder = settings.artifact_root / policies.get_policy(session, policy_id).folder
    for divergence, words, sign in ((found.from_reference, OF_START, 1), (found.from_policy, OF_POLICY, -1)):
        (start, tokens), (policy, _) = (logps(of, prompts, words) for of in (model, folder))
        ratios = sign * (start - policy)
        assert divergence.per_response.value == pytest.approx(float(ratios.mean()), rel=1e-3, abs=1e-4)
        assert divergence.per_token.value == pytest.approx(float(ratios.mean()) / tokens, rel=1e-3, abs=1e-4)
        assert divergence.per_response.low < divergence.per_response.value < divergence.per_response.high
        counts = (divergence.response_count, divergence.prompt_count, divergence.cut_count)
        assert counts == (len(prompts), len(prompts), len(prompts)), "a cut sample is never left out"


def test_the_curve_of_the_training_ends_where_the_evaluation_begins(world):
    _, sessions, _, policy_id, _, found = world
    with sessions() as session:
        points = [point for point in policies.metric_points(session, policy_id) if point.name == "kl"]
    assert points[0].value == pytest.approx(0, abs=1e-4)
    assert points[-1].value == pytest.approx(found.from_reference.per_response.value, rel=1e-2, abs=1e-4)


def test_the_figures_are_printed_and_can_be_asked_for_in_sql(world, capsys):
    settings, sessions, _, policy_id, prompts, found = world
    show_policy(policy_id, settings)
    printed = capsys.readouterr().out
    for name in ("KL(reference ‖ policy)", "KL(policy ‖ reference)"):
        assert f"  {name}: " in printed
    assert printed.count(f"{len(prompts)} of {len(prompts)} samples cut at max_tokens") == 2
    with sessions() as session:
        stored = json.loads(session.execute(text("SELECT metrics FROM evaluations")).scalar_one())
    assert tuple(stored["kl"]["from_policy"]["per_response"]) == found.from_policy.per_response
