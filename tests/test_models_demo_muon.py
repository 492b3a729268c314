"""Muon: torch's own steps in bfloat16, the same but for rounding in float32."""

from __future__ import annotations

import pytest
import torch

from models.demo.muon import Muon, orthogonal

SHAPES = ((24, 48), (48, 24), (32, 32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.0), (torch.float32, 4e-3)])
def test_steps_are_those_of_torchs_muon(shape, dtype, tolerance):
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(shape))
    theirs = torch.nn.Parameter(ours.detach().clone())
    optimizers = (Muon([ours], lr=0.02, dtype=dtype), torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0))
    for _ in range(5):
        gradient = torch.randn(shape)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()

    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonal_matrix_has_singular_values_near_one_and_keeps_its_directions(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)

    found = orthogonal(matrix, dtype=torch.float32)

    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.4 and float(values.max()) < 1.3
    torch.testing.assert_close(
        (left.T @ found @ right.T).diagonal(), (left.T @ found @ right.T).sum(1), rtol=0, atol=1e-4
    )


def test_no_product_is_in_another_format_and_a_zero_gradient_moves_nothing():
    weight = torch.nn.Parameter(torch.ones(4, 8))
    weight.grad = torch.zeros(4, 8)

    Muon([weight], lr=1.0, dtype=torch.float32).step()

    assert torch.equal(weight, torch.ones(4, 8))
    assert orthogonal(torch.randn(4, 8), dtype=torch.float32).dtype == torch.float32
