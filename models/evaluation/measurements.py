"""What an evaluation measures of a policy, and the JSON it is stored as. Standard library alone: `db` reads it too.

The JSON's names are the records' own, so that SQL can ask for them; `version` says which ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from models.intervals import Interval

VERSION = 2
FIRST_VERSION = 1  # also of what was stored before there was a version


_FIRST_NAMES = {
    "bleu_4": "corpus_bleu_4",
    "rouge_1": "word_rouge_1",
    "rouge_2": "word_rouge_2",
    "rouge_l": "word_rouge_l",
}


class MeasurementsVersionError(ValueError):
    """Measurements are stored in a version that cannot be read."""


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """An annotator's verdicts on a policy's responses against a baseline's, summed up.

    Attributes:
        win: share of comparisons the policy won, the mean over prompts; with `tie` and `lose` 1.
        rate: win + tie / 2 with its interval.
        wins: comparisons the policy won; of `comparison_count`, `losses` it lost.
        length_controlled: the rate at equal lengths; None where length and quality cannot be told apart.
        unread: pairs without a verdict that can be read.
    """

    win: float
    tie: float
    lose: float
    rate: Interval
    prompt_count: int
    comparison_count: int
    wins: int
    losses: int
    length_controlled: Interval | None
    unread: int

    @property
    def ties(self) -> int:
        """Comparisons that nobody won."""
        return self.comparison_count - self.wins - self.losses

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them."""
        controlled = self.length_controlled
        return asdict(self) | {
            "rate": list(self.rate),
            "length_controlled": None if controlled is None else list(controlled),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ComparisonSummary:
        """The record that `as_dict` wrote."""
        controlled = stored["length_controlled"]
        intervals = {
            "rate": Interval(*stored["rate"]),
            "length_controlled": None if controlled is None else Interval(*controlled),
        }
        return cls(**{**stored, **intervals})


@dataclass(frozen=True, slots=True)
class RewardSummary:
    """A policy's figures on held-out preferences, measured against its reference (`rewards.reward_summary`)."""

    margin: Interval
    loss: Interval
    accuracy: Interval
    perplexity: Interval

    @property
    def intervals(self) -> dict[str, Interval]:
        """The figures by name."""
        return {"margin": self.margin, "loss": self.loss, "accuracy": self.accuracy, "perplexity": self.perplexity}

    def as_dict(self) -> dict[str, float | None]:
        """Plain numbers for JSON: `margin`, `margin_low`, `margin_high` and so on; None for a bound at infinity."""
        return {
            name + suffix: number if math.isfinite(number) else None
            for name, interval in self.intervals.items()
            for suffix, number in zip(("", "_low", "_high"), interval, strict=True)
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, float | None]) -> RewardSummary:
        """The record that `as_dict` wrote; None is read as ∞, as the lower bound of a finite value as −∞."""
        return cls(*(_interval(stored, name) for name in ("margin", "loss", "accuracy", "perplexity")))


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL(P ‖ Q) in nats, estimated on samples of P as they were sampled, cut at its token limit or not (`kl.kl`).

    Attributes:
        per_response: the mean over prompts of log P − log Q, with its interval.
        per_token: the same divided by the mean over prompts of the tokens sampled.
        response_count: samples scored, of `prompt_count` prompts.
        cut_count: those of them that stopped at the token limit.
    """

    per_response: Interval
    per_token: Interval
    response_count: int
    prompt_count: int
    cut_count: int

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them; None for a bound at infinity."""
        return asdict(self) | {
            name: [number if math.isfinite(number) else None for number in getattr(self, name)]
            for name in ("per_response", "per_token")
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Divergence:
        """The record that `as_dict` wrote."""
        intervals = {}
        for name in ("per_response", "per_token"):
            value, low, high = stored[name]
            intervals[name] = Interval(value, -math.inf if low is None else low, math.inf if high is None else high)
        return cls(**{**stored, **intervals})


@dataclass(frozen=True, slots=True)
class Divergences:
    """How far a policy lies from its reference, the model its run began with; None where no sample could be scored.

    `from_reference`: KL(reference ‖ policy), on the reference's samples; `from_policy`: KL(policy ‖ reference), on the
    policy's own, the term that RLHF's objective penalises.
    """

    from_reference: Divergence | None
    from_policy: Divergence | None

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them."""
        both = {"from_reference": self.from_reference, "from_policy": self.from_policy}
        return {name: divergence and divergence.as_dict() for name, divergence in both.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Divergences:
        """The record that `as_dict` wrote."""
        read = {name: stored[name] and Divergence.from_dict(stored[name]) for name in ("from_reference", "from_policy")}
        return cls(**read)


class TextScores(NamedTuple):
    """Overlap with reference texts, in percent (0 to 100), by two rules (`text_scores`).

    The last four were not measured in version 1.
    """

    corpus_bleu_4: float
    word_rouge_1: float
    word_rouge_2: float
    word_rouge_l: float
    character_bleu_4: float | None = None
    token_rouge_1: float | None = None
    token_rouge_2: float | None = None
    token_rouge_l: float | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A policy's figures on held-out examples; None where there was nothing to measure.

    `key` names the held-out examples by their texts, None where an older version stored no key.
    """

    key: str | None
    rewards: RewardSummary | None
    text_scores: TextScores | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and the 5 %, 50 % and 95 % quantiles of one figure over responses (no interval of the mean)."""

    mean: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the embeddings of n responses to g prompts moved; None where there is nothing to measure.

    Attributes:
        response_count: responses measured.
        left_out_count: responses without a usable embedding (not finite or zero) under one model or both.
        correlation: Pearson's r over the d entries of a response's two embeddings.
        cosine: of a response's two embeddings.
        pair_count: pairs of two responses to one prompt.
        similarity_edges: (bins + 1) edges that both histograms share; empty without a pair.
        base_counts: pairs a bin, by their cosine under the base model.
        policy_counts: the same under the policy.
        base_similarity: mean cosine of the pairs under the base model.
        policy_similarity: the same under the policy.
        rank_correlation: Spearman's ρ of the pairs' two cosines over all prompts, ties at their mean rank; None below
            2 pairs and where one side's cosines are all equal.
        easy_prompt_count: prompts that have an `easy` pair (REAL eq. 9) under both models.
        same_easy_share: the share of them whose two pairs are the same.
    """

    response_count: int
    left_out_count: int
    correlation: Spread | None
    cosine: Spread | None
    pair_count: int
    similarity_edges: tuple[float, ...]
    base_counts: tuple[int, ...]
    policy_counts: tuple[int, ...]
    base_similarity: float | None
    policy_similarity: float | None
    rank_correlation: float | None
    easy_prompt_count: int
    same_easy_share: float | None

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them; `from_dict` reads them back, from JSON too."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Drift:
        """The record that `as_dict` wrote."""
        spreads = {name: stored[name] and Spread(**stored[name]) for name in ("correlation", "cosine")}
        lists = {name: tuple(stored[name]) for name in ("similarity_edges", "base_counts", "policy_counts")}
        return cls(**{**stored, **spreads, **lists})


@dataclass(frozen=True, slots=True)
class Measurements:
    """All measurements of an evaluation so far; None: not measured, or nobody has compared.

    `drift`: context of the embeddings ("response", "prompt_and_response") to how far they moved.
    """

    comparison: ComparisonSummary | None = None
    held_out: HeldOut | None = None
    drift: Mapping[str, Drift] | None = None
    kl: Divergences | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON that is stored: a key for each thing measured, `{}` where there was nothing to measure."""
        stored: dict[str, Any] = {"version": VERSION}
        if self.comparison is not None:
            stored["comparison"] = self.comparison.as_dict()
        if self.held_out is not None:
            rewards, scores = self.held_out.rewards, self.held_out.text_scores
            if self.held_out.key is not None:
                stored["held_out_key"] = self.held_out.key
            stored["held_out"] = {} if rewards is None else rewards.as_dict()
            stored["text_scores"] = {} if scores is None else scores._asdict()
        if self.drift is not None:
            stored["drift"] = {context: drift.as_dict() for context, drift in self.drift.items()}
        if self.kl is not None:
            stored["kl"] = self.kl.as_dict()
        return stored

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Measurements:
        """The record that `as_dict` wrote, or that version 1 did.

        Raises:
            MeasurementsVersionError: If it is of another version.
        """
        version = stored.get("version", FIRST_VERSION)
        if version == FIRST_VERSION:
            stored = _from_first_version(stored)
        elif version != VERSION:
            raise MeasurementsVersionError(
                f"expected the measurements of an evaluation in version {FIRST_VERSION} or {VERSION}, got version "
                f"{version!r}; update Antipode to the one that stored them, or to a newer one"
            )
        return cls(
            comparison=ComparisonSummary.from_dict(stored["comparison"]) if "comparison" in stored else None,
            held_out=_held_out(stored) if "held_out" in stored else None,
            drift={context: Drift.from_dict(stored_drift) for context, stored_drift in stored["drift"].items()}
            if "drift" in stored
            else None,
            kl=Divergences.from_dict(stored["kl"]) if "kl" in stored else None,
        )


def _from_first_version(stored: Mapping[str, Any]) -> dict[str, Any]:
    """As version 2 has it: scores under their right names, no bound of a perplexity below 1, which is its least."""
    found = dict(stored)
    if scores := stored.get("text_scores"):
        found["text_scores"] = {_FIRST_NAMES[name]: score for name, score in scores.items()}
    if "perplexity_low" in (held_out := stored.get("held_out", {})):
        low = held_out["perplexity_low"]
        found["held_out"] = held_out | {"perplexity_low": None if low is None else max(1.0, low)}
    return found


def _interval(stored: Mapping[str, float | None], name: str) -> Interval:
    value, low, high = (stored[name + suffix] for suffix in ("", "_low", "_high"))
    if value is None:
        return Interval(math.inf, math.inf if low is None else low, math.inf)
    return Interval(value, -math.inf if low is None else low, math.inf if high is None else high)


def _held_out(stored: Mapping[str, Any]) -> HeldOut:
    rewards, scores = stored["held_out"], stored.get("text_scores")
    return HeldOut(
        stored.get("held_out_key"),
        RewardSummary.from_dict(rewards) if rewards else None,
        TextScores(**scores) if scores else None,
    )
