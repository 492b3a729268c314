"""IPO trains with its default β: a margin that can be reached, on pairs held out, at little cost in likelihood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alignment_jobs import curve, logps_of, make_job, save_llama, trained

from models.alignment.records import Example
from models.records import Prompt
from tasks.config.alignment import METHOD_DEFAULTS

THINGS = ("fox", "cat", "box", "wood", "sky", "lid", "day", "night", "animal", "rain", "late", "red")
PLACES = ("in the wood", "at night", "in the sky", "with a lid")
QUICK = {"batch_size": 8, "examples_per_device": 8, "schedule": "cosine"}


def pairs() -> list[Example]:
    """A friendly and a gruff response to each prompt; what they say of it is as good in both."""
    return [
        Example(Prompt.from_text(f"Where is the {thing}?"), f"The {thing} is {place}, friend.", f"No. {thing} {place}.")
        for thing in THINGS
        for place in PLACES
    ]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model that says both kinds of responses."""
    folder = tmp_path_factory.mktemp("ipo")
    both = [replace(one, chosen=text, rejected=None) for one in pairs() for text in (one.chosen, str(one.rejected))]
    job = make_job(folder / "sft", save_llama(folder / "model"), both, method="sft", epochs=6, learning_rate=5e-3)
    trained(replace(job, held_out=(), kl_examples=(), settings=replace(job.settings, **QUICK)))
    return str(folder / "sft" / "model")


def after(start: str, folder: Path, *, beta: float) -> dict[str, dict[int, float]]:
    """What is measured along a training on three quarters of the pairs, of the others."""
    examples = [
        replace(one, reference_chosen_logps=chosen, reference_rejected_logps=rejected)
        for one, (chosen, rejected) in zip(pairs(), logps_of(start, pairs()), strict=True)
    ]
    train, held_out = examples[:36], examples[36:]
    job = make_job(folder, start, train, method="ipo", beta=beta, epochs=8, learning_rate=1e-3)
    found = curve(
        trained(replace(job, held_out=tuple(held_out), kl_examples=(), settings=replace(job.settings, **QUICK)))
    )
    return {name: values for (split, name), values in found.items() if split == "held_out"}


def test_the_default_asks_for_a_margin_that_is_reached_and_keeps_the_likelihood(start: str, tmp_path: Path) -> None:
    beta = METHOD_DEFAULTS["ipo"].beta
    found = after(start, tmp_path / "ipo", beta=beta)
    last = max(found["margin"])
    assert found["margin"][last] > 0.1 and found["accuracy"][last] > 0.9
    assert found["objective"][last] < 0.25 * found["objective"][0], "most of the margin asked for is there"
    # With β 0.1 it is six times what it was, with 0.5 three times.
    assert found["perplexity"][last] < 1.5 * found["perplexity"][0], "the chosen responses are nearly as likely"
