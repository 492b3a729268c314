"""What the page is told of a pair and a queue, as JSON: never a strategy, a similarity or whose a response is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from db.labels.queueing import edits
from db.labels.queueing.adjudication import EarlierVote
from db.labels.queueing.guidelines import Guidelines
from db.labels.queues import QueuedPair, QueueInfo, QueueProgress
from models.labelling.records import LONGEST_NAME, PairKey
from models.records import MAX_ID, storable
from web.rendering import RenderedTurn, render_pair, render_prompt, render_text, render_thought

LONGEST_COMMENT = 2_000

State = Literal["open", "paused", "closed", "stopped"]

Told = Annotated[str, AfterValidator(storable)]  # by a person; what databases refuse becomes U+FFFD


class PersonBody(BaseModel):
    """Whose page a change comes from: in a browser that two people share, the cookie may be the other's by now."""

    model_config = ConfigDict(extra="forbid", strict=True)

    person: str = Field(max_length=LONGEST_NAME)


class ShowingBody(PersonBody):
    """A pair as it lay before a person. `shown_at`: as its content had it, which tells it from one before an undo."""

    left_id: int = Field(ge=1, le=MAX_ID)
    right_id: int = Field(ge=1, le=MAX_ID)
    shown_at: AwareDatetime = Field(strict=False)  # JSON has no times of its own
    guidelines_version: int | None = Field(None, ge=1, le=2**31 - 1)

    @property
    def pair(self) -> PairKey:
        """The pair as it is stored."""
        return PairKey(min(self.left_id, self.right_id), max(self.left_id, self.right_id))


class EditBody(ShowingBody):
    """What a person has made of one of the responses before them."""

    side: Literal["left", "right"]
    text: Told = Field(max_length=edits.LONGEST_TEXT)


class VerdictBody(ShowingBody):
    """A person's verdict on a pair as it lay before them.

    `seconds`: how long the page was looked at. `strength`, `comment`: where the queue asks for them.
    """

    verdict: Literal["left", "right", "tie", "both_bad", "skip"]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    strength: Literal["slightly", "clearly"] | None = None
    comment: Told | None = Field(None, max_length=LONGEST_COMMENT)


@dataclass(frozen=True, slots=True)
class ProgressContent:
    """How far the queue is: `done_count` of `wanted_count` judgements, `own_count` by the person.

    `open_count`: of the `pair_count` pairs how many wait for somebody, told once none is left for the person. `pace_s`:
    median seconds of the person's recent pairs; `left_s`: what is left at it.
    """

    pair_count: int
    wanted_count: int
    done_count: int
    own_count: int
    open_count: int | None
    pace_s: float | None
    left_s: float | None


@dataclass(frozen=True, slots=True)
class PairContent:
    """A pair as it is shown: what to answer with, and HTML. `has_marks`: whether differing words are marked."""

    left_id: int
    right_id: int
    shown_at: datetime
    prompt: list[RenderedTurn]
    left: str
    right: str
    has_marks: bool


@dataclass(frozen=True, slots=True)
class VoteContent:
    """An earlier vote on the pair, by its sides as shown. `comment` is plain text; `machine`: None for a person.

    `is_turned`: whoever voted had the sides the other way round, which a comment may be about.
    """

    verdict: str
    is_slight: bool
    is_turned: bool
    comment: str | None
    machine: str | None


@dataclass(frozen=True, slots=True)
class QueueContent:
    """The pair that lies before the person, None where there is none for them, and how far the queue is.

    `votes`: what others have said of the pair, in a queue that settles contradictions; none elsewhere.
    `state`: why there may be none: the queue is `closed`, the person is `stopped` or `paused`; `open` else.
    `is_warned`: whether too few of their answers to pairs with a known answer were right.
    `guidelines_version`: of those in force.
    """

    pair: PairContent | None
    votes: list[VoteContent]
    progress: ProgressContent
    state: State
    is_warned: bool
    has_strength: bool
    has_comment: bool
    has_editing: bool
    guidelines_version: int | None


@dataclass(frozen=True, slots=True)
class TextsContent:
    """The two responses before a person as they were written, by their ids."""

    texts: dict[int, str]


@dataclass(frozen=True, slots=True)
class EditContent:
    """What became of an edit: stored, or, as it is the original again, taken back."""

    is_stored: bool


@dataclass(frozen=True, slots=True)
class GuidelinesContent:
    """Guidelines as HTML; empty where there are none."""

    version: int | None
    html: str


@dataclass(frozen=True, slots=True)
class VerdictContent(QueueContent):
    """What the page shows after a verdict. `is_stored`: whether this verdict is the stored one, or an earlier stays."""

    is_stored: bool


def queue_content(
    queue: QueueInfo,
    queued: QueuedPair | None,
    progress: QueueProgress,
    *,
    votes: Sequence[EarlierVote] = (),
    state: State = "open",
    is_warned: bool = False,
    guidelines_version: int | None = None,
) -> QueueContent:
    """Put together what the page shows next."""
    return QueueContent(
        None if queued is None else _pair_content(queued),
        [] if queued is None else [_vote_content(vote, queued) for vote in votes],
        _progress_content(progress, has_pair=queued is not None),
        state,
        is_warned,
        has_strength=queue.has_strength,
        has_comment=queue.has_comment,
        has_editing=queue.has_editing,
        guidelines_version=guidelines_version,
    )


def guidelines_content(guidelines: Guidelines | None) -> GuidelinesContent:
    """Guidelines as the page shows them."""
    if guidelines is None:
        return GuidelinesContent(None, "")
    return GuidelinesContent(guidelines.version, render_text(guidelines.text))


def _pair_content(queued: QueuedPair) -> PairContent:
    rendered = render_pair(queued.left, queued.right)
    return PairContent(
        left_id=queued.left_response_id,
        right_id=sum(queued.pair) - queued.left_response_id,
        shown_at=queued.shown_at,
        prompt=render_prompt(queued.prompt),
        left=render_thought(queued.left_thought) + rendered.left,
        right=render_thought(queued.right_thought) + rendered.right,
        has_marks=rendered.has_marks,
    )


def _vote_content(vote: EarlierVote, queued: QueuedPair) -> VoteContent:
    is_first_left = queued.left_response_id == queued.pair.first_response_id
    sides = {"first": "left", "second": "right"} if is_first_left else {"first": "right", "second": "left"}
    is_slight = vote.strength is not None and vote.strength < 1
    is_turned = vote.left_response_id != queued.left_response_id
    return VoteContent(sides.get(vote.verdict, vote.verdict), is_slight, is_turned, vote.comment, vote.machine)


def _progress_content(progress: QueueProgress, *, has_pair: bool) -> ProgressContent:
    pace_s = median(progress.recent_seconds) if progress.recent_seconds else None
    open_count = progress.pair_count - progress.done_count
    # Who is through is shown a full bar, whether or not they met as many pairs as they were likely to.
    wanted = progress.judged_count if open_count == 0 else progress.wanted_count
    left = min(wanted - progress.judged_count, progress.pair_count - progress.own_count - progress.own_skips)
    return ProgressContent(
        pair_count=progress.pair_count,
        wanted_count=wanted,
        done_count=progress.judged_count,
        own_count=progress.own_count,
        open_count=None if has_pair else open_count,
        pace_s=pace_s,
        left_s=None if pace_s is None else pace_s * max(left, 0),
    )
