"""The Labels section, its picture, its Markdown and the terminal's tables."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from real_browser import chromium
from report_pages import EVIL, Tags, report

from flows.terminal.quality import NO_JUDGEMENTS, NO_PAIRS, NO_SECOND_ANNOTATOR, NO_SUSPECTS, show_quality
from models.labelling.records import PairKey
from models.quality.quality import (
    Annotator,
    AnnotatorAgreement,
    AnnotatorQuality,
    GroupAgreement,
    LabelQuality,
    Share,
    Suspect,
)
from models.report import labels_markdown, labels_svg, render_report, write_report
from models.report.agreement_picture import BOTTOM, LEFT, RIGHT, TOP, draw_panels
from models.report.labels import NO_AGREEMENT, alpha_meaning, escaped, interval, lean, number, percent, trend

NOTHING = Share(None, 0.0, 1.0, 0)
JUDGE = Annotator(1, "judge-7b", "judge", True)
ADA = Annotator(2, "Ada", "person", False)
REWARD = Annotator(3, "reward-model", "reward_model", False)
NOT_IN_XML = re.compile(r"[^\n\x20-\ud7ff]")
EMPTY = LabelQuality(0, 0, 0, None, (), (), (), (), ())


def group(name: str, share: Share, low: float | None = None, high: float | None = None) -> GroupAgreement:
    return GroupAgreement(name, low, high, share.count, share, None if share.value is None else 0.41)


def bins(*shares: Share) -> tuple[GroupAgreement, ...]:
    edges = [at / max(1, len(shares)) for at in range(len(shares) + 1)]
    return tuple(
        group(f"{low:.2f} to {high:.2f}", share, low, high)
        for share, low, high in zip(shares, edges, edges[1:], strict=False)
    )


def annotator_row(annotator: Annotator, left: Share, longer: Share, flips: Share = NOTHING) -> AnnotatorQuality:
    seconds = 7.25 if annotator.kind == "person" else None
    agreement = Share(0.74, 0.69, 0.79, 310)
    return AnnotatorQuality(annotator, 640, 311, 12, 3, 2, 6, agreement, left, longer, flips, 0.83, seconds)


def quality(prompt: str = "How do I look after a fern?", name: str = "judge-7b") -> LabelQuality:
    judge = replace(JUDGE, name=name)
    return LabelQuality(
        pair_count=1200,
        labelled_count=318,
        judgement_count=958,
        alpha=0.534,
        by_strategy=(
            group("hard", Share(0.58, 0.50, 0.66, 150)),
            group("centroid", Share(0.79, 0.72, 0.85, 160)),
            group("random", Share(0.71, 0.63, 0.78, 140)),
            group("easy", Share(0.86, 0.80, 0.91, 1155)),
        ),
        by_similarity=bins(
            Share(0.88, 0.81, 0.93, 120),
            Share(0.82, 0.74, 0.88, 120),
            Share(0.75, 0.67, 0.82, 120),
            Share(0.68, 0.59, 0.76, 120),
            Share(0.57, 0.48, 0.65, 120),
        ),
        annotators=(
            annotator_row(
                judge, Share(0.61, 0.57, 0.65, 610), Share(0.66, 0.6, 0.71, 290), Share(0.13, 0.1, 0.17, 318)
            ),
            annotator_row(ADA, Share(0.49, 0.43, 0.55, 300), Share(0.52, 0.46, 0.58, 290)),
            annotator_row(REWARD, NOTHING, Share(0.35, 0.3, 0.41, 290)),
        ),
        agreements=(
            AnnotatorAgreement(judge, ADA, 305, Share(0.77, 0.72, 0.81, 305), 0.55),
            AnnotatorAgreement(judge, REWARD, 318, Share(0.71, 0.66, 0.76, 318), -0.004),
        ),
        suspects=(
            Suspect(PairKey(41, 52), prompt, "annotators disagree", 2.0, ((name, "first"), ("Ada", "second")), 0.9712),
            Suspect(
                PairKey(7, 9), prompt, "margin 3.10 of reward-model against Ada", 1.5, (("Ada", "both_bad"),), None
            ),
        ),
    )


def one_annotator() -> LabelQuality:
    rows = (annotator_row(ADA, Share(0.5, 0.2, 0.8, 6), NOTHING),)
    groups = (group("easy", NOTHING),)
    return replace(quality(), alpha=None, by_strategy=groups, by_similarity=bins(NOTHING), annotators=rows,
                   agreements=(), suspects=())  # fmt: skip


def page(labels: LabelQuality | None) -> str:
    return render_report(replace(report(), labels=labels))


def shown_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_shows_labels_only_when_there_are_judgements() -> None:
    assert page(None) == page(EMPTY) == page(replace(quality(), judgement_count=0))
    assert "Krippendorff" not in page(None)
    text = shown_text(page(quality()))
    for expected in ("318 of 1,200, 26.5 %", "958 3.0 a labelled pair", "0.53 too low to rely on one label a pair"):
        assert expected in text
    for expected in ("7.2 s", "judge-7b and Ada 305 77 % 72–81 % 0.55", "318 71 % 66–76 % 0.00", "0.971", "both bad"):
        assert expected in text


def test_a_bias_is_named_only_where_its_interval_excludes_one_half() -> None:
    text = shown_text(page(quality()))
    assert "61 % 57–65 % favours left" in text and "66 % 60–71 % favours longer" in text
    assert "35 % 30–41 % favours shorter" in text and "49 % 43–55 % 52 %" in text and "favours right" not in text
    assert lean(Share(0.6, 0.5, 0.7, 9), "below", "above") == lean(Share(0.4, 0.3, 0.5, 9), "below", "above") == ""
    assert lean(NOTHING, "below", "above") == ""
    assert lean(Share(0.4, 0.3, 0.49, 9), "below", "above") == "below"


def test_the_question_is_answered_only_where_the_intervals_are_apart() -> None:
    high, middle, low = Share(0.9, 0.8, 0.95, 60), Share(0.7, 0.6, 0.8, 60), Share(0.5, 0.4, 0.6, 60)
    asked = {
        (high, middle, low): "Here it does: 90 % among the least similar pairs, 50 % among the most similar",
        (low, high): "Here it rises: 50 %",
        (high, middle): "do not decide it: 90 %",
        (middle, NOTHING, low): "do not decide it: 70 %",
        (high, low, NOTHING): "Here it does: 90 %",
        (high, NOTHING): "Not to be said yet",
        (high,): "Not to be said yet",
        (): "Not to be said yet",
    }
    for shares, answer in asked.items():
        found = bins(*shares)
        assert answer in trend(replace(EMPTY, by_similarity=found))
        assert trend(replace(EMPTY, by_similarity=found[::-1])) == trend(replace(EMPTY, by_similarity=found))


@pytest.mark.parametrize(
    ("alpha", "meaning"),
    [(1, "reliable"), (0.8, "reliable"), (0.799, "enough for"), (0.667, "enough for"), (0.666, "too low"),
     (0.0, "no better"), (-0.3, "no better"), (None, "all votes are the same")],
)  # fmt: skip
def test_alpha_comes_with_what_it_means(alpha: float | None, meaning: str) -> None:
    assert meaning in alpha_meaning(replace(quality(), alpha=alpha))
    assert "two annotators" in alpha_meaning(one_annotator())


def test_a_picture_worked_by_hand() -> None:
    shares = Share(1.0, 0.75, 1.0, 4), NOTHING
    strategies, similarity = draw_panels(
        replace(
            EMPTY, by_strategy=(group("imported", shares[1]), group("easy", shares[0])), by_similarity=bins(*shares)
        )
    )
    assert strategies.ticks[0] == ("50 %", BOTTOM) and strategies.ticks[-1] == ("100 %", TOP)
    easy, imported = strategies.estimates
    assert (easy.x, imported.x) == (LEFT + (RIGHT - LEFT) / 4, RIGHT - (RIGHT - LEFT) / 4)
    assert (easy.y, easy.top, easy.bottom) == (TOP, TOP, (TOP + BOTTOM) / 2)
    assert (easy.mark, easy.value, easy.count, easy.words) == ("easy", "100 %", "4", ("easy",))
    assert (imported.mark, imported.value, imported.y, imported.words) == ("", "–", None, ("imported",))
    assert [each.words for each in similarity.estimates] == [("0.00–", "0.50"), ("0.50–", "1.00")]
    assert draw_panels(one_annotator()) == ()
    (below,) = draw_panels(replace(EMPTY, by_similarity=(group("-0.20 to -0.05", shares[0], -0.2, -0.05),)))
    assert below.estimates[0].words == ("−0.20–", "−0.05")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_every_dot_lies_in_its_interval_and_words_never_overlap(values: list[tuple[float, float, float]]) -> None:
    shares = [Share(middle, low, high, 9) for low, middle, high in map(sorted, values)]
    (panel,) = draw_panels(replace(EMPTY, by_similarity=bins(*shares)))
    for estimate in panel.estimates:
        assert estimate.y is not None
        assert TOP <= estimate.top <= estimate.y <= estimate.bottom <= BOTTOM
    labelled = [each.x for each in panel.estimates if each.is_labelled]
    assert labelled[0] > LEFT and panel.estimates[-1].x < RIGHT
    assert all(right - left >= 38.8 for left, right in pairwise(labelled))


@pytest.mark.parametrize("shown", [quality(), quality(EVIL, EVIL), one_annotator(), EMPTY])
def test_the_standalone_picture_is_well_formed_and_needs_nothing_else(shown: LabelQuality) -> None:
    svg = labels_svg(shown)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall(".//{*}circle")) == (9 if shown.by_strategy and shown.agreements else 0)
    assert "var(--ink)" in svg and "--ink:" in svg and "prefers-color-scheme: dark" in svg
    caption = " ".join(text.text or "" for text in root.findall("{*}text"))
    assert caption == (trend(shown) if shown.agreements else NO_AGREEMENT)
    assert not re.search(r"href|url\(|@import|<script", svg)


@pytest.mark.parametrize("shown", [quality(EVIL, EVIL), quality("x" * 3000), quality("")])
def test_hostile_and_long_prompts_stay_text_on_the_page(shown: LabelQuality) -> None:
    tags = Tags(page(shown))
    assert not tags.names & {"script", "img", "link", "iframe"} and not tags.attributes & {"src", "href", "onerror"}
    assert shown.suspects[0].prompt.replace("<", "&lt;")[:9] in page(shown)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_markdown_shows_any_text_letter_by_letter(text: str) -> None:
    table = f"| a | b |\n|--|--|\n| x{escaped(text)}x | end |\n"
    rows = ElementTree.fromstring(NOT_IN_XML.sub("?", MarkdownIt().enable("table").render(table)))
    cells = rows.findall("tbody/tr/td")
    assert [cell.text for cell in cells] == [NOT_IN_XML.sub("?", f"x{' '.join(text.split())}x"), "end"]
    assert not [child for cell in cells for child in cell]


@pytest.mark.parametrize(
    "text", ["a|b", "a\\|b", "`code` | `", "<b>&amp;", "one\n\ntwo", "[x](javascript:y)", "https://a.b", "**x**", "- x"]
)
def test_the_markup_of_a_prompt_marks_nothing_up(text: str) -> None:
    rendered = MarkdownIt().enable("table").render(labels_markdown(quality(text, text)))
    root = ElementTree.fromstring(f"<all>{rendered}</all>")
    assert {each.tag for each in root.iter()} <= {"all", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert {len(row) for row in root.findall("table/tbody/tr")} == {7, 14, 6, 5}
    assert root.findall("table/tbody/tr")[-1][0].text == " ".join(text.split())


def test_markdown_has_no_table_without_rows() -> None:
    assert labels_markdown(EMPTY).startswith("# Labels\n\n0 of 0 pairs labelled") and "##" not in labels_markdown(EMPTY)
    assert "## Annotators" in labels_markdown(one_annotator()) and "worth" not in labels_markdown(one_annotator())


def test_the_terminal_shows_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_quality(quality("[bold]fern[/bold]\nplease"), 7)
    out = capsys.readouterr().out
    for expected in (
        "318 of 1,200 pairs labelled",
        "α: 0.53",
        "0.80 to 1.00",
        "Here it does",
        "[bold]fern[/bold] please",
    ):
        assert expected in out
    assert out.index("easy") < out.index("hard") < out.index("centroid") and "Ada: both bad" in out


@pytest.mark.parametrize(
    ("shown", "hint"),
    [(EMPTY, NO_PAIRS), (replace(EMPTY, pair_count=3), NO_JUDGEMENTS), (one_annotator(), NO_SECOND_ANNOTATOR),
     (replace(quality(), suspects=()), NO_SUSPECTS)],
)  # fmt: skip
def test_what_is_missing_comes_with_what_to_do(
    shown: LabelQuality, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_quality(shown, 7)
    out = capsys.readouterr().out
    hints = [NO_PAIRS, NO_JUDGEMENTS, NO_SECOND_ANNOTATOR, NO_SUSPECTS]
    found = [line for line in hints if line.format(run=7) in out]
    assert found == [hint]
    assert hint not in {NO_JUDGEMENTS, NO_SECOND_ANNOTATOR} or "antipode web --run 7" in out, "the run is named"


def test_figures_are_written_the_same_way_everywhere() -> None:
    assert [number(value) for value in (None, -0.001, -0.25, 1)] == ["–", "0.00", "−0.25", "1.00"]
    share = Share(0.996, 0.9801, 1.0, 40)
    assert (percent(share), interval(share), percent(NOTHING), interval(NOTHING)) == ("100 %", "98–100 %", "–", "")


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 780, 940])
def test_the_section_never_runs_out_of_a_window(width: int, tmp_path: Path) -> None:
    write_report(replace(report(), labels=quality("x" * 900, "y" * 60)), tmp_path / "report.html")
    with chromium() as browser:
        view = browser.new_page(viewport={"width": width, "height": 900})
        view.goto((tmp_path / "report.html").as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.locator(".labels .panel circle").count() == 9
