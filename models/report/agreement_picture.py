"""Agreement and alpha with their 95 % intervals as plots: what stands in which row. Knows no places and no colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.intervals import Interval
from models.quality.quality import Coefficient, GroupAgreement, LabelQuality, Share
from models.report.contents import in_order
from models.studies.findings import IntervalPlot

_SHARE_TITLE = "equal votes of two annotators, %"
_ALPHA_TITLE = "α: 1 always agree, 0 as chance would"


def agreement_plots(quality: LabelQuality) -> tuple[IntervalPlot, ...]:
    """Agreement by strategy and by bin of similarity, then alpha, nominal and ordinal, of all pairs and by strategy.

    A group in which no two annotators met has no row, and a plot without a row is left out.
    """
    strategies, bins = ordered_strategies(quality), ordered_bins(quality)
    shares = {"Agreement by strategy": strategies, "Agreement by similarity of the pair": bins}
    plots = [
        _plot(title, _SHARE_TITLE, [(_name(group), group.agreement, 100.0) for group in groups])
        for title, groups in shares.items()
    ]
    everything = f"all, {_pairs(quality.labelled_count)}"
    alphas = {
        "nominal": (quality.alpha, [group.alpha for group in strategies]),
        "ordinal": (quality.ordinal_alpha, [group.ordinal_alpha for group in strategies]),
    }
    for name, (of_all, of_groups) in alphas.items():
        rows = [(everything, of_all, 1.0)]
        rows += [(_name(group), alpha, 1.0) for group, alpha in zip(strategies, of_groups, strict=True)]
        plots.append(_plot(f"Krippendorff’s α, {name}", _ALPHA_TITLE, rows, reference=0))
    return tuple(plot for plot in plots if plot.rows)


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


def _name(group: GroupAgreement) -> str:
    return f"{group_name(group)}, {_pairs(group.pair_count)}"


def _pairs(count: int) -> str:
    return f"{count:,} {'pair' if count == 1 else 'pairs'}"


def _plot(
    title: str,
    x_title: str,
    found: Sequence[tuple[str, Share | Coefficient, float]],
    *,
    reference: float | None = None,
) -> IntervalPlot:
    rows = tuple(
        (name, Interval(scale * each.value, scale * each.low, scale * each.high))
        for name, each, scale in found
        if each.value is not None
    )
    return IntervalPlot(title, x_title, rows, reference=reference)
