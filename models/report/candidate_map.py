"""A map of one prompt's candidates: their embeddings in two dimensions, as places in an SVG. Knows no colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.report.contents import PromptCandidates, in_order

Floats = NDArray[np.floating]

WIDTH, HEIGHT = 440, 380  # SVG units, about one CSS pixel on a wide screen
_MARGIN = 34
_DOT_DISTANCE = 25.0  # two dots of radius 12 (page.html) side by side
_LINE_DISTANCE = 6.0
_FLAT = 1e-6  # a spread below this is rounding: float32 embeddings carry about 1e-7
_GOLDEN_ANGLE = 2.399963


@dataclass(frozen=True, slots=True)
class Dot:
    """A candidate on the map; `number` counts from 1."""

    number: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class PairLine:
    """A chosen pair: where its line runs, the numbers of its candidates and their cosine."""

    strategy: str
    numbers: tuple[int, int]
    similarity: float
    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def length(self) -> float:
        """Length on the map; short lines are drawn over long ones, which would hide them."""
        return math.dist(self.start, self.end)


@dataclass(frozen=True, slots=True)
class CandidateMap:
    """The map. `spread_shown`: share (0 to 1) of the embeddings' variance its two axes hold, None without any."""

    dots: tuple[Dot, ...]
    lines: tuple[PairLine, ...]
    spread_shown: float | None


def most_telling(candidates: Sequence[PromptCandidates]) -> PromptCandidates | None:
    """The first of the prompts on which the strategies chose the most different pairs; None if there is no prompt."""
    return max(candidates, key=lambda prompt: len({frozenset(pair) for pair in prompt.pairs.values()}), default=None)


def draw_map(candidates: PromptCandidates) -> CandidateMap:
    """Place a prompt's candidates by the two principal axes of their normalised embeddings.

    Both axes have one scale. Dots that would overlap are moved apart. Pairs that share both dots run side by side.
    Candidates without a direction (zero or not finite) have no dot, and a pair with one of them has no line.
    """
    unit = _normalised(candidates.embeddings)
    placed = np.flatnonzero(np.isfinite(unit).all(axis=1))
    coordinates, spread_shown = project(unit[placed])
    points = _moved_apart(_fitted(coordinates))
    places = {int(position): point for position, point in zip(placed, points, strict=True)}
    dots = tuple(Dot(position + 1, *_rounded(point)) for position, point in places.items())
    return CandidateMap(dots, _pair_lines(candidates.pairs, places, unit), spread_shown)


def project(embeddings: Floats) -> tuple[Floats, float | None]:
    """Coordinates (k, 2) on the first two principal axes, and the share of the variance they hold, None without any.

    The lowest-numbered candidate off the middle lies on the positive side of each axis, so the picture is the same on
    every machine. An axis without spread is all 0.

    Args:
        embeddings: (k, d) finite; k may be 0.
    """
    coordinates = np.zeros((len(embeddings), 2))
    if not len(embeddings):
        return coordinates, None
    left, spread, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    for axis in np.flatnonzero(spread[:2] > _FLAT):
        column = left[:, axis] * spread[axis]
        first_off_middle = column[np.argmax(np.abs(column) > _FLAT)]
        coordinates[:, axis] = column * np.sign(first_off_middle)
    variance = np.square(spread)
    return coordinates, float(variance[:2].sum() / variance.sum()) if spread[0] > _FLAT else None


def _normalised(embeddings: Floats) -> Floats:
    wide = embeddings.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: Floats = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit


def _fitted(coordinates: Floats) -> Floats:
    """Scale and move coordinates (k, 2) into the frame, both axes alike; the second axis points up."""
    centre = np.array([WIDTH, HEIGHT]) / 2
    if not len(coordinates):
        return coordinates
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * _MARGIN
    scale = np.min(room / np.maximum(high - low, _FLAT))
    fitted: Floats = centre + (coordinates - (low + high) / 2) * np.array([scale, -scale])
    return fitted


def _moved_apart(points: Floats) -> Floats:
    """Push points (k, 2) closer than a dot's width away from each other, by rounds, inside the frame."""
    turns = _GOLDEN_ANGLE * np.arange(len(points))
    points = points + 0.1 * np.sqrt(turns)[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)  # no two equal
    for _ in range(200):
        gaps = points[:, None] - points[None]
        distances = np.linalg.norm(gaps, axis=2) + np.eye(len(points)) * 2 * _DOT_DISTANCE
        if distances.min(initial=_DOT_DISTANCE) >= _DOT_DISTANCE - 0.5:
            break
        push = np.maximum(_DOT_DISTANCE - distances, 0) / 2
        step = (gaps / np.maximum(distances, _FLAT)[..., None] * push[..., None]).sum(axis=1)
        step *= np.minimum(1, _DOT_DISTANCE / 4 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), _FLAT))
        points = points + step
        points = np.clip(points, _MARGIN / 2, np.array([WIDTH, HEIGHT]) - _MARGIN / 2)
    return points


def _pair_lines(
    pairs: Mapping[str, tuple[int, int]], places: Mapping[int, Floats], unit: Floats
) -> tuple[PairLine, ...]:
    chosen = {name: tuple(sorted(pairs[name])) for name in in_order(pairs)}
    lines = []
    for name, (first, second) in chosen.items():
        if first not in places or second not in places:
            continue
        sharing = [other for other, pair in chosen.items() if pair == (first, second)]
        shift = (sharing.index(name) - (len(sharing) - 1) / 2) * _LINE_DISTANCE
        along = places[second] - places[first]
        across = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1.0) * shift
        start, end = _rounded(places[first] + across), _rounded(places[second] + across)
        similarity = float(unit[first] @ unit[second])
        lines.append(PairLine(name, (first + 1, second + 1), similarity, start, end))
    return tuple(lines)


def _rounded(point: Floats) -> tuple[float, float]:
    return round(float(point[0]), 1), round(float(point[1]), 1)
