"""The page of a policy: its sections, its Markdown, and what it does with hostile text."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from policy_pages import JUDGED, curve, divergences, drift
from real_browser import chromium
from report_pages import EVIL, Tags

from models.evaluation.measurements import RewardSummary
from models.guide import NO_COUPLE, GuideCheck
from models.intervals import Interval
from models.report.contents import NextStep
from models.report.policy_contents import Cost, Gate, PolicyContents, ResponseExample, TextScore
from models.report.policy_page import (
    evaluation_table,
    guide_table,
    kl_lines,
    kl_table,
    nothing_learnt,
    policy_markdown,
    policy_page,
)

BARE = PolicyContents(7, "easy-dpo", "dpo", 0, "pythia-160m")
GUIDE = GuideCheck(
    None, 31, 1.2, 1.25, Interval(0.05, 0.04, 0.06), 225, 0.681, 1204, Interval(0.54, 0.51, 0.57)
)  # fmt: skip
SECTIONS = (
    "Does the policy pass the gate?",
    "Is the policy preferred to the baseline?",
    "Does training move the policy towards the chosen responses?",
    "How close the responses are as texts",
    "How far did training move the policy?",
    "Would the policy’s own embeddings select the same pairs?",
    "Does the guide tell responses apart?",
    "Do sampled responses come closer to the golden ones?",
    "What the two answer",
    "Figures at the end of training",
    "How it was trained",
)


class Page(Tags):
    """The tags of a policy's page, which has some that close themselves and the other report has not."""

    VOID = Tags.VOID | {"rect"}


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
        kl=divergences(),
        drift={"response": drift(), text: drift()},
        guide=GUIDE,
        latent_distances={1: [1.0, 2.0, 3.0], 2: [0.5, 1.5, math.inf]},
        gate=Gate("not passed", text, NextStep(text, text)),
        cost=Cost(754.2, 10423.0, 3120.0),
        examples=[ResponseExample(text, text, text, text)],
    )


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
    assert "Held-out accuracy | 55.6 % | mean over prompts |" in text


def test_without_an_evaluation_the_tiles_are_the_last_points_of_the_training() -> None:
    assert "43.8 %" in policy_page(replace(BARE, points=curve("accuracy", 0.5, 0.4375)))


@pytest.mark.parametrize(
    ("margin", "method", "words"),
    [
        ((0.0, 0.0, 0.0), "dpo", "raise --train.learning_rate"),
        ((0.004, 0.001, 0.007), "spin", "margin is 0.00400 (0.00100 to 0.00700) nats; raise --rounds.learning_rates"),
        ((0.1, -0.2, 0.4), "orpo", "no more than noise; label more pairs"),
        ((0.2, 0.1, 0.3), "dpo", None),
        ((-0.2, -0.3, -0.1), "dpo", None),
        ((0.0, -math.inf, math.inf), "dpo", None),
    ],
)  # fmt: skip
def test_a_margin_that_did_not_move_is_told_with_what_to_do(margin, method, words) -> None:
    rewards = replace(measured(accuracy=0.5), margin=Interval(*margin))
    contents = replace(BARE, method=method, held_out=rewards)
    told = nothing_learnt(contents)
    assert told is None if words is None else words in told
    assert ("Learnt" in policy_page(contents)) == ("Learnt" in policy_markdown(contents)) == (told is not None)
    assert nothing_learnt(BARE) is None, "nothing was measured"


def test_each_comparison_says_its_prompts_its_seed_and_its_date() -> None:
    of_no_run = replace(JUDGED, seed=None, prompt_count=1200)
    columns, rows = evaluation_table([JUDGED, of_no_run])
    assert columns[-4:] == ("prompts", "gate interval", "seed", "date")
    look = "0.590 to 0.780 (look 3, judged at 0.42 %)"
    assert [row[-4:] for row in rows] == [("50", look, "0", "2026-05-04"), ("1,200", look, "–", "2026-05-04")]
    page = policy_page(replace(BARE, evaluations=[JUDGED]))
    assert "judge: policy against policy 3, seed 0" in page and "2026-05-04" in page


def test_both_divergences_are_told_by_name_with_intervals_and_what_was_cut() -> None:
    columns, rows = kl_table(divergences())
    assert columns[1:3] == ("nats a response (95 %)", "nats a token (95 %)")
    assert [row[0] for row in rows] == ["KL(reference ‖ policy)", "KL(policy ‖ reference)"]
    assert rows[0][1].startswith("0.375 (") and rows[0][2].startswith("0.125 (") and rows[0][3:] == ("3", "2", "2")
    assert rows[1] == ("KL(policy ‖ reference)", "2.00", "0.500", "1", "1", "0"), "of one prompt there is no interval"
    page = policy_page(replace(BARE, kl=divergences()))
    assert "RLHF’s objective" in page and "its reference, the model the run began with" in page
    first, second = kl_lines(divergences())
    assert first.startswith("KL(reference ‖ policy): 0.375 (") and first.endswith("; 2 of 3 samples cut at max_tokens")
    assert second == "KL(policy ‖ reference): 2.00 nats a response, 0.500 a token; 0 of 1 samples cut at max_tokens"
    assert kl_lines(None) == []


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


@pytest.mark.parametrize(
    "name", ["gate", "evaluations", "points", "text_scores", "kl", "drift", "guide", "examples", "config"]
)
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


def test_the_page_says_what_the_guide_was_found_to_do() -> None:
    page, text = policy_page(replace(BARE, guide=GUIDE)), policy_markdown(replace(BARE, guide=GUIDE))
    assert "It does: texts that it was not trained on" in page
    for words in ("0.0500 (0.0400 to 0.0600)", "31 held-out golden responses", "0.681", "1,204 labelled couples"):
        assert words in page
    assert "## The guide" in text and "1,204 labelled couples" in text
    unlabelled = replace(GUIDE, couple_count=0, farther_is_worse=None)
    assert guide_table(unlabelled)[1][-1][1:] == ("–", NO_COUPLE), "why there is none"
    blind = replace(GUIDE, base="gpt2", gain=Interval(0.0, -math.inf, math.inf), length_correlation=None)
    page = policy_page(replace(BARE, guide=blind))
    assert "It was not shown to" in page and ">0.00<" in page and "<td" in page


def test_the_same_contents_give_the_same_page() -> None:
    assert policy_page(full()) == policy_page(full())


def test_the_markdown_is_short_and_has_the_figures() -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(policy_markdown(full()))
    assert "<h1>Policy 7: fern</h1>" in html
    for words in ("69.0 % (62.0 to 75.0 %)", "75.0 %", "0.500", "12.3", "10,423 tokens/s"):
        assert words in html
    assert len(policy_markdown(full()).splitlines()) < 70


def test_the_markdown_of_a_bare_policy_says_who_it_is() -> None:
    assert policy_markdown(BARE) == ("# Policy 7: easy-dpo\n\n- Policy: 7\n- Method: dpo\n- Base model: pythia-160m\n")


def test_no_text_can_mark_up_the_markdown() -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(policy_markdown(full(EVIL + "\n# | *x*")))
    assert "<script" not in html
    assert "<em>" not in html
    assert html.count("<h1>") == 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 780, 970, 1280])
def test_the_page_never_runs_out_of_a_window(width: int, tmp_path: Path) -> None:
    long = replace(JUDGED, annotator="rubric (temperature 0, seed 0)", baseline="/a/" + "folder/" * 12, seed=2**53 - 1)
    (tmp_path / "policy.html").write_text(policy_page(replace(full("fern " * 9), evaluations=[long, JUDGED])))
    with chromium() as browser:
        view = browser.new_page(viewport={"width": width, "height": 900})
        view.goto((tmp_path / "policy.html").as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.locator("text=2026-05-04").count() == 2
