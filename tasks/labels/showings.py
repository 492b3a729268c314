"""Pairs as they are shown to an annotator, and which of them it has yet to judge. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.engine import Session
from db.labels import judgements, labelling
from db.labels.labelling import PairText
from models.labelling.records import PairKey, ShownPair


@dataclass(frozen=True, slots=True)
class Showing:
    """A pair with one of its responses on the left."""

    text: PairText
    left_response_id: int

    @property
    def shown_pair(self) -> ShownPair:
        """As the annotator gets it."""
        return self.text.shown(self.left_response_id)


def open_showings(
    session: Session, annotator_id: int | None, pairs: Sequence[PairKey], *, has_both_orders: bool, seed: int
) -> list[Showing]:
    """The showings an annotator has not judged: both orders of a pair, or one with a random (seeded) side.

    `annotator_id` is None for one who has judged nothing yet.
    """
    judged_showings = set() if annotator_id is None else judgements.judged_showings(session, annotator_id, pairs)
    texts = labelling.pair_texts(session, pairs)
    if has_both_orders:
        showings = [Showing(text, left) for text in texts for left in text.pair]
        return [showing for showing in showings if (showing.text.pair, showing.left_response_id) not in judged_showings]
    judged = {pair for pair, _ in judged_showings}
    return [Showing(text, labelling.left_side(text.pair, seed)) for text in texts if text.pair not in judged]
