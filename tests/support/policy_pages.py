"""What a policy's page is made of: points of a curve, a drift, a comparison."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from models.alignment.records import MetricPoint, MetricSplit
from models.evaluation.drift import embedding_drift
from models.evaluation.gate import Look
from models.evaluation.kl import kl
from models.evaluation.measurements import Divergences, Drift
from models.report.policy_contents import EvaluationFigures, Rate

JUDGED = EvaluationFigures(
    "judge", "policy 3", 64, 10, 26, Rate(0.69, 0.62, 0.75), Rate(0.61, 0.54, 0.67), 50, 0,
    datetime(2026, 5, 4, tzinfo=UTC), Look(3, 0.05 / 12, 0.59, 0.78),
)  # fmt: skip


def curve(name: str, *found: float, split: MetricSplit = "held_out") -> list[MetricPoint]:
    return [MetricPoint(10 * step, split, name, value) for step, value in enumerate(found)]


def divergences() -> Divergences:
    """Far from even both ways: 0.25 nats a response on the reference's samples, some of them cut."""
    of_reference = kl([0.5, 0.0, 0.5], [0, 0, 0], token_counts=[4, 4, 2], is_cut=[1, 1, 0], clusters=[1, 1, 2])
    of_policy = kl([2.0], [0], token_counts=[4], is_cut=[0], clusters=[1])
    return Divergences(of_reference, of_policy)


def drift() -> Drift:
    base = np.random.default_rng(0).normal(size=(40, 8)) + 1
    moved = base + np.random.default_rng(1).normal(size=base.shape) / 5
    moved[3] = np.nan
    return embedding_drift(base, moved, np.arange(0, 41, 4), bins=12)
