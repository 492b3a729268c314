"""Records of how far labels can be trusted: what the figures read, and the figures that are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.labelling.records import AnnotatorKind, PairKey, Verdict


class LabelledPair(NamedTuple):
    """What the figures need to know of a pair. Lengths in characters; `similarity` None where it was never embedded.

    Pairs of one `prompt_id` are dependent; one without is independent of all others.
    """

    pair: PairKey
    prompt: str
    strategies: tuple[str, ...]
    similarity: float | None
    first_length: int
    second_length: int
    prompt_id: int | None = None


class AnnotatorJudgement(NamedTuple):
    """One stored judgement, with who made it."""

    annotator_id: int
    pair: PairKey
    left_response_id: int
    verdict: Verdict
    margin: float | None
    seconds: float | None
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Annotator:
    """An annotator as the figures name them."""

    id: int
    name: str
    kind: AnnotatorKind
    has_both_orders: bool


@dataclass(frozen=True, slots=True)
class Share:
    """A share of `count` observations with its 95 % interval over prompts; `value` None where nothing is counted."""

    value: float | None
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Coefficient:
    """Agreement corrected for chance, with its 95 % interval over prompts; `value` None where it is undefined.

    1: they always agree. 0: as often as votes without any knowledge of the pair would. Below 0: they contradict each
    other. It does not depend on which response is stored as the first.
    """

    value: float | None
    low: float
    high: float


UNDEFINED = Coefficient(None, -1.0, 1.0)


@dataclass(frozen=True, slots=True)
class GroupAgreement:
    """Agreement within a strategy or a bin of similarity: over all two annotators who both judged a pair.

    `alpha` and `ordinal_alpha`: Krippendorff's, as in `LabelQuality`. `group` is the strategy, or the bin as text
    ("0.40 to 0.60"); `low` and `high` bound a bin, None for a strategy.
    """

    group: str
    low: float | None
    high: float | None
    pair_count: int
    agreement: Share
    alpha: Coefficient
    ordinal_alpha: Coefficient


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """One annotator in figures. Shares count decisive verdicts; `left` and `longer` are 0.5 without a bias.

    `flips`: of the pairs asked in both orders, the share whose two answers contradict each other; nothing to count for
    an annotator who is asked once. `accuracy`: of the votes for a side where one response is better, the share for that
    one, by Dawid and Skene's model; nothing to count for an annotator who shares no pair with another.
    """

    annotator: Annotator
    judgement_count: int
    vote_count: int
    ties: int
    both_bad: int
    skips: int
    unparsed: int
    agreement_with_others: Share
    left: Share
    longer: Share
    flips: Share
    accuracy: Share
    median_seconds: float | None


@dataclass(frozen=True, slots=True)
class AnnotatorAgreement:
    """Two annotators on the pairs that both judged. `kappa`: Cohen's; `ordinal_kappa`: weighted, as `ordinal_alpha`."""

    first: Annotator
    second: Annotator
    pair_count: int
    agreement: Share
    kappa: Coefficient
    ordinal_kappa: Coefficient


@dataclass(frozen=True, slots=True)
class Suspect:
    """A pair worth another look, and why. The larger `weight`, the more."""

    pair: PairKey
    prompt: str
    reason: str
    weight: float
    verdicts: tuple[tuple[str, Verdict], ...]
    similarity: float | None


@dataclass(frozen=True, slots=True)
class StrategyRates:
    """What annotators could not decide of a strategy's pairs: `people`, or `machines` (all others).

    A vote is one annotator's on one pair; one that is asked in both orders and contradicts itself votes for a tie.
    `skips`: pairs that somebody looked at and has no vote on, having skipped it or said nothing that can be read.
    """

    strategy: str
    annotators: Literal["people", "machines"]
    votes: int
    ties: int
    both_bad: int
    skips: int


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """Everything `antipode quality` shows.

    `alpha`: Krippendorff's over all annotators and pairs, nominal: any two verdicts that differ disagree alike.
    `ordinal_alpha`: on the line first < tie < second, where a side against a tie disagrees a quarter as much as against
    the other side; both bad counts as a tie. `rates`: what could not be decided, by strategy.
    """

    pair_count: int
    labelled_count: int
    judgement_count: int
    alpha: Coefficient
    ordinal_alpha: Coefficient
    by_strategy: tuple[GroupAgreement, ...]
    by_similarity: tuple[GroupAgreement, ...]
    annotators: tuple[AnnotatorQuality, ...]
    agreements: tuple[AnnotatorAgreement, ...]
    suspects: tuple[Suspect, ...]
    rates: tuple[StrategyRates, ...] = ()
