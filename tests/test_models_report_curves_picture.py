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
from sample_plots import all_words, check_words, paths, titles

from models.alignment.records import MetricPoint
from models.report.curves_picture import (
    CURVES,
    NO_CURVES,
    compared_curves_svg,
    curves_svg,
    draw_curves,
    draw_drift,
    draw_latent_distances,
    last_value,
)
from models.report.plots import Drawing

values = st.floats() | st.floats(-10, 10)


def places(drawing: Drawing, line: int = 0) -> list[tuple[float, float]]:
    """The places that a line of the drawing goes through."""
    path = "".join(each for each in paths(drawing, "line") if "h26" not in each)
    if line:
        path = [each for each in paths(drawing, "line") if "h26" not in each][line]
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def keys(drawing: Drawing) -> list[str]:
    """What the legend names."""
    return [words.text for words in all_words(drawing) if words.kind == "label"]


def ticks(drawing: Drawing, anchor: str) -> list[str]:
    """The labels of an axis: those of the upright one end at their place."""
    return [words.text for words in all_words(drawing) if words.kind == "tick" and words.anchor == anchor]


def test_a_curve_is_drawn_on_round_axes_and_told_to_a_pointer() -> None:
    (drawing,) = draw_curves(curve("margin", 0, 0.25, 0.5))
    (left, bottom), (middle, half), (right, top) = places(drawing)
    assert middle == pytest.approx((left + right) / 2, abs=0.1) and half == pytest.approx((bottom + top) / 2, abs=0.1)
    assert left < right and top < bottom
    assert ticks(drawing, "end") == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert ticks(drawing, "middle") == ["0", "5", "10", "15", "20", "optimizer steps"]
    assert titles(drawing)[1] == "optimizer steps: 10\nheld out: 0.250"


def test_points_are_drawn_in_the_order_of_steps_and_the_newest_of_a_step_wins() -> None:
    points = curve("margin", 0, 0.25, 0.5)
    assert draw_curves([*points[::-1]]) == draw_curves(points)
    assert draw_curves([replace(points[1], value=9.0), *points]) == draw_curves(points)


def test_the_loss_of_training_is_not_drawn_beside_the_held_out_loss_of_eq_11() -> None:
    drawings = draw_curves(curve("loss", 3, 2, split="train") + curve("loss", 0.7, 0.6) + curve("objective", 4, 3))
    assert [(drawing.title, keys(drawing)) for drawing in drawings] == [
        ("Loss (REAL eq. 11)", ["held out"]),
        ("The method’s own objective", ["held out", "train"]),
    ]


def test_chosen_and_rejected_share_a_picture_and_are_marked_apart() -> None:
    (drawing,) = draw_curves(curve("chosen_logps", -50, -48) + curve("rejected_logps", -50, -70))
    assert keys(drawing) == ["chosen", "rejected"]
    assert places(drawing, 1)[0] == places(drawing)[0]
    assert all(label.startswith("−") for label in ticks(drawing, "end"))
    assert {group.mark for group in drawing.groups if group.mark} == {"mark-0", "mark-1"}


def test_a_value_that_is_not_finite_interrupts_its_line() -> None:
    (drawing,) = draw_curves(curve("margin", 0, 1, math.nan, 2, math.inf))
    assert len([path for path in paths(drawing, "line") if "h26" not in path]) == 2
    assert len(places(drawing)) == 3
    assert drawing.notes == ("2 values are not finite, or beyond the axis’s kind, and not drawn.",)


@pytest.mark.parametrize("found", [(), (math.nan,), (math.inf, -math.inf), (1e200,)])
def test_without_a_value_to_draw_there_is_no_picture_and_the_sheet_says_so(found: tuple[float, ...]) -> None:
    assert draw_curves(curve("margin", *found)) == ()
    assert NO_CURVES in curves_svg(curve("margin", *found))


@pytest.mark.parametrize("found", [(0.7,), (0.0,), (0.7, 0.7, 0.7), (-3.0, -3.0)])
def test_one_point_and_constant_values_lie_in_the_middle(found: tuple[float, ...]) -> None:
    (drawing,) = draw_curves(curve("loss", *found))
    check_words(drawing)
    heights = [words.y for words in all_words(drawing) if words.anchor == "end"]
    assert all(y == pytest.approx((min(heights) + max(heights)) / 2, abs=40) for _, y in places(drawing))


@given(st.lists(st.builds(MetricPoint, st.integers(0, 10**6), st.just("held_out"), st.just("margin"), values)))
def test_every_curve_lies_within_its_picture(points: list[MetricPoint]) -> None:
    for drawing in draw_curves(points):
        check_words(drawing)
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in places(drawing))


def test_all_pictures_share_the_axis_of_steps() -> None:
    long, short = draw_curves(curve("margin", *[0.1] * 30) + curve("kl", 1, 2))
    assert ticks(long, "middle") == ticks(short, "middle")


def test_the_sheet_of_curves_is_xml_of_its_own_with_a_picture_a_question() -> None:
    points = [point for _, _, lines in CURVES for split, name, _ in lines for point in _points(split, name)]
    svg = curves_svg(points)
    root = ElementTree.fromstring(svg)
    headings = [each.text for each in root.iter() if (each.get("class") or "").startswith("heading")]
    assert headings == [title for title, _, _ in CURVES]


def _points(split: str, name: str) -> list[MetricPoint]:
    return curve(name, 0.1, 0.2, split="train" if split == "train" else "held_out")


def test_the_last_value_is_the_newest_finite_one_held_out() -> None:
    points = curve("kl", 1, 2, math.nan) + curve("kl", 5, split="train")
    assert last_value(points[::-1], "kl") == 2
    assert last_value(points, "margin") is None


def test_the_drift_is_drawn_as_two_histograms_on_shared_bins() -> None:
    drawing = draw_drift("Cosines", drift())
    assert drawing is not None
    check_words(drawing)
    assert keys(drawing) == ["policy", "base"]
    steps = [re.findall(r"H([\d.]+)", path) for path in paths(drawing, "filled") if "h26" not in path]
    assert steps[0] == steps[1] and len(steps[0]) == len(drift().similarity_edges) - 1
    assert draw_drift("Cosines", replace(drift(), pair_count=0)) is None


def test_latent_distances_are_shares_of_their_round_and_at_most_three_rounds() -> None:
    drawing = draw_latent_distances({4: [1.0] * 100, 1: [9.0], 2: [1.0], 3: [1.0, 2.0, math.nan]})
    assert drawing is not None
    check_words(drawing)
    assert keys(drawing) == ["round 2", "round 3", "round 4"]
    told = titles(drawing)[0]
    assert "round 2: 1 of 1, 100.0 %" in told and "round 3: 1 of 2, 50.0 %" in told


@pytest.mark.parametrize("found", [{}, {1: []}, {1: [math.nan]}])
def test_without_a_latent_distance_there_is_no_picture(found: dict[int, list[float]]) -> None:
    assert draw_latent_distances(found) is None


def test_equal_latent_distances_are_drawn() -> None:
    drawing = draw_latent_distances({1: [0.0, 0.0]})
    assert drawing is not None
    check_words(drawing)


def test_trainings_over_each_other_have_a_picture_a_metric_and_a_line_each() -> None:
    first = [*curve("margin", 0.1, 0.2), *curve("objective", 0.7), *curve("loss", 0.6, split="train")]
    second = [*curve("margin", 0.3), *curve("kl", 1.0, 2.0, 3.0)]
    svg = compared_curves_svg({"policy 1": first, "policy 2": second})
    ElementTree.fromstring(svg)
    assert svg.count("Margin of rewards (REAL eq. 10), held out") == 1
    assert svg.count(">policy 1</text>") == 1
    assert svg.count(">policy 2</text>") == 2
    assert "objective" not in svg, "two methods' objectives are different quantities"
    lonely = svg.partition("KL(reference")[2]
    assert 'class="mark-1"' in lonely, "policy 2 has the mark that it has beside policy 1"
    assert 'class="mark-0"' not in lonely


def test_trainings_without_a_value_say_so() -> None:
    assert NO_CURVES in compared_curves_svg({"policy 1": [], "policy 2": curve("margin", math.nan)})
