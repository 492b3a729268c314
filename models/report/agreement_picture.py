"""Agreement and alpha as dots with 95 % intervals: places in panels of SVG. Knows no colours; those are in a sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.quality.quality import Coefficient, GroupAgreement, LabelQuality
from models.records import shortened
from models.report.axes import LETTER_WIDTH
from models.report.contents import COLOURED, in_order

WIDTH, HEIGHT = 460, 292  # SVG units, about one CSS pixel on a wide screen
LEFT, RIGHT, TOP, BOTTOM = 50, 448, 46, 222
_LABEL_WIDTH = 39.0  # "0.60–" and "1,200" at the size agreement.css gives them, with air


@dataclass(frozen=True, slots=True)
class Estimate:
    """One group: its place and, where two annotators met in it, dot and interval (`top` is its high end).

    `mark` is the name of a strategy that has a colour, "" otherwise; `words` are one or two lines under it.
    """

    x: float
    y: float | None
    top: float
    bottom: float
    value: str
    words: tuple[str, ...]
    count: str
    mark: str
    title: str
    is_labelled: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """Groups side by side, in equal slots; `ticks` are (label, y) of the common scale."""

    title: str
    ticks: tuple[tuple[str, float], ...]
    estimates: tuple[Estimate, ...]


def draw_panels(quality: LabelQuality) -> tuple[Panel, ...]:
    """Agreement by strategy and by bin of similarity, then alpha, nominal and ordinal, of all pairs and by strategy.

    A panel without a value is left out. Agreement has one scale, up to 100 % from 0, or from 25 or 50 % where no
    interval reaches lower; alpha has another, up to 1 from 0, −0.5 or −1.
    """
    strategies, bins = ordered_strategies(quality), ordered_bins(quality)
    agreement = {"Agreement by strategy": strategies, "Agreement by similarity of the pair": bins}
    shares = {title: [_agreement(group) for group in groups] for title, groups in agreement.items()}
    everything = _Dot("all pairs", ("all",), quality.labelled_count, "", None, 0.0, 0.0, "–", "")
    alphas = {
        f"Krippendorff’s α, {name}": [
            _with_alpha(everything, of_all),
            *(_with_alpha(_agreement(group), of_group) for group, of_group in zip(strategies, of_groups, strict=True)),
        ]
        for name, of_all, of_groups in (
            ("nominal", quality.alpha, [group.alpha for group in strategies]),
            ("ordinal", quality.ordinal_alpha, [group.ordinal_alpha for group in strategies]),
        )
    }
    share_floor = min(0.5, math.floor(4 * _lowest(shares)) / 4)
    alpha_floor = min(0.0, math.floor(2 * _lowest(alphas)) / 2)
    share_ticks = [(f"{tick} %", tick / 100) for tick in range(round(100 * share_floor), 101, _step(share_floor))]
    alpha_ticks = [(f"{tick / 4:.2g}".replace("-", "−"), tick / 4) for tick in range(round(4 * alpha_floor), 5)]
    panels = [_panel(title, dots, share_floor, share_ticks) for title, dots in shares.items()]
    panels += [_panel(title, dots, alpha_floor, alpha_ticks) for title, dots in alphas.items()]
    return tuple(panel for panel in panels if any(each.y is not None for each in panel.estimates))


def ordered_strategies(quality: LabelQuality) -> list[GroupAgreement]:
    """The strategies in the order of the report."""
    by_name = {group.group: group for group in quality.by_strategy}
    return [by_name[name] for name in in_order(by_name)]


def ordered_bins(quality: LabelQuality) -> list[GroupAgreement]:
    """The bins of similarity, least similar first."""
    return sorted(quality.by_similarity, key=lambda group: -math.inf if group.low is None else group.low)


def group_name(group: GroupAgreement) -> str:
    """The strategy as it is, or the bin with true minus signs."""
    return group.group if group.low is None else group.group.replace("-", "−")


@dataclass(frozen=True, slots=True)
class _Dot:
    """What a slot shows: a group's name and words, its pairs, and a value with its interval, as numbers and as text."""

    name: str
    words: tuple[str, ...]
    count: int
    mark: str
    value: float | None
    low: float
    high: float
    text: str
    interval: str


def _agreement(group: GroupAgreement) -> _Dot:
    share, name = group.agreement, group_name(group)
    low, _, high = name.partition(" to ")
    words = (f"{low}–", high) if group.low is not None and high else (name,)
    text = "–" if share.value is None else f"{100 * share.value:.0f} %"
    interval = f" ({100 * share.low:.0f} to {100 * share.high:.0f} %)"
    mark = group.group if group.group in COLOURED else ""
    return _Dot(name, words, group.pair_count, mark, share.value, share.low, share.high, text, interval)


def _with_alpha(dot: _Dot, alpha: Coefficient) -> _Dot:
    text, low, high = (
        "–" if value is None else f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
        for value in (alpha.value, alpha.low, alpha.high)
    )
    return replace(dot, value=alpha.value, low=alpha.low, high=alpha.high, text=text, interval=f" ({low} to {high})")


def _lowest(dots_by_title: Mapping[str, Sequence[_Dot]]) -> float:
    return min((dot.low for dots in dots_by_title.values() for dot in dots if dot.value is not None), default=0.0)


def _step(floor: float) -> int:
    return 10 if floor == 0.5 else 25


def _panel(title: str, dots: Sequence[_Dot], floor: float, ticks: Sequence[tuple[str, float]]) -> Panel:
    slot = (RIGHT - LEFT) / max(1, len(dots))
    every = math.ceil(_LABEL_WIDTH / slot)  # of so many slots one has words under it
    estimates = [
        _estimate(dot, LEFT + slot * (position + 0.5), slot * every, floor, is_labelled=position % every == 0)
        for position, dot in enumerate(dots)
    ]
    return Panel(title, tuple((label, _height(value, floor)) for label, value in ticks), tuple(estimates))


def _estimate(dot: _Dot, x: float, room: float, floor: float, *, is_labelled: bool) -> Estimate:
    is_known = dot.value is not None
    return Estimate(
        x=round(x, 1),
        y=None if dot.value is None else _height(dot.value, floor),
        top=_height(dot.high, floor),
        bottom=_height(dot.low, floor),
        value=dot.text,
        words=dot.words if len(dot.words) > 1 else (shortened(dot.words[0], int(room / LETTER_WIDTH)),),
        count=f"{dot.count:,}",
        mark=dot.mark,
        title=f"{dot.name}: {dot.text}{dot.interval if is_known else ''}, {dot.count:,} pairs",
        is_labelled=is_labelled,
    )


def _height(value: float, floor: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * (value - floor) / (1 - floor), 1)
