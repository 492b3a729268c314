"""Puts a call's questions to a judge's server, several at a time, and gives up where the others would fare no better.

Knows neither what is asked nor what a reply says. What the model replies is kept at once in a reply store, so that a
call that ends early (budget, server, a kill) can be repeated and asks only what is missing.

The one rule of giving up, for every judge: a call ends with the budget, with a failure that every other question would
meet too (the key, the model's name, an unpaid account), after five questions in a row that failed after their retries,
and where the server refused whatever was asked first. A question that it refuses later is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from threading import Event

from models.generation.openai_server import run_blocking
from models.judging.budget import Budget
from models.judging.chat import ChatClient
from models.judging.chat_terms import ChatTerms
from models.judging.errors import ChatError, OutOfBudgetError
from models.judging.pace import Pace
from models.judging.prompts import Messages
from models.judging.replies import ReplyStore, StoredReply
from models.records import content_key

_FAILURES_IN_A_ROW = 5  # questions without a reply, each after its retries, before the others are not even tried


@dataclass(frozen=True, slots=True)
class Question:
    """One chat, what it is about, and the key of each attempt to get a reply that can be read.

    `choices`: the only replies allowed, None for any.
    """

    subject: Hashable
    messages: Messages
    choices: tuple[str, ...] | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a question, and what it took.

    Attributes:
        text: The last reply, readable or not; empty if the server refuses the question.
        refusal: Why it does.
        fresh: The replies that were not in the store.
    """

    text: str = ""
    refusal: ChatError | None = None
    fresh: tuple[StoredReply, ...] = ()

    @property
    def requests(self) -> int:
        """Requests sent now."""
        return sum(reply.requests for reply in self.fresh) + (self.refusal.requests if self.refusal else 0)

    @property
    def cost(self) -> float:
        """What they cost."""
        return sum(reply.cost for reply in self.fresh) + (self.refusal.cost if self.refusal else 0.0)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why some questions have no outcome: the budget, or the server.

    Attributes:
        reason: Shown to the user after the number of missing replies.
        is_out_of_budget: Whether a larger budget is what it takes.
        is_temporary: Whether asking again later may help.
    """

    reason: str
    is_out_of_budget: bool
    is_temporary: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """Outcomes by the question's first key, and why there is none for some; `stop` is None where nothing is missing."""

    outcomes: Mapping[str, Outcome]
    stop: Stop | None


@dataclass(frozen=True, eq=False)
class Asker:
    """Asks one model on one server, within a budget that others may share.

    Attributes:
        terms: The model, the sampling, the limits.
        budget: What may be spent; every request counts, whatever becomes of it.
        replies: Where replies are kept and found; one found costs nothing.
    """

    terms: ChatTerms
    budget: Budget
    replies: ReplyStore
    _pace: Pace = field(init=False, repr=False)
    _has_answered: Event = field(init=False, repr=False, default_factory=Event)

    def __post_init__(self) -> None:
        """Refuse a budget that these terms cannot use up.

        Raises:
            ValueError: A limit of money without prices.
        """
        if self.budget.max_cost is not None and self.terms.input_price <= 0 and self.terms.output_price <= 0:
            raise ValueError(
                f"max_cost {self.budget.max_cost:g} can never be reached at prices of 0; set the prices per million "
                "tokens, or limit max_requests"
            )
        object.__setattr__(self, "_pace", Pace(self.terms.requests_per_minute))

    def question(self, subject: Hashable, messages: Messages, choices: tuple[str, ...] | None = None) -> Question:
        """A question to this model; refusals of one subject say nothing of the others."""
        terms = self.terms
        content = [[message.role, message.content] for message in messages]
        sampling = [terms.temperature, terms.max_tokens, terms.seed, choices]
        attempts = range(terms.parse_retries + 1)
        keys = (content_key(terms.base_url, terms.model, content, sampling, attempt) for attempt in attempts)
        return Question(subject, messages, choices, tuple(keys))

    def ask(self, questions: Iterable[Question], is_readable: Callable[[str], bool], *, is_stored_proof: bool) -> Asked:
        """Ask each question once, and again with another seed while its reply cannot be read.

        Args:
            questions: Equal ones are asked once.
            is_readable: Whether a reply says what was asked for.
            is_stored_proof: Whether a stored reply, like a new one, proves that the server answers such questions, so
                that a refusal is about the question refused. For a caller that stores no refusals and asks them anew.
        """
        distinct = {question.keys[0]: question for question in questions}.values()
        stored_replies = self.replies.get([key for question in distinct for key in question.keys])
        if stored_replies and is_stored_proof:
            self._has_answered.set()
        progress = _Progress(is_readable, self._has_answered)
        missing = [question for question in distinct if not progress.take(question, _texts(question, stored_replies))]
        if missing:
            progress.subject_count = len({question.subject for question in missing})
            run_blocking(self._ask_all(missing, stored_replies, progress))
            if progress.is_all_refused:
                progress.take_back_refusals()
        is_whole = len(progress.outcomes) == len(distinct)
        return Asked(progress.outcomes, None if is_whole else self._stop(progress))

    async def _ask_all(
        self, questions: Iterable[Question], stored_replies: Mapping[str, StoredReply], progress: _Progress
    ) -> None:
        waiting = iter(questions)
        async with ChatClient(self.terms, self.budget, self._pace) as chat:
            workers = (self._work(chat, waiting, stored_replies, progress) for _ in range(self.terms.concurrency))
            # A worker that fails (the store does, say) must not cost the replies under way.
            ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _work(
        self,
        chat: ChatClient,
        waiting: Iterable[Question],
        stored_replies: Mapping[str, StoredReply],
        progress: _Progress,
    ) -> None:
        """Ask questions until none waits or the call is over; all workers draw from the same ones."""
        for question in waiting:
            try:
                await self._ask_one(chat, question, _texts(question, stored_replies), progress)
            except ChatError as error:
                progress.fail(error)
            except OutOfBudgetError:
                progress.is_out_of_budget = progress.is_over = True
            except BaseException:
                progress.is_over = True
                raise
            if progress.is_over or progress.is_all_refused:
                return

    async def _ask_one(self, chat: ChatClient, question: Question, texts: list[str], progress: _Progress) -> None:
        """Ask until a reply can be read or the attempts are used up; `texts`: the replies to its attempts so far."""
        fresh: list[StoredReply] = []
        while not progress.take(question, texts, fresh):
            try:
                reply = await chat.ask(question.messages, self.terms.seed + len(texts), question.choices)
            except ChatError as error:
                if not error.is_refused:
                    raise
                progress.refuse(question, error, fresh)
                return
            self._has_answered.set()
            await chat.aside(self.replies.put, question.keys[len(texts)], reply)
            fresh.append(reply)
            texts.append(reply.text)

    def _stop(self, progress: _Progress) -> Stop:
        if progress.is_out_of_budget:
            reason = f"the budget is used up ({self.budget}); raise it and ask again"
            return Stop(reason, is_out_of_budget=True, is_temporary=False)
        failures = progress.failures
        error = next((error for error in failures if error.is_hopeless), failures[0])
        is_temporary = not error.is_hopeless and any(error.is_temporary for error in failures)
        return Stop(f"the server {self.terms.base_url} {error}", is_out_of_budget=False, is_temporary=is_temporary)


@dataclass(slots=True)
class _Progress:
    """What a call has so far, and whether to ask on.

    `has_answered`: whether the server ever replied. `refusals`: questions that it refused for another reason than
    their length. `subject_count`: subjects among the questions asked.
    """

    is_readable: Callable[[str], bool]
    has_answered: Event
    subject_count: int = 0
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    refusals: dict[Question, ChatError] = field(default_factory=dict)
    failures: list[ChatError] = field(default_factory=list)
    failures_in_a_row: int = 0
    is_out_of_budget: bool = False
    is_over: bool = False

    def take(self, question: Question, texts: Sequence[str], fresh: Sequence[StoredReply] = ()) -> bool:
        """Take in the replies to a question so far; False if it is to be asked (again)."""
        if not texts:
            return False
        if len(texts) < len(question.keys) and not self.is_readable(texts[-1]):
            return False
        self.outcomes[question.keys[0]] = Outcome(texts[-1], fresh=tuple(fresh))
        self.failures_in_a_row = 0
        return True

    def refuse(self, question: Question, error: ChatError, fresh: Sequence[StoredReply]) -> None:
        """Leave out a question that the server refuses; it neither failed nor was it answered."""
        self.outcomes[question.keys[0]] = Outcome(refusal=error, fresh=tuple(fresh))
        if not error.is_too_long:
            self.refusals[question] = error

    def fail(self, error: ChatError) -> None:
        """Take in that a question got no reply, and end the call where the others would get none either."""
        self.failures.append(error)
        self.failures_in_a_row += 1
        self.is_over |= error.is_hopeless or self.failures_in_a_row >= _FAILURES_IN_A_ROW

    @property
    def is_all_refused(self) -> bool:
        """Whether the server has refused all so far: at least five questions, of five subjects or of all if fewer.

        One prompt that breaks a content policy may itself have five questions.
        """
        if self.has_answered.is_set() or len(self.refusals) < _FAILURES_IN_A_ROW:
            return False
        subjects = {question.subject for question in self.refusals}
        return len(subjects) >= min(_FAILURES_IN_A_ROW, self.subject_count)

    def take_back_refusals(self) -> None:
        """Turn the refusals into one failure: they are about the server, not the questions."""
        for question in self.refusals:
            del self.outcomes[question.keys[0]]
        words = f"{next(iter(self.refusals.values()))}; it refused whatever was asked first, so check the settings"
        self.failures.append(ChatError(words, is_temporary=False, is_hopeless=True))
        self.is_out_of_budget = False


def _texts(question: Question, stored_replies: Mapping[str, StoredReply]) -> list[str]:
    return [stored_replies[key].text for key in takewhile(stored_replies.__contains__, question.keys)]
