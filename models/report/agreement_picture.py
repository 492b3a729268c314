"""Agreement as dots with 95 % intervals: places in panels of SVG. Knows no colours; agreement.css has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.quality.quality import GroupAgreement, LabelQuality
from models.records import shortened
from models.report.axes import LETTER_WIDTH
from models.report.contents import STRATEGY_MEANINGS

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
    """One panel for the strategies, one for the bins of similarity, on one scale; a panel without a value is left out.

    The scale runs up to 100 % from 0, or from 25 or 50 % where no interval reaches lower.
    """
    groups = {"By strategy": ordered_strategies(quality), "By similarity of the pair": ordered_bins(quality)}
    groups_by_title = {
        title: title_groups
        for title, title_groups in groups.items()
        if any(group.agreement.count for group in title_groups)
    }
    lows = [
        group.agreement.low
        for title_groups in groups_by_title.values()
        for group in title_groups
        if group.agreement.count
    ]
    floor = min(0.5, math.floor(4 * min(lows, default=0.0)) / 4)
    return tuple(_panel(title, title_groups, floor) for title, title_groups in groups_by_title.items())


def ordered_strategies(quality: LabelQuality) -> list[GroupAgreement]:
    """The strategies in the order of the report, then those it does not know."""
    order = list(STRATEGY_MEANINGS)
    return sorted(
        quality.by_strategy, key=lambda group: order.index(group.group) if group.group in order else len(order)
    )


def ordered_bins(quality: LabelQuality) -> list[GroupAgreement]:
    """The bins of similarity, least similar first."""
    return sorted(quality.by_similarity, key=lambda group: -math.inf if group.low is None else group.low)


def group_name(group: GroupAgreement) -> str:
    """The strategy as it is, or the bin with true minus signs."""
    return group.group if group.low is None else group.group.replace("-", "−")


def _panel(title: str, groups: Sequence[GroupAgreement], floor: float) -> Panel:
    step = 10 if floor == 0.5 else 25
    ticks = tuple((f"{tick} %", _height(tick / 100, floor)) for tick in range(round(100 * floor), 101, step))
    slot = (RIGHT - LEFT) / len(groups)
    every = math.ceil(_LABEL_WIDTH / slot)  # of so many slots one has words under it
    estimates = [
        _estimate(group, LEFT + slot * (position + 0.5), slot * every, floor, is_labelled=position % every == 0)
        for position, group in enumerate(groups)
    ]
    return Panel(title, ticks, tuple(estimates))


def _estimate(group: GroupAgreement, x: float, room: float, floor: float, *, is_labelled: bool) -> Estimate:
    share = group.agreement
    value = "–" if share.value is None else f"{100 * share.value:.0f} %"
    interval = "" if share.value is None else f" ({100 * share.low:.0f} to {100 * share.high:.0f} %)"
    name = group_name(group)
    low, _, high = name.partition(" to ")
    is_bin = group.low is not None and high
    return Estimate(
        x=round(x, 1),
        y=None if share.value is None else _height(share.value, floor),
        top=_height(share.high, floor),
        bottom=_height(share.low, floor),
        value=value,
        words=(f"{low}–", high) if is_bin else (shortened(name, int(room / LETTER_WIDTH)),),
        count=f"{group.pair_count:,}",
        mark=group.group if group.group in STRATEGY_MEANINGS else "",
        title=f"{name}: {value}{interval}, {group.pair_count:,} pairs",
        is_labelled=is_labelled,
    )


def _height(share: float, floor: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * (share - floor) / (1 - floor), 1)
