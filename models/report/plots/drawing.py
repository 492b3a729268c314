"""What a picture is made of: paths and words at places, by groups of one mark. Knows no plot, no colours, no HTML."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.report.axes import Axis
from models.report.plots.marks import Mark, marker_path

# SVG units. A phone of 390 CSS pixels shows a page's picture about 330 wide: text of 13 units is 11 pixels there.
WIDTH = 380.0
LINE_HEIGHT = 18.0
_KEY_WIDTH = 34.0
# The widths of DejaVu Sans, the widest of the sheets' fonts, at 13 units.
_LETTER, _CAPITAL, _NARROW, _BROAD, _EAST_ASIAN = 8.3, 10.1, 5.5, 12.9, 14.0
_NARROW_LETTERS, _BROAD_LETTERS = frozenset(" .,:;'’!|ijlftrI()[]-"), frozenset("mwMW%@—−÷‖→≥≤∞&")

Anchor = Literal["start", "middle", "end"]
WordsKind = Literal["heading", "tick", "label", "value", "part-label"]
_LARGER: dict[WordsKind, float] = {"heading": 1.22, "value": 1.13, "part-label": 1.13}  # bold, the heading larger too
StrokeKind = Literal[
    "grid", "frame", "reference", "line", "band", "filled", "whisker", "marker", "hollow", "hit", "part", "median"
]


class Words(NamedTuple):
    """Text on one line, its baseline at `y`; `kind` is its class in plots.css."""

    text: str
    x: float
    y: float
    kind: WordsKind = "label"
    anchor: Anchor = "start"

    @property
    def box(self) -> tuple[float, float]:
        """From where to where it reaches, at the most."""
        width = text_width(self.text, self.kind)
        start = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return start, start + width


class Stroke(NamedTuple):
    """SVG path data; `kind` is its class in plots.css."""

    path: str
    kind: StrokeKind


class Group(NamedTuple):
    """What belongs together: `mark` is the class that gives it colour and dashes, `title` what a pointer is told."""

    strokes: tuple[Stroke, ...] = ()
    words: tuple[Words, ...] = ()
    mark: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture `width` wide and `height` high, painted in the order of its groups.

    `title` names it for those who do not see it; `notes` are sentences that stand below it: what could not be drawn.
    """

    title: str
    height: float
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    width: float = WIDTH


class Frame(NamedTuple):
    """The rectangle in which values are drawn."""

    left: float
    right: float
    top: float
    bottom: float


def text_width(text: str, kind: WordsKind = "label") -> float:
    """How wide a text is at the most, by its letters."""
    return _LARGER.get(kind, 1.0) * sum(map(_letter_width, text))


def fitted(text: str, room: float, kind: WordsKind = "label") -> str:
    """The text on one line, cut with an ellipsis where it is wider than `room`."""
    line = " ".join(text.split())
    if text_width(line, kind) <= room:
        return line
    while line and text_width(line + "…", kind) > room:
        line = line[:-1]
    return line.rstrip() + "…"


def wrapped(text: str, room: float, kind: WordsKind = "label", *, most: int = 3) -> list[str]:
    """The text in lines no wider than `room`, at most `most` of them; the last one is cut where there is more."""
    lines: list[str] = []
    words = " ".join(text.split()).replace(" %", "\u00a0%").split(" ") if text.strip() else []
    while words:
        if len(lines) == most - 1:
            return [*lines, fitted(" ".join(words), room, kind)]
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), kind) <= room:
            count += 1
        lines.append(fitted(" ".join(words[:count]), room, kind))
        words = words[count:]
    return lines


def heading(title: str) -> Group:
    """The title in as many lines as it takes, from the top."""
    lines = wrapped(title, WIDTH, "heading")
    return Group(words=tuple(Words(line, 0, 15 + LINE_HEIGHT * row, "heading") for row, line in enumerate(lines)))


def legend(names: Sequence[str], marks: Sequence[Mark], top: float, *, is_filled: bool = False) -> list[Group]:
    """Keys and names from the left, in as many rows as they take; none stands on another."""
    groups: list[Group] = []
    x, y = 0.0, top
    for name, mark in zip(names, marks, strict=True):
        words = fitted(name, WIDTH - _KEY_WIDTH)
        width = _KEY_WIDTH + text_width(words)
        if x and x + width > WIDTH:
            x, y = 0.0, y + LINE_HEIGHT + 2
        middle = y + 9
        if is_filled:
            strokes = [Stroke(f"M{x:.1f} {y + 3:.1f}h26v12h-26Z", "filled")]
        else:
            key = Stroke(marker_path(mark, x + 13, middle), mark.kind)
            strokes = [Stroke(f"M{x:.1f} {middle:.1f}h26", "line"), key]
        groups.append(Group(tuple(strokes), (Words(words, round(x + _KEY_WIDTH - 3, 1), y + 13.5),), mark.name))
        x += width + 12
    return groups


def below(groups: Sequence[Group]) -> float:
    """The height at which what stands below these groups' words may begin."""
    return max((words.y for group in groups for words in group.words), default=0.0) + 6


def x_ticks(axis: Axis, frame: Frame, title: str, *, is_grid: bool = False) -> Group:
    """Ticks below the frame, grid lines through it where asked for, and the axis's title below them."""
    strokes = tuple(
        Stroke(f"M{x} {frame.top if is_grid else frame.bottom:.1f}V{frame.bottom + 5:.1f}", "grid")
        for _, x in axis.ticks
    )
    words = [_kept_inside(Words(label, x, frame.bottom + 19, "tick", "middle")) for label, x in axis.ticks]
    titles = [
        _kept_inside(
            Words(line, (frame.left + frame.right) / 2, frame.bottom + 38 + LINE_HEIGHT * row, "tick", "middle")
        )
        for row, line in enumerate(wrapped(title, WIDTH))
    ]
    return Group(strokes, (*_apart(words), *titles))


def y_ticks(axis: Axis, frame: Frame, title: str) -> Group:
    """Ticks left of the frame with grid lines through it; the axis's title stands above, from the left edge."""
    strokes = tuple(Stroke(f"M{frame.left} {y}H{frame.right}", "grid") for _, y in axis.ticks)
    ticks = [Words(label, frame.left - 7, y + 4.5, "tick", "end") for label, y in axis.ticks]
    lines = wrapped(title, WIDTH, most=2)
    titles = [
        Words(line, 0, frame.top - 12 - LINE_HEIGHT * (len(lines) - 1 - row), "tick") for row, line in enumerate(lines)
    ]
    return Group(strokes, (*ticks, *titles))


def tick_room(axis: Axis) -> float:
    """How far from the left edge a frame begins whose axis has these ticks."""
    return max((text_width(label) for label, _ in axis.ticks), default=0.0) + 10


def title_room(title: str) -> float:
    """The height that the title of the upright axis takes above the frame."""
    return LINE_HEIGHT * len(wrapped(title, WIDTH, most=2)) + 10


def empty(title: str, *, words: str) -> Drawing:
    """A picture without a value: its title, and why it is empty."""
    head = heading(title)
    lines = wrapped(words, WIDTH)
    y = below([head]) + 14
    said = Group(words=tuple(Words(line, 0, y + LINE_HEIGHT * row) for row, line in enumerate(lines)))
    return Drawing(title, y + LINE_HEIGHT * len(lines), (head, said))


def _letter_width(letter: str) -> float:
    if letter in _NARROW_LETTERS:
        return _NARROW
    if letter in _BROAD_LETTERS:
        return _BROAD
    if unicodedata.east_asian_width(letter) in "WF":
        return _EAST_ASIAN
    return _CAPITAL if letter.isupper() else _LETTER


def _kept_inside(words: Words) -> Words:
    """The words, moved where they would reach beyond the picture's edge."""
    start, stop = words.box
    if start < 0:
        return words._replace(x=round(words.x - start, 1))
    return words._replace(x=round(words.x - stop + WIDTH, 1)) if stop > WIDTH else words


def _apart(words: Sequence[Words]) -> list[Words]:
    """Those words from the left that leave the ones before them room."""
    kept: list[Words] = []
    for each in sorted(words, key=lambda each: each.x):
        if not kept or each.box[0] >= kept[-1].box[1] + 4:
            kept.append(each)
    return kept
