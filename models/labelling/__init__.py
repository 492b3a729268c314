"""Labels: who says which response of a pair is better, what a rule makes of it, how far annotators agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.labelling.records import AnnotatorIdentity, Judgement, Opinion, PairKey, ShownPair, Verdict

__all__ = ["Labeller", "as_judgement"]


class Labeller(Protocol):
    """Gives verdicts on pairs as shown. It never learns which response is stored as the first."""

    @property
    def identity(self) -> AnnotatorIdentity:
        """What makes this annotator the same; verdicts are stored under it."""

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Give one opinion a pair, in the order given.

        A labeller that is not asked in both orders gives the mirrored opinion for `pair.swapped`: left and right
        exchanged, 1 − probability, −margin. One that has no opinion (a score is missing, say) answers `skip`.
        """

    def close(self) -> None:
        """Let go of whatever is held (a model's process, say)."""


def as_judgement(pair: PairKey, left_response_id: int, opinion: Opinion, *, seconds: float | None = None) -> Judgement:
    """Turn an opinion on a pair as shown into a judgement on the pair as stored.

    Raises:
        ValueError: If the response on the left is none of the pair.
    """
    if left_response_id not in pair:
        raise ValueError(f"the left response must be one of {tuple(pair)}, got {left_response_id}")
    is_first_left = left_response_id == pair.first_response_id
    verdicts: dict[str, Verdict] = {"left": "first", "right": "second"}
    if not is_first_left:
        verdicts = {"left": "second", "right": "first"}
    probability, margin = opinion.probability, opinion.margin
    if not is_first_left:
        probability = None if probability is None else 1.0 - probability
        margin = None if margin is None else -margin
    return Judgement(
        pair=pair,
        left_response_id=left_response_id,
        verdict=verdicts.get(opinion.verdict, opinion.verdict),  # type: ignore[arg-type]
        probability=probability,
        margin=margin,
        rationale=opinion.rationale,
        raw_reply=opinion.raw_reply,
        seconds=seconds,
        requests=opinion.requests,
        input_tokens=opinion.input_tokens,
        output_tokens=opinion.output_tokens,
        cost=opinion.cost,
        strength=opinion.strength,
    )
