"""Series are told apart by colour, dashes and markers, and every colour is seen on light and on dark paper."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from sample_plots import ARMS

import models.report
from models.report.contents import COLOURED
from models.report.plots.marks import MARKS, marker_path, series_marks

SHEET = (Path(models.report.__file__).parent / "sheets" / "colours.css").read_text()
LEAST_CONTRAST = 3.0  # WCAG 2.2, 1.4.11: of graphics that are needed to understand


def variables(css: str) -> dict[str, str]:
    """Every variable of a sheet's part, by its name."""
    return dict(re.findall(r"--([\w-]+): ([^;]+);", css))


def colour_of(name: str, scheme: dict[str, str]) -> str:
    """The colour that a class draws in under a scheme, as #rrggbb."""
    value = re.search(rf"\.{re.escape(name)}(?:,[^{{]*)? {{ --mark: ([^;]+);", SHEET)
    assert value is not None, name
    colour = value[1]
    while colour.startswith("var("):
        colour = scheme[colour[6:-1]]
    return colour


def dashes_of(name: str) -> str:
    """The dashes of a class."""
    value = re.search(rf"\.{re.escape(name)}(?:,[^{{]*)? {{ --mark: [^;]+; --dashes: ([^;]+);", SHEET)
    assert value is not None, name
    return value[1]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


LIGHT = variables(SHEET.partition("@media print")[0])
DARK = LIGHT | variables(SHEET.partition("@media screen")[2].partition("}\n}")[0])


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", [*MARKS, *COLOURED, "other-strategy"])
def test_every_mark_is_seen_on_the_paper(name: str, scheme: dict[str, str]) -> None:
    colour = colour_of(name, scheme)
    assert contrast(colour, scheme["card"]) >= LEAST_CONTRAST
    assert contrast(colour, scheme["paper"]) >= LEAST_CONTRAST


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_are_read_on_the_paper(scheme: dict[str, str]) -> None:
    assert contrast(scheme["ink"], scheme["card"]) >= 7
    assert contrast(scheme["quiet"], scheme["card"]) >= 4.5


def test_ten_series_have_ten_colours_dashes_and_markers() -> None:
    marks = series_marks(ARMS)
    for one, other in combinations(marks, 2):
        assert colour_of(one.name, LIGHT) != colour_of(other.name, LIGHT)
        assert dashes_of(one.name) != dashes_of(other.name) or one.kind != other.kind
        assert (one.kind, marker_path(one, 0, 0)) != (other.kind, marker_path(other, 0, 0))


def test_a_strategy_keeps_its_mark_whatever_stands_beside_it() -> None:
    assert [mark.name for mark in series_marks(["dpo", "random", "easy"])] == ["mark-1", "random", "easy"]
    for name in COLOURED:
        assert series_marks(["one", name])[1] == series_marks([name])[0]


def test_an_eleventh_series_shares_a_mark() -> None:
    names = [f"arm {number}" for number in range(11)]
    marks = series_marks(names)
    assert len({mark.name for mark in marks[:10]}) == 10
    assert marks[10] == marks[0]
