"""A study's page shows every plot as a picture with its figures; its Markdown shows the figures."""

from __future__ import annotations

from xml.etree import ElementTree

from sample_plots import PLOTS, STUDY

from models.report.study_page import study_markdown, study_page


def test_every_plot_is_a_picture_with_caption_notes_and_figures() -> None:
    page = study_page(STUDY)
    svgs = [f"<svg {part.partition('</svg>')[0]}</svg>" for part in page.split("<svg ")[1:]]
    drawn = [each for each in map(ElementTree.fromstring, svgs) if each.get("class") == "drawing"]
    assert [each.get("aria-label") for each in drawn] == [plot.title for plot in PLOTS]
    assert page.count("The same in figures") == len(PLOTS)
    assert "1 value is not finite" in page and "Why." in page
    assert "<b>" not in page


def test_markdown_has_every_plot_as_a_table() -> None:
    markdown = study_markdown(STUDY)
    assert "| 50 | 0.600 (0.570 to 0.630) | 0.580 (0.550 to 0.610) |" in markdown
    assert "| easy | 2.40 (1.50 to 3.90) |" in markdown
    assert "<b>" not in markdown
