"""The page of a policy: its pictures' geometry, its sections, its Markdown, and what it does with hostile text."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_pages import EVIL, Tags

from models.alignment.records import MetricPoint, MetricSplit
from models.evaluation.drift import embedding_drift
from models.evaluation.measurements import Drift, RewardSummary
from models.intervals import Interval
from models.report.axes import digits, round_axis, step_axis
from models.report.contents import NextStep
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
from models.report.intervals_picture import LEFT as BAR_LEFT
from models.report.intervals_picture import RIGHT as BAR_RIGHT
from models.report.intervals_picture import draw_comparisons
from models.report.policy_contents import (
    Cost,
    EvaluationFigures,
    Gate,
    PolicyContents,
    Rate,
    ResponseExample,
    TextScore,
)
from models.report.policy_page import evaluation_table, policy_markdown, policy_page

BARE = PolicyContents(7, "easy-dpo", "dpo", 0, "pythia-160m")
JUDGED = EvaluationFigures(
    "judge", "policy 3", 64, 10, 26, Rate(0.69, 0.62, 0.75), Rate(0.61, 0.54, 0.67), 50, 0,
    datetime(2026, 5, 4, tzinfo=UTC),
)  # fmt: skip
SECTIONS = (
    "Does the policy pass the gate?",
    "Is the policy preferred to the baseline?",
    "Does training move the policy towards the chosen responses?",
    "How close the responses are as texts",
    "Would the policy’s own embeddings select the same pairs?",
    "Do sampled responses come closer to the golden ones?",
    "What the two answer",
    "Figures at the end of training",
    "How it was trained",
)
values = st.floats() | st.floats(-10, 10)


class Page(Tags):
    """The tags of a policy's page, which has some that close themselves and the other report has not."""

    VOID = Tags.VOID | {"rect"}


def curve(name: str, *found: float, split: MetricSplit = "held_out") -> list[MetricPoint]:
    return [MetricPoint(10 * step, split, name, value) for step, value in enumerate(found)]


def drift() -> Drift:
    base = np.random.default_rng(0).normal(size=(40, 8)) + 1
    moved = base + np.random.default_rng(1).normal(size=base.shape) / 5
    moved[3] = np.nan
    return embedding_drift(base, moved, np.arange(0, 41, 4), bins=12)


def measured(*, accuracy: float) -> RewardSummary:
    single = Interval(0.1, -math.inf, math.inf)
    return RewardSummary(margin=single, loss=single, accuracy=Interval(accuracy, 0.5, 0.6), perplexity=single)


def full(text: str = "fern") -> PolicyContents:
    return PolicyContents(
        policy_id=7,
        name=text,
        method=text,
        round=2,
        base_model=text,
        baseline=text,
        snapshot=text,
        content_hash="9f86d081884c7d659a2feaa0c55ad015",
        config=[(text, text), ("beta", "0.1")],
        points=curve("margin", 0, 0.25, 0.5) + curve("accuracy", 0.5, 0.75) + curve("loss", 0.5, math.nan),
        metrics={text: 0.12345},
        evaluations=[replace(JUDGED, annotator=text, baseline=text)],
        text_scores=[TextScore(text, 12.3456), TextScore("distinct-2", 0.71)],
        drift={"response": drift(), text: drift()},
        latent_distances={1: [1.0, 2.0, 3.0], 2: [0.5, 1.5, math.inf]},
        gate=Gate("not passed", text, NextStep(text, text)),
        cost=Cost(754.2, 10423.0, 3120.0),
        examples=[ResponseExample(text, text, text, text)],
    )


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


@given(st.lists(st.floats(-1e100, 1e100) | st.floats(0.5, 0.6), min_size=1))
def test_an_axis_holds_its_values_and_its_ticks_rise(found: list[float]) -> None:
    axis = round_axis(found, start=0, stop=100, most_ticks=6)
    assert all(0 <= axis.place(value) <= 100 for value in found)
    places = [place for _, place in axis.ticks]
    assert places == sorted(set(places))
    assert 2 <= len(places) <= 8


@given(st.integers(0, 10**9))
def test_an_axis_of_steps_begins_at_zero_with_few_whole_ticks(last: int) -> None:
    ticks = step_axis(last, start=0, stop=100, most_ticks=6).ticks
    assert ticks[0] == ("0", 0)
    assert 2 <= len(ticks) <= 6
    assert len({label for label, _ in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.85543, "0.855"),
        (9.996, "10.0"),
        (-12.345, "−12.3"),
        (999.6, "1,000"),
        (10423, "10,423"),
        (5e-7, "5.00e−07"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert digits(value) == text


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


def test_the_bar_is_shared_out_by_wins_ties_and_losses() -> None:
    (row,) = draw_comparisons([JUDGED])
    assert [(part.mark, part.label) for part in row.parts] == [
        ("win", "win 64.0 %"),
        ("tie", "tie"),
        ("lose", "lose 26.0 %"),
    ]
    width = BAR_RIGHT - BAR_LEFT
    assert [part.x for part in row.parts] == pytest.approx(
        [BAR_LEFT, BAR_LEFT + 0.64 * width, BAR_LEFT + 0.74 * width], abs=0.1
    )
    assert row.intervals[0].x == pytest.approx(BAR_LEFT + 0.69 * width, abs=0.1)
    assert row.intervals[1].title == "length-controlled win rate 61.0 % (54.0 to 67.0 %)"


def test_a_rate_without_length_control_has_one_interval_and_no_comparison_no_row() -> None:
    assert len(draw_comparisons([replace(JUDGED, length_controlled=None)])[0].intervals) == 1
    assert draw_comparisons([replace(JUDGED, win=0, tie=0, lose=0)]) == ()
    rows = draw_comparisons([JUDGED, replace(JUDGED, tie=0, lose=0)])
    assert [len(row.parts) for row in rows] == [3, 1]
    assert rows[1].top > rows[0].top


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.floats(-0.5, 1.5))
def test_bars_and_intervals_stay_on_their_scale(win: int, tie: int, lose: int, value: float) -> None:
    rate = Rate(value, value - 0.1, value + 0.1)
    for row in draw_comparisons([replace(JUDGED, win=win, tie=tie, lose=lose, rate=rate)]):
        assert sum(part.width for part in row.parts) == pytest.approx(BAR_RIGHT - BAR_LEFT, abs=0.3)
        for each in row.intervals:
            assert BAR_LEFT <= each.low <= each.x <= each.high <= BAR_RIGHT


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


def test_the_page_has_every_section_that_has_data() -> None:
    page = policy_page(full())
    Page(page)
    assert re.findall(r"<h2>(.*)</h2>", page) == list(SECTIONS)
    for words in ("9f86d081884c<", "12 min 34 s", "10,423 tokens/s", "3,120 MB", "69.0 % (62.0 to 75.0 %)", "0.123"):
        assert words in page
    assert "1 value is not finite and not drawn" in page
    assert "39 (1 without an embedding left out)" in page
    assert "9f86d081884c7" not in page


def test_a_figure_of_the_evaluation_is_shown_once_and_not_beside_the_trainings_own() -> None:
    contents = replace(BARE, points=curve("accuracy", 0.5, 0.4375), held_out=measured(accuracy=0.556))
    page, text = policy_page(contents), policy_markdown(contents)
    assert "55.6 %" in page and "43.8 %" not in page and "mean over prompts" in page
    assert "Held\\-out accuracy | 55\\.6 % | mean over prompts |" in text


def test_without_an_evaluation_the_tiles_are_the_last_points_of_the_training() -> None:
    assert "43.8 %" in policy_page(replace(BARE, points=curve("accuracy", 0.5, 0.4375)))


def test_each_comparison_says_its_prompts_its_seed_and_its_date() -> None:
    of_no_run = replace(JUDGED, seed=None, prompt_count=1200)
    columns, rows = evaluation_table([JUDGED, of_no_run])
    assert columns[-3:] == ("prompts", "seed", "date")
    assert [row[-3:] for row in rows] == [
        ("50", "0", "2026-05-04"), ("1,200", "–", "2026-05-04"),
    ]  # fmt: skip
    page = policy_page(replace(BARE, evaluations=[JUDGED]))
    assert "judge: policy against policy 3, seed 0" in page and "2026-05-04" in page


def test_the_gate_says_what_would_decide() -> None:
    step = NextStep("more prompts would decide", "antipode evaluate 7 --against start")
    page = policy_page(replace(BARE, gate=Gate("not passed", "it is even", step)))
    assert "not passed: it is even" in page and "<code>antipode evaluate 7 --against start</code>" in page
    assert Gate("in use", "it is in use (forced)").words == "it is in use (forced)"


def test_a_bare_policy_has_a_page_without_sections() -> None:
    page = policy_page(BARE)
    tags = Page(page)
    assert "section" not in tags.names
    assert "Round" not in page
    assert "Snapshot" not in page


@pytest.mark.parametrize("name", ["gate", "evaluations", "points", "text_scores", "drift", "examples", "config"])
def test_a_section_is_left_out_with_its_data(name: str) -> None:
    page = policy_page(replace(full(), **{name: getattr(BARE, name)}))
    assert len(re.findall("<h2>", page)) == len(SECTIONS) - 1


def test_pictures_in_the_page_are_valid_xml() -> None:
    pictures = re.findall(r"<svg.*?</svg>", policy_page(full(EVIL)), re.DOTALL)
    assert len(pictures) == 8
    for picture in pictures:
        ElementTree.fromstring(picture)


def test_no_text_can_mark_up_the_page() -> None:
    page = policy_page(full(EVIL))
    tags = Page(page)
    assert not {"script", "img"} & tags.names
    assert not {"onerror", "src", "href"} & tags.attributes
    assert page.count("&lt;script&gt;") > 10


def test_the_same_contents_give_the_same_page() -> None:
    assert policy_page(full()) == policy_page(full())


def test_the_markdown_is_short_and_has_the_figures() -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(policy_markdown(full()))
    assert "<h1>Policy 7: fern</h1>" in html
    for words in ("69.0 % (62.0 to 75.0 %)", "75.0 %", "0.500", "12.3", "10,423 tokens/s"):
        assert words in html
    assert len(policy_markdown(full()).splitlines()) < 60


def test_the_markdown_of_a_bare_policy_says_who_it_is() -> None:
    assert policy_markdown(BARE) == (
        "# Policy 7: easy\\-dpo\n\n- Policy: 7\n- Method: dpo\n- Base model: pythia\\-160m\n"
    )


def test_no_text_can_mark_up_the_markdown() -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(policy_markdown(full(EVIL + "\n# | *x*")))
    assert "<script" not in html
    assert "<em>" not in html
    assert html.count("<h1>") == 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 780, 970, 1280])
def test_the_page_never_runs_out_of_a_window(width: int, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    long = replace(JUDGED, annotator="rubric (temperature 0, seed 0)", baseline="/a/" + "folder/" * 12, seed=2**53 - 1)
    (tmp_path / "policy.html").write_text(policy_page(replace(full("fern " * 9), evaluations=[long, JUDGED])))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 900})
        view.goto((tmp_path / "policy.html").as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.locator("text=2026-05-04").count() == 2
        browser.close()
