"""Log-probabilities of hidden states by blocks of the vocabulary against the full softmax."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.alignment.logps import chunked_logps


def head_case(dtype: torch.dtype, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(count)
    states, weight, bias = torch.randn(count, 16), torch.randn(150, 16) / 2, torch.randn(150)
    leaves = [value.to(dtype).requires_grad_() for value in (states, weight, bias)]
    return leaves[0], leaves[1], leaves[2], torch.randint(150, (count,))


@pytest.mark.parametrize("count", [0, 1, 65, 1025])
@pytest.mark.parametrize("has_bias", [True, False])
def test_blocks_of_the_vocabulary_equal_the_full_softmax(count: int, has_bias: bool) -> None:
    states, weight, bias, targets = head_case(torch.float32, count)
    leaves = (states, weight, bias)[: 2 + has_bias]
    slopes = torch.linspace(-1, 2, count)
    full = torch.nn.functional.linear(states, weight, bias if has_bias else None).log_softmax(dim=1)
    wanted = full.gather(1, targets[:, None])[:, 0]
    ours = chunked_logps(states, weight, bias if has_bias else None, targets)
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)
    for got, want in zip(
        torch.autograd.grad(ours @ slopes, leaves), torch.autograd.grad(wanted @ slopes, leaves), strict=True
    ):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_tokens_that_a_bias_rules_out_change_nothing() -> None:
    states, weight, bias, targets = head_case(torch.float32, 10)
    ruled_out = bias.detach().clone()
    ruled_out[:70] = -torch.inf  # the whole first block
    targets = targets.clamp(min=70)
    wanted = (states @ weight.T + ruled_out).log_softmax(dim=1).gather(1, targets[:, None])[:, 0]
    ours = chunked_logps(states, weight, ruled_out, targets)
    torch.testing.assert_close(ours, wanted)
    for got, want in zip(*(torch.autograd.grad(of.sum(), (states, weight)) for of in (ours, wanted)), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_large_logits_have_the_gradient_of_the_full_softmax() -> None:
    weight = torch.tensor([[1e4], [9999.0], [5e3]], requires_grad=True)
    states, targets = torch.ones(1, 1), torch.tensor([0])
    chunked_logps(states, weight, None, targets).sum().backward()
    exact = weight.detach().double().requires_grad_()
    (states.double() @ exact.T).log_softmax(dim=1)[0, 0].backward()
    torch.testing.assert_close(weight.grad, exact.grad.float(), rtol=1e-6, atol=1e-6)


def test_a_target_that_no_token_is_has_no_probability() -> None:
    states, weight = torch.ones(2, 3), torch.ones(130, 3)
    assert chunked_logps(states, weight, None, torch.tensor([-100, 500])).isnan().all()


def test_a_case_worked_by_hand() -> None:
    # logits (0, ln 3): probabilities 1/4 and 3/4; d log p(1) / d logits = (−1/4, 1/4).
    states = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [1.0986123]], requires_grad=True)
    logps = chunked_logps(states, weight, None, torch.tensor([1]))
    assert logps.item() == pytest.approx(-0.2876821)
    logps.sum().backward()
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == pytest.approx([-0.25, 0.25])
    assert states.grad is not None
    assert states.grad.item() == pytest.approx(0.25 * 1.0986123)


def test_bfloat16_blocks_are_no_worse_than_trls_softmax() -> None:
    from trl.trainer.utils import selective_log_softmax  # seconds, which each worker would spend where it is collected

    states, weight, _, targets = head_case(torch.bfloat16, 300)
    exact = (states.double() @ weight.double().T).log_softmax(dim=1).gather(1, targets[:, None])[:, 0]
    ours = (chunked_logps(states, weight, None, targets).double() - exact).abs().mean()
    theirs = (selective_log_softmax((states @ weight.T)[None], targets[None])[0].double() - exact).abs().mean()
    assert ours < theirs


def test_a_frozen_weight_gets_no_gradient() -> None:
    states, weight, _, targets = head_case(torch.float32, 10)
    chunked_logps(states, weight.detach(), None, targets).sum().backward()
    assert weight.grad is None
    assert states.grad is not None
