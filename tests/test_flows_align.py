"""Alignment through the command line on a real Prefect server: policies, what is said of them, which one is used."""

from __future__ import annotations

import pytest
from alignment_world import prefer, tiny_model
from refusals import assert_one_line
from surroundings import on_postgresql, on_sqlite

QUICK = (
    "--sft.epochs", "0", "--evaluate.annotator", "rubric", "--evaluate.max_tokens", "4",
    "--evaluate.backend", "transformers", "--no-evaluate.has_drift", "--model.dtype", "float32",
)  # fmt: skip
COMPARED = ("--evaluate.annotator", "rubric", "--evaluate.max_tokens", "4", "--evaluate.backend", "transformers")
TRAINED = ("--train.epochs", "1", "--train.learning_rate", "1e-3", "--train.batch_size", "4")


@pytest.fixture
def model(sessions, tmp_path):
    """A tiny model, and preferences to align it on."""
    prefer(sessions, train=4, held_out=2)
    return tiny_model(tmp_path / "model")


def said(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


@on_sqlite
def test_from_preferences_to_a_policy_in_use(antipode, model, tmp_path):
    command = ("align", "--model.name", model, *QUICK, *TRAINED, "--seed", "3")
    out = said(antipode(*command))
    assert out.startswith(f"policy 1: alignment, dpo, from {model}\n")
    for words in (
        "held out, mean over prompts: margin ",
        "by rubric (temperature 0, seed 0): win ",
        "on 2 prompts (seed 3, ",
        "trained in",
        "gate: ",
    ):
        assert words in out
    page = tmp_path / "artifacts" / "reports" / "policy-1.html"
    assert f"Page  {page}" in out and "antipode promote 1" not in out and "margin" in page.read_text()
    assert "Next: antipode evaluate 1 --against start --evaluate.annotator rubric --evaluate.source.name SOURCE" in out
    assert said(antipode(*command)).splitlines()[0] == out.splitlines()[0], "nothing is trained twice"
    (line,) = [line for line in said(antipode("policies")).splitlines() if "alignment" in line]
    assert line.split()[:5] == ["1", "alignment", "dpo", "1", "trained"]
    assert_one_line(antipode("promote", "1"), 1, "policy 1 stays out", "does not lie above 0.5")
    assert_one_line(antipode("evaluate", "1", "--against", "promoted", *COMPARED), 1, "no policy is in use")
    assert "policy 1 is in use: forced, although" in said(antipode("promote", "1", "--force"))
    assert "in use" in said(antipode("policies"))
    assert_one_line(antipode("evaluate", "1", "--against", "promoted", *COMPARED), 1, "compared with itself")
    out = said(antipode("evaluate", "1", *COMPARED))
    assert out.startswith(f"policy 1: against {model} by rubric (temperature 0, seed 0): win ")
    curated = antipode(
        "curate", "--model.name", "promoted", "--source.limit", "1", "--generate.when", "always",
        "--generate.backend", "transformers", "--generate.responses_per_prompt", "2", "--generate.max_tokens", "4",
        "--embed.backend", "hashed", "--model.dtype", "float32", "--select.has_cut",
    )  # fmt: skip
    assert curated.returncode == 0 and "2 of 2 responses, policy:1" in curated.stderr
    assert said(antipode("rollback")) == "policy 1 is out of use; in use now: none\n"
    assert_one_line(antipode("rollback"), 1, "no policy is in use")
    assert_one_line(antipode("curate", "--model.name", "promoted"), 1, "no policy is in use; promote one")


@on_postgresql
def test_rounds_without_labels(antipode, model, sessions):
    rounds = ("--rounds.count", "1", "--rounds.epochs", "1", "--rounds.batch_size", "4", "--max_tokens", "4")
    compared = ("--evaluate.temperature", "1", "--evaluate.top_p", "1")  # the samples that KL needs serve here too
    guide = ("--guide.layers", "1", "--guide.heads", "2", "--guide.hidden_size", "16", "--guide.epochs", "1")
    asked = ("ld-align", "--model.name", model, *QUICK, *compared, *rounds, *guide)
    stopped = antipode(*asked)
    assert_one_line(stopped, 1, "the guide does without its latent vector", "--no-guide.must_use_latent")
    assert "the guide starts from scratch, not from openai-community/gpt2: it is not in the local" in stopped.stderr
    out = said(antipode(*asked, "--no-guide.must_use_latent"))
    assert (
        out.startswith(f"policy 1: ld-align, ld_align, from {model}\n")
        and "held out, mean over prompts: margin " in out
    )
    assert "  guide from scratch, loss " in out, "the run that was stopped went on"
    listed = said(antipode("policies"))
    assert ["1", "ld-align", "ld_align", "1", "trained"] in [line.split()[:5] for line in listed.splitlines()]


@on_sqlite
def test_what_is_missing_is_one_line_that_says_what_to_do(antipode):
    assert said(antipode("policies")) == "no policies yet; train one: antipode align --help\n"
    assert_one_line(antipode("promote", "7"), 1, "there is no policy 7", "antipode policies")
    assert_one_line(antipode("promote", "0"), 2, "POLICY", "got '0'")
    assert_one_line(antipode("rollback"), 1, "no policy is in use")
    assert_one_line(antipode("evaluate", "7"), 2, "nobody compares")
    assert_one_line(antipode("evaluate", "7", *COMPARED), 1, "there is no policy 7")
    assert_one_line(antipode("align"), 1, "there is no run yet", "antipode curate")
    assert_one_line(antipode("align", "--data.snapshot", "9"), 1, "there is no snapshot 9")
    assert_one_line(antipode("align", "--data.snapshot", "9", "--data.run", "1"), 2, "leave out data.run")
    assert_one_line(antipode("align", "--gate.promote"), 2, "gate.promote needs a win rate")
    assert_one_line(antipode("align", "--train.beta", "inf"), 2, "--train.beta", "finite", "got 'inf'")
    assert_one_line(antipode("ld-align", "--rounds.betas", "0"), 2, "--rounds.betas", "greater than 0")
    assert_one_line(
        antipode("ld-align", "--golden", "references", "--model.name", "demo"), 1, "has no reference response"
    )
    assert_one_line(antipode("curate", "--model.name", "policy:3"), 1, "there are no prompts yet")
