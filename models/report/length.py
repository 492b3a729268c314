"""How far similarity follows length, in words: the same on the page, in the Prefect UI and on the terminal."""

from __future__ import annotations

from models.intervals import Interval

NO_CHOICE = (
    "No prompt has two pairs to choose from, so every strategy selects the same ones, and whether similarity goes with "
    "the difference in length moves no choice. Of pairs that sources made, --select.scope source_pairs selects a share "
    "over all prompts."
)


def correlation_words(correlation: Interval) -> str:
    """One sentence with the figure, its interval, and what it means for a selection by similarity."""
    return f"Rank correlation of similarity with the difference in length: {correlation:+.2f}, {_meaning(correlation)}"


def _meaning(correlation: Interval) -> str:
    if correlation.high < 0:
        return (
            "so the less similar pairs differ more in length: compare with the strategy longest_gap before a gain is "
            "put down to similarity."
        )
    if correlation.low > 0:
        return "so the less similar pairs differ less in length."
    return "so neither direction is shown."
