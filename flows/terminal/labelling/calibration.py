"""What `antipode calibrate` prints: what is asked, how far annotator and trusted one agree. Decides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from rich.text import Text

from flows.terminal.estimates import shown_figure
from flows.terminal.labelling.labels import unparsed_line
from flows.terminal.tables import make_console, print_rows
from models.quality.clearing import clears, interval_at, prompts_to_clear
from models.quality.correction import MIN_PAIRS
from models.records import plain
from tasks.config.labels import CalibrateConfig
from tasks.estimates import Estimate
from tasks.terminal import show

if TYPE_CHECKING:
    from models.intervals import Interval
    from models.quality.calibration import Calibration, GroupRate
    from tasks.labels.calibration import Calibrated

TITLES = {
    "strategy": "by strategy",
    "side": "by the side that was shown, of single answers",
    "longer": "by which one is longer",
    "length": "by how alike the lengths are",
}
FACTS = ("pairs", "verdicts stored", "verdicts to come", "replies to come", "requests", "money")
NOTHING = "–"


def show_beforehand(estimate: Estimate) -> None:
    """Say on stderr what is going to be asked, before it is."""
    figures = [figure for figure in estimate.figures if figure.name in FACTS and figure.value is not None]
    words = ", ".join(f"{figure.name} {shown_figure(figure, estimate.currency)}" for figure in figures)
    show(f"{estimate.command}: {words} (--dry-run says more)", file=sys.stderr)
    for note in estimate.notes:
        show(f"  {note}", file=sys.stderr)


def print_json(calibrated: Calibrated) -> None:
    """Print everything that was found as JSON."""
    from tasks.labels.calibration import figures_of

    names = (
        "run_id",
        "labelled_run_id",
        "annotator",
        "against",
        "contradicted",
        "is_paid",
        "requests",
        "cost",
        "unparsed",
    )
    facts = {name: getattr(calibrated, name) for name in names}
    show(json.dumps(plain({**facts, **figures_of(calibrated.found)}), ensure_ascii=False, indent=2))


def show_calibrated(calibrated: Calibrated, config: CalibrateConfig) -> None:
    """Print how far the annotator agrees with the trusted one, where it does not, and what to do next."""
    found, console = calibrated.found, make_console()
    lines = [
        f"{calibrated.annotator} beside {calibrated.against}, on run {calibrated.labelled_run_id}",
        *_counts(calibrated),
        f"agreement {_rate(found.overall)}: of the labels on which both prefer a side, those that are the same",
    ]
    if found.asked_once is not None:
        lines.append(f"  asked in one order only {_rate(found.asked_once)}; what two orders contradict is no label")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    rows = [
        (TITLES[rate.kind], rate.group, f"{rate.pairs:,}", f"{rate.labels:,}", _interval(rate.agreement))
        for rate in found.groups
    ]
    print_rows(console, ("", "pairs where", "pairs", "labels", "agreement"), rows, text_columns=2)
    last = (_length_lines(calibrated), _correction_lines(found), _more_lines(found, config), _next(calibrated))
    for line in chain.from_iterable(last):
        console.print(Text(line), soft_wrap=True)


def _counts(calibrated: Calibrated) -> Iterator[str]:
    found = calibrated.found
    counts = f"{found.trusted_pairs:,} pairs judged by {calibrated.against}, {found.judged_pairs:,} by both"
    if calibrated.contradicted:
        counts += f"; {calibrated.contradicted:,} others are left out: {calibrated.against} contradict each other there"
    yield counts
    if calibrated.requests:
        yield f"{calibrated.requests:,} requests" + (f", cost {calibrated.cost:,.4f}" if calibrated.cost else "")
    if calibrated.unparsed_reply is not None:
        yield unparsed_line(calibrated.unparsed, calibrated.unparsed_reply)
    if not calibrated.is_paid:
        yield "the budget did not pay for all of them; the same command again goes on, and spends as much"
    overall = found.overall
    yield f"{overall.labels:,} labels on the {overall.pairs:,} pairs where {calibrated.against} prefer a side"
    if found.labels_of_ties.pairs:
        ties = found.labels_of_ties
        yield f"where {calibrated.against} see no difference it prefers one in {ties.labels:,} of {ties.pairs:,} pairs"


def _length_lines(calibrated: Calibrated) -> Iterator[str]:
    found = calibrated.found
    if found.takes_longer is not None and found.trusted_takes_longer is not None:
        yield (
            f"it takes the longer response in {found.takes_longer:.2f}, {calibrated.against} on the same pairs in "
            f"{found.trusted_takes_longer:.2f}"
        )


def _correction_lines(found: Calibration) -> Iterator[str]:
    corrected = found.correction
    if corrected is None:
        yield f"a correction for side and length can be tried from {MIN_PAIRS} pairs and 10 prompts on"
        return
    yield (
        f"corrected for side and length, on prompts it was not fitted on: {corrected.before:.2f} before, "
        f"{corrected.after:.2f} after, a difference of {corrected.gain:+.2f} (ties half; length alone "
        f"{corrected.length_alone.value:.2f})"
    )
    yield "  it holds up" if corrected.holds_up else "  it does not hold up: no more than noise, or than length alone"


def _more_lines(found: Calibration, config: CalibrateConfig) -> Iterator[str]:
    agreement, bar = found.overall.agreement, config.min_agreement
    if agreement is None:
        yield "there is no label in common to compare"
        return
    twice = interval_at(agreement, found.prompts, 2 * found.prompts)
    yield f"with twice as many labels, if it stays so: {twice:.2f}"
    if bar is None:
        return
    if clears(agreement, bar):
        yield f"it clears the bar {bar:g} with its whole interval"
    elif (needed := prompts_to_clear(agreement, found.prompts, bar)) is not None:
        yield f"it does not clear the bar {bar:g}; if it stays so, {needed:,} prompts will, not {found.prompts:,}"
    else:
        yield f"it does not clear the bar {bar:g}, and more labels will not change that if it stays so"


def _next(calibrated: Calibrated) -> Iterator[str]:
    run = calibrated.labelled_run_id
    yield "Its verdicts on these pairs are stored and are no votes: the labels stay what they were"
    yield f"Next: antipode label --pairs.run {run} --min_agreement BAR, with the same annotator: refused below BAR"


def _rate(rate: GroupRate) -> str:
    return f"{_interval(rate.agreement)} of {rate.labels:,}"


def _interval(interval: Interval | None) -> str:
    return NOTHING if interval is None else f"{interval:.2f}"
