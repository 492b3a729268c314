"""Frozen records of labelling: the words that labellers, rules, the database and the page share."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from models.records import Prompt, content_key

ShownVerdict = Literal["left", "right", "tie", "both_bad", "skip", "unparsed"]
Verdict = Literal["first", "second", "tie", "both_bad", "skip", "unparsed"]
Outcome = Literal["first", "second", "tie", "both_bad", "contradiction"]
AnnotatorKind = Literal["gold", "source", "scores", "rubric", "judge", "reward_model", "person"]

LONGEST_NAME = 100  # characters of a person's name


class PairKey(NamedTuple):
    """The two responses of a pair, `first_response_id < second_response_id`: what a judgement is about.

    Strategies and runs that select the same two responses share their judgements.
    """

    first_response_id: int
    second_response_id: int


@dataclass(frozen=True, slots=True)
class ShownResponse:
    """A response as an annotator may see it: its text, and what a data set said of it.

    `source_ids`: the sources that its score is of.
    """

    text: str
    score: float | None = None
    is_reference: bool = False
    is_desirable: bool | None = None
    source_ids: frozenset[int] = frozenset()


class SourceSays(NamedTuple):
    """What a pair's source says of it, by one criterion (empty: the one there is).

    `strength`: how strongly it prefers one, in (0, 1]; None if it does not say.
    """

    verdict: Literal["left", "right", "tie", "both_bad"]
    criterion: str = ""
    strength: float | None = None

    @property
    def swapped(self) -> SourceSays:
        """The same of the pair with its sides exchanged."""
        match self.verdict:
            case "left":
                return self._replace(verdict="right")
            case "right":
                return self._replace(verdict="left")
        return self


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A pair as it is shown to an annotator. `source_says`: what its source says, by each criterion it has."""

    prompt: Prompt
    left: ShownResponse
    right: ShownResponse
    source_says: tuple[SourceSays, ...] = ()

    @property
    def swapped(self) -> ShownPair:
        """The same pair with its sides exchanged."""
        return ShownPair(self.prompt, self.right, self.left, tuple(one.swapped for one in self.source_says))


@dataclass(frozen=True, slots=True)
class Opinion:
    """An annotator's verdict on a pair as shown, and the requests, tokens and money it took.

    `probability`: that the left response is the better one (0 to 1); `margin`: the annotator's score of the left less
    that of the right; `strength`: how strongly the better one is preferred (above 0, up to 1: clearly); each None where
    the annotator gives none. `cost` in the currency of the configured prices.
    `requests` and tokens count what was sent for this opinion, 0 where a stored reply was used.
    """

    verdict: ShownVerdict
    probability: float | None = None
    margin: float | None = None
    rationale: str | None = None
    raw_reply: str | None = None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class AnnotatorIdentity:
    """What makes an annotator the same: its kind, its name, and every setting that can change a verdict.

    `has_both_orders`: it is asked twice, once with each response on the left, and only equal answers are a verdict.
    """

    kind: AnnotatorKind
    name: str
    settings: tuple[tuple[str, str | int | float | bool | None], ...] = ()
    has_both_orders: bool = False

    @property
    def key(self) -> str:
        """Content hash: the annotator's natural key."""
        return content_key(asdict(self))


@lru_cache(maxsize=1_024)  # a file of labels asks for the same few at every row
def person(name: str) -> AnnotatorIdentity:
    """The identity of a person: their name alone.

    Raises:
        ValueError: If the name is empty or too long.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    if not 0 < len(plain) <= LONGEST_NAME:
        raise ValueError(f"an annotator's name has 1 to {LONGEST_NAME} characters, got {name!r}")
    return AnnotatorIdentity("person", plain)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One annotator's verdict on one pair as shown.

    `probability` and `margin` are of the first response against the second; `seconds`: the time a person took;
    `strength`: how strongly the better response is preferred (above 0, up to 1), None where nothing is said;
    `judged_at` (UTC): None is the time at which it is stored.
    """

    pair: PairKey
    left_response_id: int
    verdict: Verdict
    probability: float | None = None
    margin: float | None = None
    rationale: str | None = None
    raw_reply: str | None = None
    seconds: float | None = None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    strength: float | None = None
    judged_at: datetime | None = None

    def says_the_same(self, other: Judgement) -> bool:
        """Whether both are the same answer, whichever response was on the left and whenever it was given."""
        mine, others = ((one.pair, one.verdict, one.strength, one.rationale, one.seconds) for one in (self, other))
        return mine == others


class Preference(NamedTuple):
    """What a rule makes of a pair's judgements; it has a chosen and a rejected response only if one side won.

    `support`: the share (or weight) of the votes that agree with the outcome, 0 to 1. `strength`: the mean of
    those who agree and said how strongly, above 0 and up to 1; None where nobody did.
    """

    pair: PairKey
    outcome: Outcome
    support: float
    vote_count: int
    strength: float | None = None
