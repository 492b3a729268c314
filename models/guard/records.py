"""The guard's rules by name, and what one of them found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

GuardRule = Literal["empty", "cut", "repetitive", "language", "boilerplate", "outlier"]
# `cut` is no switch of the guard's: select.has_cut is.
SwitchedRule = Literal["empty", "repetitive", "language", "boilerplate", "outlier"]

# What each rule says of a response, in a few words; the order is also that of gravity, the gravest first.
RULES: Mapping[GuardRule, str] = {
    "empty": "holds no word",
    "cut": "was cut at max_tokens",
    "repetitive": "repeats itself",
    "language": "is in another language than its prompt",
    "boilerplate": "stands under many prompts",
    "outlier": "is unlike the prompt’s other responses",
}
SWITCHED_RULES: tuple[SwitchedRule, ...] = ("empty", "repetitive", "language", "boilerplate", "outlier")


class Finding(NamedTuple):
    """A rule that holds for a response, and the number that it goes by (docs/guard.md has what each means)."""

    rule: GuardRule
    value: float

    @property
    def badness(self) -> float:
        """The value with its sign so that more is worse."""
        return -self.value if self.rule == "outlier" else self.value


@dataclass(frozen=True, slots=True)
class RuleCount:
    """For how many responses of a run a rule holds: those that are left out of the pairing, those that are not."""

    rule: GuardRule
    left_out: int
    marked: int


@dataclass(frozen=True, slots=True)
class GuardCounts:
    """What the guard found in a run, by rule, the gravest first; a response may break several rules.

    `left_out`, `marked`: different responses; one that is left out by any rule is not marked.
    """

    left_out: int
    marked: int
    rules: tuple[RuleCount, ...]

    @property
    def words(self) -> str:
        """What the guard found, on one line, by rule; of those that are only marked nothing where there is none."""
        out = ", ".join(f"{one.rule} {one.left_out:,}" for one in self.rules if one.left_out)
        marked = ", ".join(f"{one.rule} {one.marked:,}" for one in self.rules if one.marked)
        responses = "response" if self.left_out == 1 else "responses"
        words = f"{self.left_out:,} {responses} left out of the pairing" + (f" ({out})" if out else "")
        return words + (f", {self.marked:,} only marked ({marked})" if self.marked else "")
