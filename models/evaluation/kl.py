"""How far two models' distributions over responses lie apart, from samples of one that both have scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models.evaluation.measurements import Divergence
from models.intervals import CONFIDENCE, checked, prompt_mean, prompt_means, ratio


def kl(
    own_logps: ArrayLike, other_logps: ArrayLike, *, token_counts: ArrayLike, is_cut: ArrayLike, clusters: ArrayLike
) -> Divergence:
    """KL(P ‖ Q) of the distributions over responses up to a token limit: the mean of log P(y) − log Q(y) for y of P.

    A sample that stopped at the limit is a response like any other, whose probability is that of its tokens without an
    end: left out, the mean would be of P given that it ended, may fall below 0, and grows wrong with the share that is
    cut. The estimate is unbiased and has no bound at 0: where it is small, its interval may reach below. The KL grows
    with the limit, so that figures compare at equal limits only; that per token does so less.

    Args:
        own_logps: (n,) log P of its own samples, summed over the tokens that were sampled, in nats.
        other_logps: (n,) log Q of the same tokens.
        token_counts: (n,) how many they are, the end's among them.
        is_cut: (n,) whether the sample stopped at the limit.
        clusters: (n,) the samples' prompts.

    Raises:
        ValueError: If there are no samples, a value is not finite, or the lengths differ.
    """
    own, groups = checked(own_logps, clusters)
    ratios = own - checked(other_logps, clusters)[0]
    counts = checked(token_counts, clusters)[0]
    means = prompt_means(ratios, groups), prompt_means(counts, groups)
    return Divergence(
        per_response=prompt_mean(ratios, groups),
        per_token=ratio(*means, np.arange(len(means[0])), confidence=CONFIDENCE),
        response_count=len(own),
        prompt_count=len(means[0]),
        cut_count=int(np.asarray(is_cut).sum()),
    )
