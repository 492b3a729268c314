"""One trial of a study: what is tried, under which seed, with how many labels of whom. Knows no way to carry it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.records import content_key

FAILED = "failed"


@dataclass(frozen=True, slots=True, order=True)
class Trial:
    """One cell of a study's design, carried out once and stored.

    Attributes:
        arm: what is compared: a strategy, a method, a subset.
        annotator: whose labels; empty where a trial needs none.
        budget: how many labels; 0 where the arm alone decides.
        seed: of every random choice of the trial; arms of one seed share whatever is not their own.
        part: what else tells trials apart (a round, a split of the data); empty where nothing does.
    """

    arm: str
    annotator: str = ""
    budget: int = 0
    seed: int = 0
    part: str = ""

    @property
    def key(self) -> str:
        """Content hash, the trial's name within its study."""
        return content_key("trial", self.arm, self.annotator, self.budget, self.seed, self.part)

    @property
    def words(self) -> str:
        """The trial in words, for a line of progress."""
        budget = f"{self.budget:,} labels" if self.budget else ""
        return ", ".join(filter(None, (self.arm, self.annotator, budget, f"seed {self.seed}", self.part)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial: `figures` as JSON, and the seconds that it took."""

    trial: Trial
    figures: dict[str, Any]
    seconds: float

    @property
    def failure(self) -> str | None:
        """Why the trial could not be done; None for one that was."""
        return self.figures.get(FAILED)


def comparable(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What may be compared where some trials failed: arms are compared in pairs under a seed, and lose both partners.

    What failed under every seed (an arm with so many labels of this annotator) is left out alone, so that the others
    are still compared; of an annotator whose other trials failed under a seed, nothing of that seed is left.
    """
    done = {_cell(outcome.trial) for outcome in outcomes if outcome.failure is None}
    kept = [outcome for outcome in outcomes if _cell(outcome.trial) in done]
    lost = {(outcome.trial.annotator, outcome.trial.seed) for outcome in kept if outcome.failure is not None}
    return [outcome for outcome in kept if (outcome.trial.annotator, outcome.trial.seed) not in lost]


def _cell(trial: Trial) -> tuple[str, str, int, str]:
    """A trial but for its seed."""
    return trial.arm, trial.annotator, trial.budget, trial.part
