"""What a report says: frozen records, checked when they are made. Knows nothing of HTML or pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from models.head import Worth
from models.quality.quality import LabelQuality

# Also the order in which strategies are shown; a user's own come after.
STRATEGY_MEANINGS: Mapping[str, str] = {
    "easy": "The least similar pair of the prompt: the lowest cosine of two embeddings (REAL eq. 9).",
    "hard": "The most similar pair of the prompt that is not identical: the highest cosine (REAL eq. 8).",
    "centroid": "The prompt’s embeddings in two clusters: the response nearest each cluster’s mean (REAL eq. 12).",
    "random": "Any two different responses, every pair equally likely: the baseline.",
    "longest_gap": "The two responses that differ most in length, whatever they say: the rival of dissimilarity.",
    "closest_lengths_easy": "The least similar of the pairs of most alike length, two of seven: easy without length.",
    "max_min_lcb": "The response whose worst rival is least certain to beat it, and that rival, by the labels so far.",
}
# Each has a colour and a dash pattern of its own, in colours.css; the others share those of `OTHER`, since there is no
# sixth colour that everybody tells apart on light and dark paper.
COLOURED = ("easy", "hard", "centroid", "random", "longest_gap")
OTHER = "other-strategy"
OWN_MEANING = "A strategy of your own."


@dataclass(frozen=True, slots=True)
class ResponseCounts:
    """How much the run read and made.

    Attributes:
        prompts: prompts of the run, with or without a pair.
        responses: their responses, duplicates and empty ones included.
        duplicates: responses whose text equals an earlier response to the same prompt.
        empty: responses without a token.
        cut: responses whose sampling stopped at the token limit (generate.max_tokens).
        left_out: those of them that no pair is selected from.
        truncated: responses that the embedder read in part (embed.max_tokens).
    """

    prompts: int
    responses: int
    duplicates: int
    empty: int
    cut: int
    left_out: int
    truncated: int


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A selected pair to show in full.

    Attributes:
        similarity: cosine of the two embeddings.
        rank: 1 for the least similar valid pair of the prompt.
        pair_count: the prompt's valid pairs.
    """

    prompt: str
    first: str
    second: str
    similarity: float
    rank: int
    pair_count: int


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What one strategy selected.

    Attributes:
        similarities: (n,) float32, the cosine of each selected pair, one a pair; may be empty.
        unpaired: reason -> number of prompts that got no pair for it.
        examples: a few of the pairs, in the order to be shown.
        mean_length_ratio: the mean of shorter over longer response, in characters; None without a pair.

    Raises:
        ValueError: on construction, if `similarities` is not one-dimensional or holds a value that is not finite.
    """

    similarities: NDArray[np.float32]
    unpaired: Mapping[str, int]
    examples: tuple[ShownPair, ...]
    mean_length_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.similarities.ndim != 1:
            raise ValueError(f"similarities must have shape (n,), got {self.similarities.shape}; pass one a pair")
        if bad := np.count_nonzero(~np.isfinite(self.similarities)):
            raise ValueError(
                f"similarities must be finite, {bad} of {len(self.similarities)} are not; "
                "pass selected pairs only and count the other prompts in `unpaired`"
            )

    @property
    def unpaired_count(self) -> int:
        """Prompts that got no pair, for whatever reason."""
        return sum(self.unpaired.values())


@dataclass(frozen=True, slots=True)
class FlaggedExample:
    """A response that a rule of the guard holds for: left out of the pairing, or only marked."""

    prompt: str
    response: str
    is_left_out: bool


@dataclass(frozen=True, slots=True)
class GuardedRule:
    """What one rule of the guard found.

    Attributes:
        rule: its name.
        meaning: what it says of a response, in a few words.
        left_out: responses left out of the pairing.
        marked: responses that it holds for too and that stay.
        examples: one or two of them.
    """

    rule: str
    meaning: str
    left_out: int
    marked: int
    examples: tuple[FlaggedExample, ...] = ()


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """What one strategy chose.

    Attributes:
        pairs: how many pairs, at least one.
        median_similarity: the median cosine of a pair's two embeddings.
        mean_length_ratio: of the shorter over the longer response, in characters, as a mean over the pairs.
        degenerate_pairs: pairs of which the guard flagged a response, by whatever rule.
        shared_pairs: pairs that another strategy of the run chose too.
        shared_with: other strategy -> how many of these pairs it chose too; those that share none are left out.
    """

    pairs: int
    median_similarity: float
    mean_length_ratio: float
    degenerate_pairs: int
    shared_pairs: int
    shared_with: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PromptCandidates:
    """One prompt with all its responses, for the map.

    Attributes:
        responses: k texts; they are numbered from 1 on the page.
        embeddings: (k, d) float, raw or normalised; a row that is zero or not finite is left off the map.
        pairs: strategy -> positions (from 0) of the two responses it chose; a strategy without a pair is left out.

    Raises:
        ValueError: on construction, if the numbers of rows and responses differ, a strategy is unknown or a position
            is no response.
    """

    prompt: str
    responses: tuple[str, ...]
    embeddings: NDArray[np.floating]
    pairs: Mapping[str, tuple[int, int]]

    def __post_init__(self) -> None:
        count = len(self.responses)
        if self.embeddings.ndim != 2 or len(self.embeddings) != count:
            raise ValueError(f"{count} responses need embeddings (k, d) of {count} rows, got {self.embeddings.shape}")
        for strategy, pair in self.pairs.items():
            if not all(0 <= position < count for position in pair):
                raise ValueError(f"the {strategy} pair is {pair}, but positions go from 0 to {count - 1}")


@dataclass(frozen=True, slots=True)
class NextStep:
    """A command to run next and what it is good for, in a few words."""

    purpose: str
    command: str


@dataclass(frozen=True, slots=True)
class CurationReport:
    """Everything the page says.

    Attributes:
        title: the page's headline.
        name: the run's name.
        started_at: shown as given, with its time zone if it has one.
        finished_at: not before `started_at`; both with a time zone or both without.
        model: the model that answered and embedded.
        settings: the run's settings, name -> value as text, in the order to be shown.
        strategies: strategy -> what it selected; at least one. Shown in the order of `STRATEGY_MEANINGS`.
        candidates: prompts the map may show; it takes the first of those whose strategies differ most. May be empty.
        next_steps: what to do next, in order.
        labels: how far the pairs' labels can be trusted; shown if there is a judgement.
        worth: what the labels are worth; shown with them.
        length_words: how far similarity goes with the difference in length among the pairs that could be chosen; None
            where it is not known.
        checks: what the checks of prompts and pairs found, a sentence each; may be empty.
        guarded: what each rule of the guard found, in the order to be shown; those that found nothing are left out.
        figures: strategy -> what it chose, beside the other strategies; those without a pair are left out.

    Raises:
        ValueError: on construction, if there is no strategy.
    """

    title: str
    run_id: str
    name: str
    started_at: datetime
    finished_at: datetime
    model: str
    settings: Mapping[str, str]
    counts: ResponseCounts
    strategies: Mapping[str, StrategyResult]
    candidates: tuple[PromptCandidates, ...]
    next_steps: tuple[NextStep, ...]
    labels: LabelQuality | None = None
    length_words: str | None = None
    checks: tuple[str, ...] = ()
    guarded: tuple[GuardedRule, ...] = ()
    figures: Mapping[str, StrategyFigures] = field(default_factory=dict)
    worth: Worth | None = None

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ValueError("a report needs the result of at least 1 strategy, got none")


def in_order(strategies: Iterable[str]) -> list[str]:
    """The strategies as they are shown: the shipped ones in their order, then a user's own as they come."""
    order = {name: place for place, name in enumerate(STRATEGY_MEANINGS)}
    return sorted(strategies, key=lambda name: order.get(name, len(order)))


def mark_of(strategy: str) -> str:
    """The class that gives a strategy its colour and dash pattern: no name of a user's meets one of the page's own."""
    return strategy if strategy in COLOURED else OTHER
