"""What becomes of strengths in training: weights of mean 1, margins of the reward."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alignment_jobs import curve, make_examples, make_job, save_llama, trained
from hypothesis import given
from hypothesis import strategies as st

from models.alignment.losses import dpo
from models.alignment.strengths import strength_margins, strength_weights

STRENGTHS = st.lists(st.none() | st.floats(0.01, 1.0), max_size=12)


@given(STRENGTHS)
def test_weights_are_the_strengths_over_their_mean(strengths: list[float | None]) -> None:
    total = count = 0.0
    for strength in strengths:
        if strength is not None:
            total += strength
            count += 1
    expected = [1.0 if strength is None else strength * count / total for strength in strengths]
    weights = strength_weights(strengths)
    assert weights == pytest.approx(expected)
    assert not weights or math.fsum(weights) / len(weights) == pytest.approx(1.0)


def test_weights_and_margins_by_hand() -> None:
    assert strength_weights([0.5, 1.0, None, 1.5]) == [0.5, 1.0, 1.0, 1.5]
    assert strength_margins([0.5, None, 1.0]) == [0.5, 0.0, 1.0]


@given(st.lists(st.tuples(*[st.floats(-30, 0)] * 4, st.floats(0, 1)), min_size=1, max_size=5), st.floats(0.01, 2))
def test_a_margin_is_taken_off_the_difference_of_the_rewards(
    rows: list[tuple[float, float, float, float, float]], beta: float
) -> None:
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True)]
    losses = dpo(*columns[:4], beta=beta, margins=columns[4]).losses.tolist()
    for loss, (chosen, rejected, reference_chosen, reference_rejected, margin) in zip(losses, rows, strict=True):
        difference = beta * (chosen - reference_chosen) - beta * (rejected - reference_rejected) - margin
        assert loss == pytest.approx(math.log1p(math.exp(-difference)), rel=1e-9)


def test_the_trainer_asks_for_the_margin_of_each_example(tmp_path: Path) -> None:
    model = save_llama(tmp_path / "llama")
    examples = make_examples(model)
    asked = [replace(one, margin=margin) for one, margin in zip(examples, [0.0, 1.0] * len(examples), strict=False)]
    changes = {"method": "dpo", "epochs": 1, "batch_size": len(examples), "learning_rate": 1e-4}
    losses = curve(trained(make_job(tmp_path / "job", model, asked, **changes)))["train", "loss"]
    # the first step begins where policy and reference are one
    expected = [math.log1p(math.exp(one.margin or 0.0)) for one in asked]
    assert losses[1] == pytest.approx(sum(expected) / len(expected), rel=1e-3)
