"""What held-out examples say of a policy: implicit reward margins, loss, accuracy, perplexity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models.evaluation.measurements import RewardSummary
from models.intervals import CONFIDENCE, ROUNDING, Interval, checked, prompt_mean, ratio, share


def reward_summary(
    policy_chosen: ArrayLike,
    policy_rejected: ArrayLike,
    reference_chosen: ArrayLike,
    reference_rejected: ArrayLike,
    *,
    beta: float,
    chosen_token_counts: ArrayLike,
    clusters: ArrayLike,
) -> RewardSummary:
    """Margin (REAL eq. 10), loss −log σ(margin) (REAL eq. 11), accuracy and the chosen responses' perplexity.

    All arrays are (n,): log-probabilities summed over the response's tokens in nats, counts of those tokens,
    clusters the prompts. Margin, loss and accuracy are means over prompts, as the trainer's held-out points are.
    Accuracy is the share of margins above 0; a margin within `ROUNDING` counts a half, so a policy equal to its
    reference has 50 %. Perplexity is exp(−Σ log-probabilities / Σ tokens) of the policy alone: every TOKEN counts the
    same in it. Its interval is that of the nats per token, cut at 0 (no probability is above 1), so it is built on the
    log scale and begins at 1 at the least.

    Raises:
        ValueError: if there are no values, they are not finite, or the lengths differ.
    """
    chosen, groups = checked(policy_chosen, clusters)
    rejected, _ = checked(policy_rejected, clusters)
    chosen_ratios = chosen - checked(reference_chosen, clusters)[0]
    rejected_ratios = rejected - checked(reference_rejected, clusters)[0]
    margins = beta * chosen_ratios - beta * rejected_ratios
    nats_per_token = ratio(-chosen, checked(chosen_token_counts, clusters)[0], groups, confidence=CONFIDENCE)
    with np.errstate(over="ignore"):  # an upper bound over e^709 is infinite
        perplexity = Interval(*(float(np.exp(max(0.0, nats))) for nats in nats_per_token))
    return RewardSummary(
        margin=prompt_mean(margins, groups),
        loss=prompt_mean(np.logaddexp(0.0, -margins), groups),
        accuracy=share((np.sign(np.where(np.abs(margins) > ROUNDING, margins, 0.0)) + 1) / 2, groups),
        perplexity=perplexity,
    )
