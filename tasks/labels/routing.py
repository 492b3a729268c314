"""The annotator `routed`: pairs whose winner is expected go to a cheap annotator, the rest to people. Knows no Prefect.

The idea is HyPER's (Miranda et al., "Hybrid Preferences: Learning to Route Instances for Human vs. AI Feedback",
ACL 2025, arXiv 2410.19133), which learns where a language model's labels are as good as people's. Here the reward head
made of the labels so far decides: where its margin is far from zero, the two differ enough for anybody to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from db.engine import Session
from db.labels import routes
from db.labels.judgements import judged_by_people
from db.labels.predictions import Prediction
from db.labels.routes import Route
from models.labelling.records import PairKey
from tasks.config.labels import LabelConfig
from tasks.labels.worth.expected import expected_preferences
from tasks.settings import Settings

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Split:
    """Where the pairs of a routed run go.

    Attributes:
        cheap: those for the cheap annotator.
        people: those for people.
        expected_error: the share of the former in which the response that is expected to win will lose, by what the
            labels leave open; None where none goes there.
        probabilities: that the first of a pair is preferred, of those of which anything is known; empty without a head.
    """

    cheap: tuple[PairKey, ...]
    people: tuple[PairKey, ...]
    expected_error: float | None
    probabilities: Mapping[PairKey, float]

    def words(self, cheap: str) -> str:
        """What went where, on one line."""
        if not self.probabilities:
            return (
                f"routed: all {len(self.people):,} pairs go to people, since there are fewer than 25 labels to expect "
                "others by; label some, and route the rest"
            )
        to_people = f"{len(self.people):,} to people"
        if self.expected_error is None:
            return f"routed: {to_people}, none to {cheap}: no winner is sure enough; lower --routed.min_probability"
        total = len(self.cheap) + len(self.people)
        return (
            f"routed: {len(self.cheap):,} of {total:,} pairs to {cheap}, {to_people}; among the former "
            f"{100 * self.expected_error:.1f} % are expected to be labelled other than the labels so far expect"
        )


def settled_split(
    session: Session, run_id: int, pairs: Sequence[PairKey], config: LabelConfig, settings: Settings
) -> Split:
    """Where a labelling run's pairs go: as it was settled when the run began, else settled now and stored.

    Labels that come while the run is at work, its own too, change nothing of it: a run that goes on does the same.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    settled = routes.routes_of(session, run_id)
    if not settled:
        settled = route(session, pairs, config, settings)
        routes.add_routes(session, run_id, settled)
    return split_of(settled)


def route(session: Session, pairs: Sequence[PairKey], config: LabelConfig, settings: Settings) -> list[Route]:
    """Where these pairs of a curation run would go, by the labels so far. Stores nothing.

    A pair goes to the cheap annotator if the side that is expected to win is so with `routed.min_probability`: the
    central interval of its margin, of which as much lies below zero as is allowed to, excludes zero. What people have
    judged stays with people, who are not asked for it again.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    expected = expected_preferences(session, int(config.pairs.run), settings) or {}
    done = judged_by_people(session, pairs)
    return [_route(pair, expected, config.routed.min_probability, is_done=pair in done) for pair in pairs]


def split_of(settled: Sequence[Route]) -> Split:
    """What routes come to."""
    cheap = [one for one in settled if not one.to_people]
    wrong = [min(one.probability, 1 - one.probability) for one in cheap if one.probability is not None]
    return Split(
        cheap=tuple(one.pair for one in cheap),
        people=tuple(one.pair for one in settled if one.to_people),
        expected_error=sum(wrong) / len(wrong) if wrong else None,
        probabilities={one.pair: one.probability for one in settled if one.probability is not None},
    )


def certainty(prediction: Prediction) -> float:
    """How sure it is that the side expected to win has the larger reward: 1/2 to 1."""
    if prediction.deviation == 0:
        return 1.0 if prediction.margin else 0.5
    return _NORMAL.cdf(abs(prediction.margin) / prediction.deviation)


def _route(pair: PairKey, expected: Mapping[PairKey, Prediction], min_probability: float, *, is_done: bool) -> Route:
    prediction = expected.get(pair)
    if prediction is None:
        return Route(*pair, to_people=True, probability=None, certainty=None)
    sure = certainty(prediction)
    return Route(*pair, to_people=is_done or sure < min_probability, probability=prediction.probability, certainty=sure)
