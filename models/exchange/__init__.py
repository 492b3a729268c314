"""What leaves and enters as files: preferences for trainers, pairs for labelling tools, labels from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from models.labelling.records import PairKey
from models.records import Prompt
from models.thoughts import composed

__all__ = ["PAIR_COLUMNS", "ExportedPair", "ImportedJudgement", "PreferenceRow", "UnpairedRow"]

PAIR_COLUMNS = ("pair_id", "left_response_id", "right_response_id")  # by which a label finds its pair again


class PreferenceRow(NamedTuple):
    """A preference with a chosen and a rejected response, as trainers take it, and where it comes from.

    A response is cut if its sampling stopped at the token limit: it does not end where its text does. `chosen` and
    `rejected` are answers; a thought is what a reasoning model wrote before.
    `strength`: how strongly the chosen one is preferred, above 0 and up to 1; None where nobody said.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    prompt_id: int
    chosen_response_id: int
    rejected_response_id: int
    chosen_model: str | None
    rejected_model: str | None
    run_id: int | None
    strategies: tuple[str, ...]
    similarity: float | None
    rule: str
    support: float
    vote_count: int
    split: str | None = None
    strength: float | None = None
    is_chosen_cut: bool = False
    is_rejected_cut: bool = False
    chosen_thought: str | None = None
    rejected_thought: str | None = None

    def with_thoughts(self) -> PreferenceRow:
        """The row with thought and answer as one text, as models write them."""
        chosen, rejected = composed(self.chosen_thought, self.chosen), composed(self.rejected_thought, self.rejected)
        return self._replace(chosen=chosen, rejected=rejected)


@dataclass(frozen=True, slots=True)
class UnpairedRow:
    """One response with whether it is wanted, as KTO takes it, and where that comes from.

    `rule`, `support` and `vote_count` are those of the preference it was a side of; None where it was no side of any.
    """

    prompt: Prompt
    text: str
    is_desirable: bool
    prompt_id: int
    response_id: int
    model: str | None
    run_id: int | None = None
    rule: str | None = None
    support: float | None = None
    vote_count: int | None = None
    split: str | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ExportedPair:
    """A pair on its way to a labelling tool, with the side each response is to be shown on."""

    pair_id: int
    pair: PairKey
    prompt: Prompt
    left_response_id: int
    left: str
    right: str

    @property
    def right_response_id(self) -> int:
        """The pair's other response."""
        return sum(self.pair) - self.left_response_id


class ImportedJudgement(NamedTuple):
    """A label from a file, read but not yet checked against the database.

    The pair is named by `pair_id`, by the two response ids, or by both; `left`/`right` verdicts need the response ids.
    `strength`: how strongly one is preferred, in (0, 1]. `judged_at` (UTC): when, by the tool's clock. Both None where
    nothing is said. `is_ranked`: one of the pairs of a ranking, which need not all be pairs of a run.
    """

    row_number: int
    annotator: str
    verdict: Literal["first", "second", "left", "right", "tie", "both_bad", "skip"]
    pair_id: int | None = None
    left_response_id: int | None = None
    right_response_id: int | None = None
    seconds: float | None = None
    rationale: str | None = None
    strength: float | None = None
    judged_at: datetime | None = None
    is_ranked: bool = False
