"""Labels that a data set brought: its reference responses, its own preferences, its scores. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence

from models.labelling.records import AnnotatorIdentity, Opinion, ShownPair


class GoldLabeller:
    """The reference response of the fine-tuning set is the better one, whatever it is paired with."""

    @property
    def identity(self) -> AnnotatorIdentity:
        """It has no settings."""
        return AnnotatorIdentity("gold", "gold (reference responses)")

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Prefer the reference; `skip` where none or both are one, `tie` where the other repeats its text."""
        return [_gold_opinion(pair) for pair in pairs]

    def close(self) -> None:
        """Nothing is held."""


class SourceLabeller:
    """The preference that came with the pair."""

    def __init__(self, *, criterion: str = "") -> None:
        """Fix by what the source compared ("better", "safer"); empty for sources that do it by one thing alone."""
        self._criterion = criterion

    @property
    def identity(self) -> AnnotatorIdentity:
        """Each criterion is another annotator."""
        if not self._criterion:
            return AnnotatorIdentity("source", "source (the data set's preferences)")
        return AnnotatorIdentity("source", f"source ({self._criterion})", (("criterion", self._criterion),))

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Return what the source says by the criterion, `skip` where it says nothing."""
        return [self._opinion(pair) for pair in pairs]

    def _opinion(self, pair: ShownPair) -> Opinion:
        said = next((one for one in pair.source_says if one.criterion == self._criterion), None)
        return Opinion("skip") if said is None else Opinion(said.verdict, strength=said.strength)

    def close(self) -> None:
        """Nothing is held."""


class ScoresLabeller:
    """The response with the higher score in the data set, where it is higher by a ratio (REAL: 1.5 on SHP-2)."""

    def __init__(self, *, min_ratio: float) -> None:
        """Fix the ratio.

        Args:
            min_ratio: higher score over lower score from which on the higher wins; at least 1. With 1 every difference
                counts, which is the choice for scores whose zero means nothing (a reward model's, say).

        Raises:
            ValueError: if `min_ratio` is below 1.
        """
        if not min_ratio >= 1:
            raise ValueError(f"min_ratio must be at least 1 (a higher over a lower score), got {min_ratio}")
        self._min_ratio = float(min_ratio)

    @property
    def identity(self) -> AnnotatorIdentity:
        """Another ratio is another annotator."""
        return AnnotatorIdentity("scores", f"scores (ratio {self._min_ratio:g})", (("min_ratio", self._min_ratio),))

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Prefer the higher score where it is `min_ratio` times the lower, else `tie`; the margin is their difference.

        `skip` where a score is missing. Equal scores tie. A positive score beats one of zero or below, whatever the
        ratio asked for: that is what the ratio tends to. Two scores of which neither is positive have no such ratio:
        `skip`, unless `min_ratio` is 1. A yes or no about one response (1 or 0) and a score are on different scales:
        `skip`; so are scores that no source brought together.
        """
        return [self._scored(pair) for pair in pairs]

    def close(self) -> None:
        """Nothing is held."""

    def _scored(self, pair: ShownPair) -> Opinion:
        if (pair.left.is_desirable is None) != (pair.right.is_desirable is None):
            return Opinion("skip", rationale="one response has a score, the other a yes or no: two scales")
        left, right = pair.left.source_ids, pair.right.source_ids
        if left and right and not left & right:
            return Opinion("skip", rationale="the scores are of two sources: two scales")
        return self._opinion(pair.left.score, pair.right.score)

    def _opinion(self, left: float | None, right: float | None) -> Opinion:
        if left is None or right is None:
            return Opinion("skip", rationale="the data set has no score for each of the two")
        margin = left - right
        lower, higher = sorted((left, right))
        if higher <= 0 and lower < higher and self._min_ratio > 1:
            return Opinion("skip", margin=margin, rationale="neither score is positive, so that they have no ratio")
        if lower == higher or (lower > 0 and higher / lower < self._min_ratio):
            return Opinion("tie", margin=margin)
        return Opinion("left" if left > right else "right", margin=margin)


def _gold_opinion(pair: ShownPair) -> Opinion:
    if pair.left.is_reference == pair.right.is_reference:
        reason = "both responses are references" if pair.left.is_reference else "neither response is a reference"
        return Opinion("skip", rationale=reason)
    if pair.left.text == pair.right.text:
        return Opinion("tie", rationale="the other response repeats the reference")
    return Opinion("left" if pair.left.is_reference else "right")
