"""The closed forms of ASFT figure 1 against autograd of the losses that train, and what their pictures say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.alignment.losses import asft, dpo
from models.studies.findings import FieldPlot, LinePlot
from models.studies.methods.loss_fields import alignment_loss, alignment_slopes, bt_loss, bt_slopes, loss_fields

SHARES = st.floats(0.01, 0.99)


def by_autograd(loss_of, p_w, p_l):
    """Loss and its derivatives by both probabilities."""
    chosen, rejected = (torch.tensor([p], dtype=torch.float64, requires_grad=True) for p in (p_w, p_l))
    loss = loss_of(chosen.log(), rejected.log())
    loss.sum().backward()
    return float(loss.detach()), float(chosen.grad), float(rejected.grad)


@given(SHARES, SHARES, st.sampled_from([0.1, 1.0, 2.0]))
def test_the_bradley_terry_forms_are_those_of_the_loss_of_dpo(p_w, p_l, beta):
    even = torch.zeros(1, dtype=torch.float64)
    loss, by_chosen, by_rejected = by_autograd(lambda one, two: dpo(one, two, even, even, beta=beta).losses, p_w, p_l)
    slopes = bt_slopes(p_w, p_l, beta=beta)
    assert (bt_loss(p_w, p_l, beta=beta), *slopes) == pytest.approx((loss, by_chosen, by_rejected), rel=1e-9)


@given(SHARES, SHARES)
def test_the_alignment_forms_are_what_asft_adds_to_sft(p_w, p_l):
    def added(chosen, rejected):
        return asft(chosen, rejected, beta=1.0).losses + chosen  # SFT's loss is −log p_w

    loss, by_chosen, by_rejected = by_autograd(added, p_w, p_l)
    assert (alignment_loss(p_w, p_l), *alignment_slopes(p_w, p_l)) == pytest.approx(
        (loss, by_chosen, by_rejected), rel=1e-9
    )


def test_by_hand():
    assert bt_loss(0.5, 0.5) == pytest.approx(np.log(2))
    assert bt_slopes(0.5, 0.25) == pytest.approx((-2 / 3, 4 / 3))
    assert alignment_loss(0.5, 0.75) == pytest.approx(np.log(8))
    assert alignment_slopes(0.5, 0.75) == pytest.approx((-2, 4))


def test_the_pictures_point_down_both_losses():
    section = loss_fields()
    fields = [plot for plot in section.plots if isinstance(plot, FieldPlot)]
    assert len(fields) == 2
    for plot, slopes in zip(fields, (bt_slopes, alignment_slopes), strict=True):
        assert len(plot.arrows) == 81
        for x, y, dx, dy in plot.arrows:
            wanted = -np.array(slopes(x, y))
            assert dx > 0 > dy
            assert np.hypot(dx, dy) ** 2 == pytest.approx(np.hypot(*wanted))
            assert dx / dy == pytest.approx(wanted[0] / wanted[1])


def test_the_lines_show_that_dpo_stops_pulling_up_what_asft_still_pulls_up():
    slopes = next(plot for plot in loss_fields().plots if isinstance(plot, LinePlot) and "Slopes" in plot.title)
    ends = {line.name: (line.points[0][1].value, line.points[-1][1].value) for line in slopes.lines}
    low, high = ends["Bradley-Terry, by p(chosen)"]
    assert low < 0.1 and high > 1
    assert ends["ASFT, by p(chosen)"] == pytest.approx((2, 2))
    assert ends["ASFT, by p(rejected)"][1] == pytest.approx(10)
