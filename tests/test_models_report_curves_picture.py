"""The curves of a training and the histograms beside them: their geometry, and what is not drawn."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_pages import curve, drift

from models.alignment.records import MetricPoint
from models.report.curves_picture import (
    BOTTOM,
    CURVES,
    LEFT,
    NO_CURVES,
    RIGHT,
    TOP,
    Panel,
    curves_svg,
    draw_curves,
    draw_drift,
    draw_latent_distances,
    last_value,
)

values = st.floats() | st.floats(-10, 10)


def check_frame(panel: Panel) -> None:
    """Every number of a panel's paths, and every tick, lies within its frame."""
    for series in panel.series:
        for x, y in [*series.places, *re.findall(r"(-?[\d.]+) (-?[\d.]+)", series.path)]:
            assert LEFT <= float(x) <= RIGHT
            assert TOP <= float(y) <= BOTTOM
    assert all(LEFT <= place <= RIGHT for _, place in panel.x_ticks)
    assert all(TOP <= place <= BOTTOM for _, place in panel.y_ticks)
    assert len(panel.x_ticks) >= 2
    assert 2 <= len(panel.y_ticks) <= 9


def test_a_curve_runs_from_corner_to_corner() -> None:
    (panel,) = draw_curves(curve("margin", 0, 0.25, 0.5))
    (line,) = panel.series
    assert line.places == ((LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP))
    assert line.title == "held out: 0.00 at step 0, 0.500 at step 20"
    assert [label for label, _ in panel.y_ticks] == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert [label for label, _ in panel.x_ticks] == ["0", "5", "10", "15", "20"]


def test_points_are_drawn_in_the_order_of_steps_and_the_newest_of_a_step_wins() -> None:
    points = curve("margin", 0, 0.25, 0.5)
    assert draw_curves([*points[::-1]]) == draw_curves(points)
    assert draw_curves([replace(points[1], value=9.0), *points]) == draw_curves(points)


def test_the_loss_of_training_is_not_drawn_beside_the_held_out_loss_of_eq_11() -> None:
    panels = draw_curves(curve("loss", 3, 2, split="train") + curve("loss", 0.7, 0.6) + curve("objective", 4, 3))
    assert [(panel.title, [each.label for each in panel.series]) for panel in panels] == [
        ("Loss, nats (REAL eq. 11)", ["held out"]),
        ("The method’s own objective", ["train", "held out"]),
    ]


def test_chosen_and_rejected_share_a_panel_and_are_marked_apart() -> None:
    (panel,) = draw_curves(curve("chosen_logps", -50, -48) + curve("rejected_logps", -50, -70))
    assert [each.mark for each in panel.series] == ["rejected", "chosen"]
    assert panel.series[0].places[0] == panel.series[1].places[0]
    assert all(label.startswith("−") for label, _ in panel.y_ticks)


def test_a_value_that_is_not_finite_interrupts_its_line() -> None:
    (panel,) = draw_curves(curve("margin", 0, 1, math.nan, 2, math.inf))
    assert panel.series[0].path.count("M") == 2
    assert len(panel.series[0].places) == 3


@pytest.mark.parametrize("found", [(), (math.nan,), (math.inf, -math.inf), (1e200,)])
def test_without_a_value_to_draw_there_is_no_panel_and_the_picture_says_so(found: tuple[float, ...]) -> None:
    assert draw_curves(curve("margin", *found)) == ()
    assert NO_CURVES in curves_svg(curve("margin", *found))


@pytest.mark.parametrize("found", [(0.7,), (0.0,), (0.7, 0.7, 0.7), (-3.0, -3.0)])
def test_one_point_and_constant_values_lie_in_the_middle(found: tuple[float, ...]) -> None:
    (panel,) = draw_curves(curve("loss", *found))
    check_frame(panel)
    assert all(y == pytest.approx((TOP + BOTTOM) / 2, abs=40) for _, y in panel.series[0].places)


@given(st.lists(st.builds(MetricPoint, st.integers(0, 10**6), st.just("held_out"), st.just("margin"), values)))
def test_every_curve_lies_within_its_frame(points: list[MetricPoint]) -> None:
    for panel in draw_curves(points):
        check_frame(panel)


def test_the_picture_of_curves_is_xml_of_its_own_with_a_panel_a_question() -> None:
    points = [point for _, lines in CURVES for split, name, *_ in lines for point in _points(split, name)]
    svg = curves_svg(points)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    headings = [each.text for each in root.iter() if each.get("class") == "heading"]
    assert headings == [title for title, _ in CURVES]
    assert "prefers-color-scheme: dark" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def _points(split: str, name: str) -> list[MetricPoint]:
    return curve(name, 0.1, 0.2, split="train" if split == "train" else "held_out")


def test_the_last_value_is_the_newest_finite_one_held_out() -> None:
    points = curve("kl", 1, 2, math.nan) + curve("kl", 5, split="train")
    assert last_value(points[::-1], "kl") == 2
    assert last_value(points, "margin") is None


def test_the_drift_is_drawn_as_two_histograms_on_shared_bins() -> None:
    panel = draw_drift("Cosines", drift())
    assert panel is not None
    check_frame(panel)
    assert [each.mark for each in panel.series] == ["base", "policy"]
    assert [x for x, _ in panel.series[0].places] == [x for x, _ in panel.series[1].places]
    assert draw_drift("Cosines", replace(drift(), pair_count=0)) is None


def test_latent_distances_are_shares_of_their_round_and_at_most_three_rounds() -> None:
    panel = draw_latent_distances({4: [1.0] * 100, 1: [9.0], 2: [1.0], 3: [1.0, 2.0, math.nan]})
    assert panel is not None
    check_frame(panel)
    assert [each.label for each in panel.series] == ["round 2", "round 3", "round 4"]
    tops = [min(y for _, y in each.places) for each in panel.series]
    assert tops[0] == tops[2] == TOP
    assert tops[1] == pytest.approx((TOP + BOTTOM) / 2)


@pytest.mark.parametrize("found", [{}, {1: []}, {1: [math.nan]}])
def test_without_a_latent_distance_there_is_no_picture(found: dict[int, list[float]]) -> None:
    assert draw_latent_distances(found) is None


def test_equal_latent_distances_are_drawn() -> None:
    panel = draw_latent_distances({1: [0.0, 0.0]})
    assert panel is not None
    check_frame(panel)
