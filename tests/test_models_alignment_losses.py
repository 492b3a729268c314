"""Alignment losses: worked by hand, against the papers' gradients, and at the ends of float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.alignment.losses import (
    MissingLogpsError,
    PairLogps,
    PairwiseLosses,
    asft,
    dpo,
    ipo,
    log1mexp,
    orpo,
    pairwise_losses,
    sft,
)
from models.alignment.records import METHODS_WITH_MARGIN, METHODS_WITH_REFERENCE, Method

METHODS: tuple[Method, ...] = get_args(Method)
PAIRED = tuple(method for method in METHODS if method != "sft")
SWEEP = [-1e-12, -1e-10, -1e-8, -1e-6, -1e-4, -1e-2, -0.5, -0.693, -0.694, -1.0, -10.0, -88.0, -104.0, -1e3, -1e4]


def column(*values: float, dtype: torch.dtype = torch.float64, learns: bool = False) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=learns)


def batch(*, learns: bool = False) -> PairLogps:
    """Two pairs: log-ratios 2 and −1 over 4 and 2 tokens, then −3 and 1 over 6 and 5."""
    return PairLogps(
        policy_chosen=column(-4.0, -9.0, learns=learns),
        policy_rejected=column(-3.0, -4.0, learns=learns),
        chosen_token_counts=torch.tensor([4, 6]),
        rejected_token_counts=torch.tensor([2, 5]),
        reference_chosen=column(-6.0, -6.0),
        reference_rejected=column(-2.0, -5.0),
    )


def test_sft_is_the_mean_nll_per_response_token() -> None:
    result = sft(column(-6.0, -1.0), torch.tensor([3, 4]))
    assert result.losses.tolist() == [2.0, 0.25]
    assert result.chosen_rewards.tolist() == result.rejected_rewards.tolist() == [0.0, 0.0]


def test_dpo_by_hand() -> None:
    # rewards 0.5·2 = 1 and 0.5·(−1) = −0.5, margin 1.5; then −1.5 and 0.5, margin −2
    result = pairwise_losses("dpo", batch(), beta=0.5, weights=None)
    assert result.chosen_rewards.tolist() == [1.0, -1.5]
    assert result.rejected_rewards.tolist() == [-0.5, 0.5]
    expected = [math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(2.0))]
    assert result.losses.tolist() == pytest.approx(expected, abs=1e-12)


def test_ipo_by_hand() -> None:
    # mean log-ratios 2/4 and −1/2, h = 1; then −3/6 and 1/5, h = −0.7; target 1/(2·0.25) = 2
    result = pairwise_losses("ipo", batch(), beta=0.25, weights=None)
    assert result.losses.tolist() == pytest.approx([1.0, 7.29], abs=1e-12)
    assert result.chosen_rewards.tolist() == pytest.approx([0.125, -0.125], abs=1e-12)
    assert result.rejected_rewards.tolist() == pytest.approx([-0.125, 0.05], abs=1e-12)


def test_orpo_by_hand() -> None:
    # p_w = 3/4 has odds 3, p_l = 1/3 has odds 1/2: the ratio is 6, and −log σ(log 6) = log(7/6)
    result = orpo(column(math.log(0.75)), column(math.log(1 / 3)), beta=0.1)
    assert result.losses.tolist() == pytest.approx([math.log(4 / 3) + 0.1 * math.log(7 / 6)], abs=1e-12)
    assert result.chosen_rewards.tolist() == pytest.approx([0.1 * math.log(0.75)])


def test_asft_by_hand() -> None:
    # −log p_w once for SFT, once in the alignment term; −log(1 − 1/3) = log(3/2)
    result = asft(column(math.log(0.75)), column(math.log(1 / 3)), beta=0.1)
    assert result.losses.tolist() == pytest.approx([1.1 * math.log(4 / 3) + 0.1 * math.log(1.5)], abs=1e-12)
    assert result.rejected_rewards.tolist() == pytest.approx([0.1 * math.log(1 / 3)])


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.floats(0.01, 2.0))
def test_asft_is_the_two_logistic_terms_of_the_paper(p_chosen: float, p_rejected: float, beta: float) -> None:
    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x))

    def logit(p: float) -> float:
        return math.log(p) - math.log(1 - p)

    aligned = -log_sigmoid(logit(p_chosen)) - log_sigmoid(-logit(p_rejected))
    result = asft(column(math.log(p_chosen)), column(math.log(p_rejected)), beta=beta)
    assert result.losses.item() == pytest.approx(-math.log(p_chosen) + beta * aligned, rel=1e-9)


def test_means_are_taken_of_the_sums_given() -> None:
    logps = batch()
    means = logps.policy_chosen / logps.chosen_token_counts, logps.policy_rejected / logps.rejected_token_counts
    for method, loss in (("orpo", orpo), ("asft", asft)):
        assert torch.equal(pairwise_losses(method, logps, beta=0.1, weights=None).losses, loss(*means, beta=0.1).losses)


def test_ld_align_is_weighted_dpo_and_spin_is_dpo() -> None:
    logps, weights = batch(), column(0.5, 1.5)
    columns = (logps.policy_chosen, logps.policy_rejected, logps.reference_chosen, logps.reference_rejected)
    plain = dpo(*columns, beta=0.1)
    weighted = pairwise_losses("ld_align", logps, beta=0.1, weights=weights)
    assert torch.equal(weighted.losses, plain.losses * weights)
    assert torch.equal(weighted.chosen_rewards, plain.chosen_rewards)
    assert torch.equal(pairwise_losses("spin", logps, beta=0.1, weights=None).losses, plain.losses)


@pytest.mark.parametrize("method", METHODS)
def test_weights_of_one_change_nothing_and_weights_scale_gradients(method: Method) -> None:
    def gradients(weights: Tensor | None) -> tuple[Tensor, Tensor]:
        logps = batch(learns=True)
        result = pairwise_losses(method, logps, beta=0.1, weights=weights)
        result.losses.sum().backward()
        return result.losses.detach(), logps.policy_chosen.grad

    losses, gradient = gradients(column(1.0, 1.0))
    if method != "ld_align":
        plain_losses, plain_gradient = gradients(None)
        assert torch.equal(losses, plain_losses)
        assert torch.equal(gradient, plain_gradient)
    _, scaled = gradients(column(2.0, 0.25))
    assert torch.allclose(scaled, gradient * column(2.0, 0.25), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_margins_are_taken_by_a_loss_that_has_one_and_refused_by_the_others(method: Method) -> None:
    weights, margins = column(1.0, 1.0), column(0.0, 1.0)
    if method not in METHODS_WITH_MARGIN:
        with pytest.raises(ValueError, match=f"{method} takes no margins, dpo does"):
            pairwise_losses(method, batch(), beta=0.5, weights=weights, margins=margins)
        return
    # margins of the rewards 1.5 and −2, less 0 and 1
    result = pairwise_losses(method, batch(), beta=0.5, weights=weights, margins=margins)
    assert result.losses.tolist() == pytest.approx([math.log1p(math.exp(-1.5)), math.log1p(math.exp(3.0))])
    assert result.chosen_rewards.tolist() == [1.0, -1.5], "the rewards stay"


@pytest.mark.parametrize("method", METHODS)
def test_a_step_raises_the_chosen_and_lowers_the_rejected(method: Method) -> None:
    logps = batch(learns=True)
    result = pairwise_losses(method, logps, beta=0.1, weights=column(1.0, 1.0))
    result.losses.sum().backward()
    assert (logps.policy_chosen.grad < 0).all()
    if method == "sft":
        assert logps.policy_rejected.grad is None
    else:
        assert (logps.policy_rejected.grad > 0).all()
    assert not result.chosen_rewards.requires_grad
    assert not result.rejected_rewards.requires_grad


def test_ipo_holds_back_once_its_target_is_passed() -> None:
    chosen, rejected = column(-1.0, learns=True), column(-5.0, learns=True)
    ipo(chosen, rejected, column(-3.0), column(-3.0), beta=0.25).losses.sum().backward()
    # h = 4, target 2: the gradient 2(h − 1/(2β)) is positive for the chosen
    assert (chosen.grad.item(), rejected.grad.item()) == (4.0, -4.0)


def test_dpo_has_the_gradient_of_the_paper() -> None:
    chosen, rejected = column(-4.0, learns=True), column(-3.0, learns=True)
    dpo(chosen, rejected, column(-6.0), column(-2.0), beta=0.5).losses.sum().backward()
    expected = 0.5 / (1 + math.exp(1.5))  # β σ(rejected reward − chosen reward), DPO section 4
    assert chosen.grad.item() == pytest.approx(-expected, abs=1e-12)
    assert rejected.grad.item() == pytest.approx(expected, abs=1e-12)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_asft_has_the_gradients_of_the_paper(p_chosen: float, p_rejected: float) -> None:
    chosen, rejected = column(p_chosen, learns=True), column(p_rejected, learns=True)
    asft(chosen.log(), rejected.log(), beta=1.0).losses.sum().backward()
    # with β = 1 the chosen's gradient is −1/p_w of L_align and once more of L_SFT
    assert chosen.grad.item() == pytest.approx(-2 / p_chosen, rel=1e-9)
    assert rejected.grad.item() == pytest.approx(1 / (1 - p_rejected), rel=1e-9)


@pytest.mark.parametrize("method", PAIRED)
def test_gradients_agree_with_finite_differences(method: Method) -> None:
    def losses(chosen: Tensor, rejected: Tensor) -> Tensor:
        logps = batch()._replace(policy_chosen=chosen, policy_rejected=rejected)
        return pairwise_losses(method, logps, beta=0.3, weights=column(0.5, 2.0)).losses

    logps = batch(learns=True)
    assert torch.autograd.gradcheck(losses, (logps.policy_chosen, logps.policy_rejected))


@pytest.mark.parametrize("method", METHODS_WITH_REFERENCE)
def test_an_untrained_policy_has_margin_zero_exactly(method: Method) -> None:
    logps = batch()
    logps = logps._replace(reference_chosen=logps.policy_chosen, reference_rejected=logps.policy_rejected)
    result = pairwise_losses(method, logps, beta=0.1, weights=column(1.0, 1.0))
    assert (result.chosen_rewards - result.rejected_rewards).tolist() == [0.0, 0.0]
    start = 25.0 if method == "ipo" else math.log(2)  # (0 − 1/(2·0.1))², else −log σ(0)
    assert result.losses.tolist() == pytest.approx([start, start], abs=1e-12)


def on_the_sweep(loss: Callable[..., PairwiseLosses], chosen: float, rejected: float, dtype: torch.dtype) -> Tensor:
    inputs = column(chosen, dtype=dtype, learns=True), column(rejected, dtype=dtype, learns=True)
    result = loss(*inputs, beta=0.1)
    assert result.losses.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    result.losses.sum().backward()
    return torch.stack([result.losses.detach()[0].double(), *(one.grad[0].double() for one in inputs)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", [asft, orpo])
def test_values_and_gradients_are_finite_and_exact_at_both_ends(
    loss: Callable[..., PairwiseLosses], dtype: torch.dtype
) -> None:
    for chosen in SWEEP:
        for rejected in SWEEP:
            rounded = column(chosen, rejected, dtype=dtype).double().tolist()
            result = on_the_sweep(loss, *rounded, dtype)
            assert result.isfinite().all(), (chosen, rejected)
            # a bfloat16 gradient keeps 8 bits
            tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-5
            exact = on_the_sweep(loss, *rounded, torch.float64)
            assert torch.allclose(result, exact, rtol=tolerance, atol=1e-6), (chosen, rejected)


@pytest.mark.parametrize("value", SWEEP)
def test_log1mexp_keeps_full_precision(value: float) -> None:
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 60
        exact = float((1 - Decimal(value).exp()).ln()) if value > -120 else 0.0
    assert log1mexp(column(value)).item() == pytest.approx(exact, rel=1e-12, abs=1e-50)


@pytest.mark.parametrize("value", [0.0, 1e-7])
def test_a_logp_rounded_to_zero_is_read_as_the_last_number_below_one(value: float) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        logps = column(value, dtype=dtype, learns=True)
        result = log1mexp(logps)
        result.backward()
        assert result.item() == pytest.approx(-24 * math.log(2), rel=1e-6)
        assert logps.grad.item() == pytest.approx(-(2.0**24), rel=1e-6)


def test_a_certain_rejected_token_moves_no_logit_by_more_than_the_exact_gradient() -> None:
    # float32 rounds log σ(20) to 0 and its gradient is 2e-9: the exact gradient of −log(1 − p) by the logit is p ≤ 1
    for logit in (5.0, 15.0, 20.0, 60.0):
        logits = torch.tensor([[logit, 0.0]], requires_grad=True)
        asft(column(-1.0, dtype=torch.float32), logits.log_softmax(1)[:, 0], beta=1.0).losses.sum().backward()
        assert 0 <= logits.grad.abs().max().item() <= 1.1


def test_no_log_probability_gives_nan_rather_than_a_loss() -> None:
    assert log1mexp(column(0.5)).isnan().all()
    assert asft(column(-1.0), column(0.5), beta=0.1).losses.isnan().all()


@pytest.mark.parametrize("method", PAIRED)
def test_a_method_says_what_it_misses(method: Method) -> None:
    weights = column(1.0, 1.0)
    with pytest.raises(MissingLogpsError, match=f"{method} compares two responses"):
        pairwise_losses(method, batch()._replace(policy_rejected=None), beta=0.1, weights=weights)
    alone = batch()._replace(reference_chosen=None, reference_rejected=None)
    if method in METHODS_WITH_REFERENCE:
        with pytest.raises(MissingLogpsError, match=f"{method} needs the reference"):
            pairwise_losses(method, alone, beta=0.1, weights=weights)
    else:
        assert pairwise_losses(method, alone, beta=0.1, weights=weights).losses.isfinite().all()


def test_ld_align_without_weights_is_refused_and_sft_needs_no_rejected() -> None:
    with pytest.raises(MissingLogpsError, match="weight per example"):
        pairwise_losses("ld_align", batch(), beta=0.1, weights=None)
    alone = PairLogps(column(-6.0), None, torch.tensor([3]), None, None, None)
    assert pairwise_losses("sft", alone, beta=0.1, weights=column(0.5)).losses.tolist() == [1.0]
