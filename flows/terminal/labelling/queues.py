"""Queues and the people in them, as the commands print them. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.terminal.pager import paged
from flows.terminal.tables import make_console, print_rows
from tasks.terminal import show

if TYPE_CHECKING:
    from models.quality.records import Share
    from tasks.labels.team import PersonFigures, QueuePeople, QueueState

COLUMNS = ("queue", "name", "is", "judgements", "pairs done", "a pair", "people", "agreement", "guidelines",
           "known answers", "judged by")  # fmt: skip
DETAILS = ("name", "verdicts", "skips", "a pair", "agreement", "left", "longer", "known answers right", "stands")


@paged()
def show_queues(states: Sequence[QueueState]) -> None:
    """Print the queues, as people meet them."""
    if not states:
        show("no queue yet; open one: antipode web --run ID")
        return
    show_change(states)
    show("agreement: the mean share of the votes behind the majority, of pairs with two votes or more")
    show("Next: antipode web --every_queue   # serve them\n      antipode people --details      # who labels how")


def show_change(states: Sequence[QueueState]) -> None:
    """Print a queue that was changed, and what settles its contradictions."""
    print_rows(make_console(), COLUMNS, [*map(_row, states)], text_columns=3)


def show_details(queues: Sequence[QueuePeople]) -> None:
    """Print how the people of each queue are doing, with 95 % intervals."""
    led = [queue for queue in queues if queue.people]
    if not led:
        show("nobody has judged a pair of a queue yet\nNext: antipode web --every_queue")
        return
    for queue in led:
        title = f"queue {queue.info.id}: {queue.info.name}"
        print_rows(make_console(), DETAILS, [*map(_person, queue.people)], text_columns=1, title=title)


def _row(state: QueueState) -> tuple[str, ...]:
    info = state.info
    kind = "closed" if info.is_closed else "open"
    if info.settles is not None:
        kind += f", settles {info.settles}"
    known = "–" if not state.gold_pairs else f"{state.gold_pairs:,}, {info.gold_share:.0%} of those shown"
    if info.gold_bar is not None:
        known += f", {'stop' if info.has_stop else 'warning'} below {info.gold_bar:.0%}"
    return (
        str(info.id),
        info.name,
        kind,
        f"{info.judged_count:,} of {info.wanted_count:,}",
        f"{info.done_count:,} of {info.pair_count:,}",
        str(info.judgements_per_pair) + ("" if info.overlap == 1 else f" for {info.overlap:.0%}"),
        f"{state.tally.people:,}",
        "–" if state.tally.agreement is None else f"{state.tally.agreement:.2f}",
        "–" if state.guidelines_version is None else f"version {state.guidelines_version}",
        known,
        ", ".join(state.adjudicators) or "everybody",
    )


def _person(figures: PersonFigures) -> tuple[str, ...]:
    quality = figures.quality
    pace = "–" if quality.median_seconds is None else f"{quality.median_seconds:.0f} s"
    shares = (quality.agreement_with_others, quality.left, quality.longer, figures.gold_accuracy)
    counts = f"{quality.vote_count:,}", f"{quality.skips:,}"
    return (figures.name, *counts, pace, *map(_share, shares), figures.standing)


def _share(share: Share) -> str:
    return "–" if share.value is None else f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of {share.count:,}"
