"""Pictures as a browser shows them: words where they were thought to be, large enough on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_browser import chromium
from sample_plots import PLOTS, STUDY

from models.report.study_page import study_page

pytestmark = pytest.mark.browser

OVERLAPS = """svg => {
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBBox()])
  const width = svg.viewBox.baseVal.width
  const outside = boxes.filter(([, box]) => box.x < -1 || box.x + box.width > width + 1).map(([words]) => words)
  const apart = (a, b) => a.x + a.width <= b.x + 1 || b.x + b.width <= a.x + 1 || Math.abs(a.y - b.y) > 11
  const overlapping = boxes.flatMap(([words, a], at) =>
    boxes.slice(at + 1).filter(([, b]) => !apart(a, b)).map(([other]) => words + ' on ' + other))
  return [...outside, ...overlapping]
}"""
SMALLEST = """svgs => Math.min(...svgs.flatMap(svg => [...svg.querySelectorAll('text')].map(text =>
  parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)))"""


@pytest.mark.parametrize("width", [390, 1280])
def test_words_stay_apart_and_legible_in_any_window(width: int, tmp_path: Path) -> None:
    page = tmp_path / "study.html"
    page.write_text(study_page(STUDY))
    with chromium() as browser:
        view = browser.new_page(viewport={"width": width, "height": 900})
        view.goto(page.as_uri())
        pictures = view.locator("svg.drawing")
        assert pictures.count() == len(PLOTS)
        for picture in pictures.all():
            assert picture.evaluate(OVERLAPS) == []
        assert pictures.evaluate_all(SMALLEST) >= 11
        assert view.evaluate("document.documentElement.scrollWidth") <= width
