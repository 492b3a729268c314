"""One trial of a study: what is tried, under which seed, with how many labels of whom. Knows no way to carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.records import content_key


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
