"""What a command would do: figures, each with how it is known. Knows no stage, no database, no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Literal

from tasks.prices import Price

SAME_WRITE_S = 0.05  # rows that were stored closer together are of one write
# A write that took so many times the median's time, and so long, had a pause in it: a stopped run, a night.
PAUSE, PAUSE_S = 10.0, 60.0
CHARACTERS_A_TOKEN = 4.0  # of English, in the tokenizers of today's models; where nothing better is known
FROM_TEXT = f"from the text, {CHARACTERS_A_TOKEN:g} characters a token"
NO_RATE = "no rate known yet: the first {} will tell"

Sign = Literal["", "≈", "≤", "≥"]
Unit = Literal["", "bytes", "seconds", "money"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. `value`: None where nothing is known; `sign`: empty where it is exact; `basis`: how it is known."""

    name: str
    value: float | None
    basis: str = ""
    sign: Sign = ""
    unit: Unit = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a command would do, in the order in which it is read. `currency`: of its money, as the user calls it."""

    command: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    currency: str = ""

    def value(self, name: str) -> float | None:
        """The value of a figure."""
        return next(figure.value for figure in self.figures if figure.name == name)


@dataclass(frozen=True, slots=True)
class Limits:
    """A budget: what it is called on the command line, what it allows, what is spent of it already."""

    section: str
    max_requests: int | None
    max_cost: float | None
    spent_requests: int = 0
    spent_cost: float = 0.0

    def note(self, requests: Figure, money: Figure | None, consequence: str) -> str | None:
        """What the budget does to so many requests at such a cost; None without a budget.

        A request is sent only if the most it can cost still fits, so that money may end a little earlier than said.
        """
        shares = []
        for name, limit, spent, wanted in (
            ("max_requests", self.max_requests, self.spent_requests, requests),
            ("max_cost", self.max_cost, self.spent_cost, money),
        ):
            if limit is not None and wanted is not None and wanted.value is not None:
                share = max(limit - spent, 0) / wanted.value if wanted.value else 1.0
                how = "at least" if wanted.sign == "≤" else "about"
                shares.append((share, f"{self.section}.{name} {limit:,g}", how))
        if not shares:
            return None
        share, name, how = min(shares)
        if share >= 1:
            return f"budget: {name} pays for all of it"
        paid = int((requests.value or 0) * share)
        return f"budget: {name} pays for {how} {share:.0%} of it, {paid:,} requests; {consequence}"


def rate(stored_at: Sequence[datetime], starts: Sequence[datetime]) -> float | None:
    """How many things a second came, told by when they were stored; None where that cannot be told.

    What is stored together was made since the write before, or since a run started in between. Writes that took much
    longer than others had a pause in them and do not count.

    Args:
        stored_at: when each thing was stored.
        starts: when runs began.
    """
    times = sorted(stored_at)
    if not times:
        return None
    cuts = [0, *(at for at, (a, b) in enumerate(pairwise(times), 1) if (b - a).total_seconds() > SAME_WRITE_S)]
    begin, writes = None, []
    for first, after in zip(cuts, [*cuts[1:], len(times)], strict=True):
        begin = max(
            (start for start in starts if start <= times[first] and (not begin or start > begin)), default=begin
        )
        if begin is not None:
            writes.append((after - first, (times[after - 1] - begin).total_seconds()))
        begin = times[after - 1]
    if not writes:
        return None
    longest = max(PAUSE * median(seconds for _, seconds in writes), PAUSE_S)
    kept = [(count, seconds) for count, seconds in writes if seconds <= longest]
    seconds = sum(seconds for _, seconds in kept)
    return sum(count for count, _ in kept) / seconds if seconds > 0 else None


def time_figure(name: str, count: float, per_second: float | None, *, unit: str, at_least_s: float = 0.0) -> Figure:
    """How long so many things take.

    Args:
        name: of the figure.
        count: how many.
        per_second: the rate of earlier runs, if it is known.
        unit: what they are, in the plural.
        at_least_s: what a pace that the configuration sets takes.
    """
    if not count:
        return Figure(name, 0, "nothing to do", unit="seconds")
    if per_second is None:
        return Figure(name, at_least_s or None, NO_RATE.format(unit), "≥" if at_least_s else "", "seconds")
    basis = f"{per_second:,.3g} {unit} a second in earlier runs"
    return Figure(name, max(count / per_second, at_least_s), basis, "≈", "seconds")


def money_figure(price: Price, tokens_in: Figure, tokens_out: Figure) -> Figure:
    """What the tokens cost; nothing where nobody said a price."""
    if not price.is_known:
        return Figure("money", None, "no price known: write it into prices.toml", unit="money")
    sign: Sign = "≤" if "≤" in {tokens_in.sign, tokens_out.sign} else "≈"
    basis = f"{price.input:g} a million tokens in, {price.output:g} out"
    return Figure("money", price.of(tokens_in.value or 0, tokens_out.value or 0), basis, sign, "money")
