"""The alignment losses as pure functions of log-probabilities; knows no model, no batch and no trainer.

Every function takes one number per example, tensors (B,) in nats, and returns one loss per example; the mean over
the batch is the trainer's. Half precision is raised to float32, the result's dtype; float64 stays. `weights` (B,)
multiply the losses; `margins` (B,) are what the chosen reward is to lie above the rejected one (METHODS_WITH_MARGIN).
Rewards carry no gradient. Log-probabilities are sums over the response's tokens, the end token included, unless the
name says `mean`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.alignment.records import METHODS_WITH_MARGIN, METHODS_WITH_REFERENCE, Method

_LN_2 = 0.6931471805599453
# The last float32 below p = 1 is 1 − 2⁻²⁴: a log-probability of 0 tells no more than that p lies above it.
_ROUNDED_TO_ONE = -(2.0**-24)
# How far above 0 float32 can round a log-probability (logit − logsumexp, logits in the hundreds, with a wide margin).
_ROUNDING = 1e-3


class MissingLogpsError(ValueError):
    """A method was asked for without the log-probabilities or weights its loss is made of."""


class PairwiseLosses(NamedTuple):
    """Loss and rewards per example, (B,) each; rewards are detached."""

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor


class PairLogps(NamedTuple):
    """Summed log-probabilities and token counts of a batch, (B,) each; None where the method needs none."""

    policy_chosen: Tensor
    policy_rejected: Tensor | None
    chosen_token_counts: Tensor
    rejected_token_counts: Tensor | None
    reference_chosen: Tensor | None
    reference_rejected: Tensor | None


def pairwise_losses(
    method: Method, logps: PairLogps, *, beta: float, weights: Tensor | None, margins: Tensor | None = None
) -> PairwiseLosses:
    """The losses of `method`, from sums: IPO, ORPO and ASFT divide them by the token counts. SFT ignores `beta`.

    Raises:
        MissingLogpsError: if what the method needs is None: the rejected responses (all but sft), the reference's
            log-probabilities (dpo, ipo, ld_align, spin), the weights (ld_align).
        ValueError: if there are margins and the method takes none.
    """
    has_rejected = logps.policy_rejected is not None and logps.rejected_token_counts is not None
    has_reference = logps.reference_chosen is not None and logps.reference_rejected is not None
    if method != "sft" and not has_rejected:
        raise MissingLogpsError(f"{method} compares two responses, got no rejected ones; give pairs, or train with sft")
    if method in METHODS_WITH_REFERENCE and not has_reference:
        raise MissingLogpsError(f"{method} needs the reference's log-probabilities, got none; compute them first")
    if method == "ld_align" and weights is None:
        raise MissingLogpsError("ld_align needs a weight per example (s / S), got none; unweighted it is spin")
    if margins is None:
        return _LOSSES[method](logps, beta, weights)
    if method not in METHODS_WITH_MARGIN:
        raise ValueError(f"{method} takes no margins, {', '.join(METHODS_WITH_MARGIN)} does; leave them out")
    return _dpo(logps, beta, weights, margins)


def sft(
    policy_chosen_logps: Tensor, policy_chosen_token_counts: Tensor, *, weights: Tensor | None = None
) -> PairwiseLosses:
    """Mean negative log-likelihood per response token, of each example; rewards are 0.

    The mean over a batch then counts every response the same, long or short (a mean over the batch's tokens, as
    transformers takes it, counts every token the same).
    """
    losses = -_mean(policy_chosen_logps, policy_chosen_token_counts)
    return _weighted(losses, torch.zeros_like(losses), torch.zeros_like(losses), weights)


def dpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
    weights: Tensor | None = None,
    margins: Tensor | None = None,
) -> PairwiseLosses:
    """−log σ(margin), margin = chosen reward − rejected reward, reward = β × log-ratio (REAL eq. 5).

    With golden responses as chosen and the policy's own samples as rejected it is SPIN (arXiv 2401.01335, eq. 4.7,
    logistic), the reference the policy of the iteration before; with the latent distance's weights w = s / S on top it
    is LD-Align (alg. 1). `margins` m turn it into −log σ(margin − m), as Llama 2 has it for its reward model
    (arXiv 2307.09288, eq. 2) and DPO with an offset for this loss (arXiv 2402.10571).
    """
    chosen_rewards = beta * (_precise(policy_chosen_logps) - _precise(reference_chosen_logps))
    rejected_rewards = beta * (_precise(policy_rejected_logps) - _precise(reference_rejected_logps))
    above = chosen_rewards - rejected_rewards
    losses = -logsigmoid(above if margins is None else above - margins.to(above.dtype))
    return _weighted(losses, chosen_rewards, rejected_rewards, weights)


def ipo(
    policy_chosen_mean_logps: Tensor,
    policy_rejected_mean_logps: Tensor,
    reference_chosen_mean_logps: Tensor,
    reference_rejected_mean_logps: Tensor,
    *,
    beta: float,
    weights: Tensor | None = None,
) -> PairwiseLosses:
    """(h − 1/(2β))², h the difference of the two log-ratios (IPO, arXiv 2310.12036, eq. 17, β there τ).

    The log-ratios are means per token, as in TRL and by the authors' later advice; the paper writes sums, and its β
    are for these: on means 0.1 asks for 5 nats a token, which no policy reaches without ruin. Rewards
    are β × the mean log-ratio (TRL logs β × the sum's).
    """
    chosen_ratios = _precise(policy_chosen_mean_logps) - _precise(reference_chosen_mean_logps)
    rejected_ratios = _precise(policy_rejected_mean_logps) - _precise(reference_rejected_mean_logps)
    losses = (chosen_ratios - rejected_ratios - 1 / (2 * beta)) ** 2
    return _weighted(losses, beta * chosen_ratios, beta * rejected_ratios, weights)


def orpo(
    policy_chosen_mean_logps: Tensor,
    policy_rejected_mean_logps: Tensor,
    *,
    beta: float,
    weights: Tensor | None = None,
) -> PairwiseLosses:
    """NLL of the chosen response + β × −log σ(log-odds ratio) (ORPO, arXiv 2403.07691, eq. 6 and 7; β there λ).

    The NLL is the mean over the RESPONSE, as LLaMA-Factory has it; TRL takes prompt and response. Rewards are
    β × mean log-probabilities. A log-probability of 0 is read as `log1mexp` reads it.
    """
    chosen = _precise(policy_chosen_mean_logps)
    rejected = _precise(policy_rejected_mean_logps)
    log_odds_ratio = (chosen - log1mexp(chosen)) - (rejected - log1mexp(rejected))
    losses = -chosen - beta * logsigmoid(log_odds_ratio)
    return _weighted(losses, beta * chosen, beta * rejected, weights)


def asft(
    policy_chosen_mean_logps: Tensor,
    policy_rejected_mean_logps: Tensor,
    *,
    beta: float,
    weights: Tensor | None = None,
) -> PairwiseLosses:
    """ALIGNED supervised fine-tuning: −log p_w + β (−log p_w − log(1 − p_l)) (ASFT eq. 13 and 14, arXiv 2409.10571).

    Not the Anchored SFT that other tools call asft. p is the exponential of what is given: of the mean
    log-probability per token, as ORPO has it; a caller who gives sums gets the loss on p(y|x) itself, whose second
    term vanishes for any response of some length. For p_l → 1 the loss grows like −log(−log p_l), unbounded; a log p_l
    of 0 is read as `log1mexp` reads it. Rewards are β × the log-probabilities given.
    """
    chosen = _precise(policy_chosen_mean_logps)
    rejected = _precise(policy_rejected_mean_logps)
    losses = -chosen + beta * (-chosen - log1mexp(rejected))
    return _weighted(losses, beta * chosen, beta * rejected, weights)


def log1mexp(logps: Tensor) -> Tensor:
    """log(1 − exp(logps)) for logps ≤ 0, exact at both ends (Mächler 2012, eq. 7), with finite gradients.

    The one exception is a log-probability rounded to 0, whose true value is −∞: it is read as −2⁻²⁴, and gives
    −16.6. Its gradient is then 2²⁴ in size, and as the softmax's own is below 2⁻²⁴ where a probability rounds to 1,
    no logit gets more than the 1 of the exact formula. Above 1e-3 it is no log-probability: the result is NaN.
    """
    precise = _precise(logps)
    is_rounded = (precise >= 0) & (precise < _ROUNDING)
    precise = precise - torch.where(is_rounded, precise - _ROUNDED_TO_ONE, 0.0).detach()
    is_near_one = precise > -_LN_2
    # torch.where sends a zero gradient into the branch not taken, and 0 × ∞ is NaN: each gets an input it can bear.
    near_one = torch.log(-torch.expm1(torch.where(is_near_one, precise, -_LN_2)))
    near_zero = torch.log1p(-torch.exp(torch.where(is_near_one, -_LN_2, precise)))
    return torch.where(is_near_one, near_one, near_zero)


def _precise(logps: Tensor) -> Tensor:
    return logps if logps.dtype == torch.float64 else logps.float()


def _mean(logps: Tensor | None, token_counts: Tensor | None) -> Tensor:
    assert logps is not None and token_counts is not None
    return _precise(logps) / token_counts


def _weighted(
    losses: Tensor, chosen_rewards: Tensor, rejected_rewards: Tensor, weights: Tensor | None
) -> PairwiseLosses:
    weighted = losses if weights is None else losses * weights.to(losses.dtype)
    return PairwiseLosses(weighted, chosen_rewards.detach(), rejected_rewards.detach())


def _sft(logps: PairLogps, _beta: float, weights: Tensor | None) -> PairwiseLosses:
    return sft(logps.policy_chosen, logps.chosen_token_counts, weights=weights)


def _dpo(logps: PairLogps, beta: float, weights: Tensor | None, margins: Tensor | None = None) -> PairwiseLosses:
    policy = (logps.policy_chosen, logps.policy_rejected)
    reference = (logps.reference_chosen, logps.reference_rejected)
    return dpo(*policy, *reference, beta=beta, weights=weights, margins=margins)


def _ipo(logps: PairLogps, beta: float, weights: Tensor | None) -> PairwiseLosses:
    chosen, rejected = logps.chosen_token_counts, logps.rejected_token_counts
    return ipo(
        _mean(logps.policy_chosen, chosen),
        _mean(logps.policy_rejected, rejected),
        _mean(logps.reference_chosen, chosen),
        _mean(logps.reference_rejected, rejected),
        beta=beta,
        weights=weights,
    )


def _orpo(logps: PairLogps, beta: float, weights: Tensor | None) -> PairwiseLosses:
    chosen = _mean(logps.policy_chosen, logps.chosen_token_counts)
    return orpo(chosen, _mean(logps.policy_rejected, logps.rejected_token_counts), beta=beta, weights=weights)


def _asft(logps: PairLogps, beta: float, weights: Tensor | None) -> PairwiseLosses:
    chosen = _mean(logps.policy_chosen, logps.chosen_token_counts)
    return asft(chosen, _mean(logps.policy_rejected, logps.rejected_token_counts), beta=beta, weights=weights)


_LOSSES: dict[Method, Callable[[PairLogps, float, Tensor | None], PairwiseLosses]] = {
    "sft": _sft,
    "dpo": _dpo,
    "ipo": _ipo,
    "orpo": _orpo,
    "asft": _asft,
    "ld_align": _dpo,
    "spin": _dpo,
}
