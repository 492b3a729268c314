"""The Labels section, its picture, its Markdown and the terminal's tables."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from real_browser import chromium
from report_pages import EVIL, Tags, report

from flows.terminal.labelling.quality import NO_JUDGEMENTS, NO_PAIRS, NO_SECOND_ANNOTATOR, NO_SUSPECTS, show_quality
from models.intervals import Interval
from models.labelling.records import PairKey
from models.quality.quality import (
    Annotator,
    AnnotatorAgreement,
    AnnotatorQuality,
    Coefficient,
    GroupAgreement,
    LabelQuality,
    Share,
    Suspect,
)
from models.report import labels_markdown, labels_svg, render_report, write_report
from models.report.agreement_picture import agreement_plots
from models.report.labels import (
    AGREEMENT_TITLE,
    NO_AGREEMENT,
    alpha_meaning,
    coefficient,
    escaped,
    interval,
    lean,
    number,
    percent,
    trend,
    warnings,
)

NOTHING = Share(None, 0.0, 1.0, 0)
KNOWN = Share(0.83, 0.78, 0.88, 300)
JUDGE = Annotator(1, "judge-7b", "judge", True)
ADA = Annotator(2, "Ada", "person", False)
REWARD = Annotator(3, "reward-model", "reward_model", False)
NOT_IN_XML = re.compile(r"[^\n\x20-\ud7ff]")
UNDEFINED = Coefficient(None, -1.0, 1.0)
EMPTY = LabelQuality(0, 0, 0, UNDEFINED, UNDEFINED, (), (), (), (), ())


def group(name: str, share: Share, low: float | None = None, high: float | None = None) -> GroupAgreement:
    alphas = (
        [Coefficient(0.41, 0.3, 0.52), Coefficient(0.45, 0.35, 0.55)] if share.value is not None else [UNDEFINED] * 2
    )
    return GroupAgreement(name, low, high, share.count, share, *alphas)


def bins(*shares: Share) -> tuple[GroupAgreement, ...]:
    edges = [at / max(1, len(shares)) for at in range(len(shares) + 1)]
    return tuple(
        group(f"{low:.2f} to {high:.2f}", share, low, high)
        for share, low, high in zip(shares, edges, edges[1:], strict=False)
    )


def annotator_row(
    annotator: Annotator,
    left: Share,
    longer: Share,
    flips: Share = NOTHING,
    accuracy: Share = KNOWN,
) -> AnnotatorQuality:
    seconds = 7.25 if annotator.kind == "person" else None
    agreement = Share(0.74, 0.69, 0.79, 310)
    return AnnotatorQuality(annotator, 640, 311, 12, 3, 2, 6, agreement, left, longer, flips, accuracy, seconds)


def quality(prompt: str = "How do I look after a fern?", name: str = "judge-7b") -> LabelQuality:
    judge = replace(JUDGE, name=name)
    return LabelQuality(
        pair_count=1200,
        labelled_count=318,
        judgement_count=958,
        alpha=Coefficient(0.534, 0.46, 0.61),
        ordinal_alpha=Coefficient(0.572, 0.5, 0.64),
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
            AnnotatorAgreement(
                judge, ADA, 305, Share(0.77, 0.72, 0.81, 305), Coefficient(0.55, 0.45, 0.65), Coefficient(0.6, 0.5, 0.7)
            ),
            AnnotatorAgreement(
                judge, REWARD, 318, Share(0.71, 0.66, 0.76, 318), Coefficient(-0.004, -0.1, 0.09), UNDEFINED
            ),
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
    return replace(
        quality(),
        alpha=UNDEFINED,
        ordinal_alpha=UNDEFINED,
        by_strategy=groups,
        by_similarity=bins(NOTHING),
        annotators=rows,
        agreements=(),
        suspects=(),
    )


def page(labels: LabelQuality | None) -> str:
    return render_report(replace(report(), labels=labels))


def shown_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_shows_labels_only_when_there_are_judgements() -> None:
    assert page(None) == page(EMPTY) == page(replace(quality(), judgement_count=0))
    assert "Krippendorff" not in page(None)
    text = shown_text(page(quality()))
    for expected in (
        "318 of 1,200, 26.5 %",
        "958 3.0 a labelled pair",
        "0.53 0.46 to 0.61, too low to rely on one label",
    ):
        assert expected in text
    for expected in ("7.2 s", "judge-7b and Ada 305 77 % 72–81 % 0.55 0.45 to 0.65 0.60", "0.971", "both bad"):
        assert expected in text
    for expected in ("318 71 % 66–76 % 0.00 −0.10 to 0.09 –", "a pair; ordinal 0.57 (0.50 to 0.64)", "83 % 78–88 %"):
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
    assert meaning in alpha_meaning(replace(quality(), alpha=Coefficient(alpha, -1.0, 1.0)))
    assert "two annotators" in alpha_meaning(one_annotator())


def test_the_pictures_show_who_agrees_by_strategy_by_similarity_and_beyond_chance() -> None:
    shares = Share(1.0, 0.75, 1.0, 4), NOTHING
    strategies, similarity, alphas, ordinal = agreement_plots(
        replace(
            EMPTY, by_strategy=(group("imported", shares[1]), group("easy", shares[0])), by_similarity=bins(*shares)
        )
    )
    assert strategies.rows == (("easy, 4 pairs", Interval(100, 75, 100)),), "where nobody met there is no row"
    assert similarity.rows == (("0.00 to 0.50, 4 pairs", Interval(100, 75, 100)),)
    assert [each.title for each in (alphas, ordinal)] == ["Krippendorff’s α, nominal", "Krippendorff’s α, ordinal"]
    assert alphas.rows == (("easy, 4 pairs", Interval(0.41, 0.3, 0.52)),) and alphas.reference == 0
    assert "%" in strategies.x_title and "α" in alphas.x_title
    assert agreement_plots(one_annotator()) == ()
    (below,) = agreement_plots(replace(EMPTY, by_similarity=(group("-0.20 to -0.05", shares[0], -0.2, -0.05),)))
    assert below.rows[0][0] == "−0.20 to −0.05, 4 pairs"


@pytest.mark.parametrize("shown", [quality(), quality(EVIL, EVIL), one_annotator(), EMPTY])
def test_the_standalone_picture_is_well_formed_and_needs_nothing_else(shown: LabelQuality) -> None:
    svg = labels_svg(shown)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    # Four strategies, five bins; then all pairs and four strategies, twice.
    dots = [each for each in root.iter() if each.get("class") in ("marker", "hollow")]
    assert len(dots) == (19 if shown.by_strategy and shown.agreements else 0)
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


AWKWARD = st.text(alphabet=" \n\t019ab.:+-=#*_~`^$!@&;<>()[]{}|\\/\"'w", min_size=1, max_size=16)


@given(AWKWARD | st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_markdown_shows_any_text_letter_by_letter_wherever_a_line_begins_with_it(text: str) -> None:
    expected = NOT_IN_XML.sub("?", " ".join(text.split()))
    if not expected:
        return
    marked = escaped(text)
    source = (
        f"# {marked}\n\n{marked}\n\n**{marked}**\n\n- {marked}: {marked}\n- {marked}\n\n| a |\n|--|\n| {marked} |\n"
    )
    rendered = MarkdownIt().enable(["table", "strikethrough"]).render(source)
    root = ElementTree.fromstring(f"<all>{NOT_IN_XML.sub('?', rendered)}</all>")
    shown = [each.text for path in ("h1", "p", "p/strong", "ul/li", "table/tbody/tr/td") for each in root.findall(path)]
    assert shown == [expected, expected, None, expected, f"{expected}: {expected}", expected, expected]
    assert [each.tag for each in root] == ["h1", "p", "p", "ul", "table"] and len(list(root.iter())) == 15


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("+0.146 [-0.039, 1]", "+0.146 [-0.039, 1]"),
        ("embeddings of (x, y): torch 2.13.0+cpu (by chance).", "embeddings of (x, y): torch 2.13.0+cpu (by chance)."),
        ("12. May", "12\\. May"),
        ("1) first", "1\\) first"),
        ("- x", "\\- x"),
        ("[x]: y", "\\[x\\]: y"),
        ("see [x](y)", "see [x\\](y)"),
        ("http://a.b or www.a.b", "http\\://a.b or www\\.a.b"),
        ("a :smile: b", "a \\:smile: b"),
    ],
)
def test_only_what_would_mark_something_up_is_escaped(text: str, source: str) -> None:
    assert escaped(text) == source


@pytest.mark.parametrize(
    "text", ["a|b", "a\\|b", "`code` | `", "<b>&amp;", "one\n\ntwo", "[x](javascript:y)", "https://a.b", "**x**", "- x"]
)
def test_the_markup_of_a_prompt_marks_nothing_up(text: str) -> None:
    rendered = MarkdownIt().enable("table").render(labels_markdown(quality(text, text)))
    root = ElementTree.fromstring(f"<all>{rendered}</all>")
    assert {each.tag for each in root.iter()} <= {"all", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert {len(row) for row in root.findall("table/tbody/tr")} == {8, 14, 7, 5}
    assert root.findall("table/tbody/tr")[-1][0].text == " ".join(text.split())


def test_markdown_has_no_table_without_rows() -> None:
    assert labels_markdown(EMPTY).startswith("# Labels\n\n0 of 0 pairs labelled") and "##" not in labels_markdown(EMPTY)
    assert "## Annotators" in labels_markdown(one_annotator()) and "worth" not in labels_markdown(one_annotator())


def test_one_annotator_alone_has_no_agreement_to_show_and_no_dashes_for_it() -> None:
    shown = labels_markdown(one_annotator())
    assert f"## {AGREEMENT_TITLE}\n\n{escaped(NO_AGREEMENT)}\n" in shown
    assert "α: needs two annotators a pair" in shown.replace("\\", "")
    assert "| comparisons |" not in shown and "| comparisons |" in labels_markdown(quality())


def test_the_terminal_shows_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_quality(quality("[bold]fern[/bold]\nplease"), 7)
    out = capsys.readouterr().out
    for expected in (
        "318 of 1,200 pairs labelled",
        "α: 0.53 (0.46 to 0.61) nominal, 0.57 (0.50 to 0.64) ordinal; too low",
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


def test_an_annotator_worse_than_chance_and_two_who_contradict_each_other_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert warnings(quality()) == []
    worse = annotator_row(REWARD, NOTHING, NOTHING, accuracy=Share(0.21, 0.16, 0.26, 300))
    unsure = annotator_row(ADA, NOTHING, NOTHING, accuracy=Share(0.4, 0.3, 0.5, 300))
    couple = replace(quality().agreements[0], kappa=Coefficient(-0.3, -0.5, -0.1))
    better = annotator_row(JUDGE, NOTHING, NOTHING)
    others = (unsure, better, replace(better, annotator=replace(JUDGE, id=4, name="judge-14b")))
    shown = replace(quality(), annotators=(worse, *others), agreements=(couple,))
    first, second = warnings(shown)
    assert first.startswith(
        "reward-model takes the worse response more often than the better one (accuracy 21 % (16–26"
    )
    assert second == "judge-7b and Ada contradict each other more often than chance would (κ −0.30 (−0.50 to −0.10))."
    show_quality(shown, 7)
    out = capsys.readouterr().out
    assert first in " ".join(out.split()) and "21 % (16–26 %) worse than chance" in out
    text = shown_text(page(shown))
    assert first in text and second in text and "21 % 16–26 % worse than chance" in text and "40 % 30–50 % 7" in text
    assert escaped(first) in labels_markdown(shown)


def test_beside_one_who_is_better_nobody_is_called_worse_than_chance_but_that_they_contradict_each_other() -> None:
    # Of accuracies 0.8, 0.2, 0.5 votes cannot tell whose are exchanged: it may be the good one who seems worse.
    worse = annotator_row(REWARD, NOTHING, NOTHING, accuracy=Share(0.21, 0.16, 0.26, 300))
    unsure = annotator_row(ADA, NOTHING, NOTHING, accuracy=Share(0.6, 0.5, 0.7, 300))
    couple = replace(quality().agreements[1], kappa=Coefficient(-0.3, -0.5, -0.1))
    shown = replace(quality(), annotators=(annotator_row(JUDGE, NOTHING, NOTHING), worse, unsure), agreements=(couple,))
    assert warnings(shown) == [
        "judge-7b and reward-model contradict each other more often than chance would (κ −0.30 (−0.50 to −0.10))."
    ]
    assert "worse than chance" not in shown_text(page(shown)) + labels_markdown(shown)


def test_figures_are_written_the_same_way_everywhere() -> None:
    assert [number(value) for value in (None, -0.001, -0.25, 1)] == ["–", "0.00", "−0.25", "1.00"]
    assert coefficient(Coefficient(-0.004, -0.25, 0.1)) == "0.00 (−0.25 to 0.10)" and coefficient(UNDEFINED) == "–"
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
        assert view.locator(".labels .marker, .labels .hollow").count() == 19
