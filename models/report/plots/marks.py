"""How series are told apart: colour, dashes and the shape of markers, each of its own. Colours are in plots.css."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from models.report.contents import COLOURED

RADIUS = 4.6
# The marks in the order in which series that are no strategy take them; a strategy that has a colour keeps its own.
MARKS = ("mark-0", "mark-1", "mark-2", "mark-3", "mark-4", "mark-5", "mark-6", "mark-7", "mark-8", "mark-9")
_OF_STRATEGIES = dict(zip(COLOURED, (*MARKS[:4], MARKS[9]), strict=True))


class Mark(NamedTuple):
    """The class of a series in plots.css, the number of its marker's shape, and whether that is filled or hollow."""

    name: str
    shape: int
    kind: Literal["marker", "hollow"] = "marker"


def series_marks(names: Sequence[str]) -> list[Mark]:
    """A mark for every series of a plot, in order: the strategies' own, the others' the first that are left.

    Of more than ten series some share a mark; no two of fewer do.
    """
    taken = {_OF_STRATEGIES[name] for name in names if name in _OF_STRATEGIES}
    left = [mark for mark in MARKS if mark not in taken] or list(MARKS)
    marks: list[Mark] = []
    others = 0
    for name in names:
        mark = _OF_STRATEGIES.get(name)
        if mark is None:
            mark = left[others % len(left)]
            others += 1
        shape = MARKS.index(mark)
        marks.append(Mark(name if name in _OF_STRATEGIES else mark, shape, "hollow" if shape >= 5 else "marker"))
    return marks


def kept_marks(names: Sequence[str], of_all: Sequence[str]) -> list[Mark]:
    """The marks of these series as they are among all of several pictures; `of_all` empty: of this picture alone."""
    if not of_all:
        return series_marks(names)
    by_name = dict(zip(of_all, series_marks(of_all), strict=True))
    return [by_name[name] for name in names]


def marker_path(mark: Mark, x: float, y: float) -> str:
    """The outline of a marker whose middle is at (x, y)."""
    if mark.shape % 5 == 0:
        return (
            f"M{x - RADIUS:.1f} {y:.1f}a{RADIUS} {RADIUS} 0 1 0 {2 * RADIUS} 0a{RADIUS} {RADIUS} 0 1 0 {-2 * RADIUS} 0Z"
        )
    places = (f"{x + RADIUS * dx:.1f} {y + RADIUS * dy:.1f}" for dx, dy in _SHAPES[mark.shape % 5 - 1])
    return f"M{'L'.join(places)}Z"


def _turned(points: Iterable[tuple[float, float]], degrees: float) -> tuple[tuple[float, float], ...]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return tuple((x * cosine - y * sine, x * sine + y * cosine) for x, y in points)


_SQUARE = ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9))
_TRIANGLE = ((0.0, -1.2), (1.15, 0.85), (-1.15, 0.85))
# Beside the circle; each is filled once and hollow once.
_SHAPES = (_SQUARE, _TRIANGLE, _turned(_SQUARE, 45), _turned(_TRIANGLE, 180))
