"""Puts a call's questions to a judge's server, and keeps what it replies. Knows neither what is asked nor what is said.

What the model replies is kept at once in a reply store, so that a call that ends early (budget, server, a kill) can be
repeated and asks only what is missing. When a call gives up is said in `models.chat.rounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from models.chat.batch_records import BatchLine
from models.chat.batches import Batching, ask_batches
from models.chat.budget import Budget
from models.chat.client import ChatClient
from models.chat.errors import ChatError
from models.chat.pace import Pace
from models.chat.reader import ChatReply
from models.chat.rounds import Stop, ask_round
from models.judging.prompts import Messages
from models.judging.replies import ReplyStore, StoredReply
from models.judging.terms import JudgeTerms
from models.records import content_key


@dataclass(frozen=True, slots=True)
class Question:
    """One chat, and the key of each attempt to get a reply that can be read.

    `choices`: the only replies allowed, None for any.
    """

    messages: Messages
    choices: tuple[str, ...] | None
    keys: tuple[str, ...]

    @property
    def fields(self) -> dict[str, Any]:
        """The request's field that allows only the choices."""
        # vLLM's name for it since 0.12; servers that do not know it ignore or refuse it.
        return {} if self.choices is None else {"structured_outputs": {"choice": list(self.choices)}}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a question, and what it took.

    Attributes:
        text: The last reply, readable or not; empty if the server refuses the question.
        is_cut: Whether that reply was cut.
        refusal: Why it does.
        fresh: The replies that were not in the store.
    """

    text: str = ""
    is_cut: bool = False
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
        batching: What questions in batches need; None where they are asked one by one.
    """

    terms: JudgeTerms
    budget: Budget
    replies: ReplyStore
    batching: Batching | None = None
    _pace: Pace = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a budget that these terms cannot use up.

        Raises:
            ValueError: A limit of money without prices.
        """
        self.terms.check_budget(self.budget)
        object.__setattr__(self, "_pace", Pace(self.terms.requests_per_minute))

    def question(self, messages: Messages, choices: tuple[str, ...] | None = None) -> Question:
        """A question to this model."""
        terms = self.terms
        content = [[message.role, message.content] for message in messages]
        sampling: list[object] = [terms.temperature, terms.max_tokens, terms.seed, choices]
        if form := terms.form.identity:
            sampling.append(form)
        attempts = range(terms.parse_retries + 1)
        keys = (content_key(terms.base_url, terms.model, content, sampling, attempt) for attempt in attempts)
        return Question(messages, choices, tuple(keys))

    def ask(self, questions: Iterable[Question], is_readable: Callable[[StoredReply], bool]) -> Asked:
        """Ask each question once, and again with another seed while its reply cannot be read; equal ones once.

        Args:
            questions: What is asked.
            is_readable: Whether a reply says what was asked for.
        """
        distinct = {question.keys[0]: question for question in questions}.values()
        stored_replies = self.replies.get([key for question in distinct for key in question.keys])
        call = _Call(self, is_readable, stored_replies)
        missing = [question for question in distinct if not call.take(question)]
        if not missing:
            return Asked(call.outcomes, None)
        if self.batching is not None:
            return Asked(call.outcomes, call.ask_in_batches(missing, self.batching))
        stop = ask_round(self.terms, self.budget, self._pace, missing, ask=call.ask, leave_out=call.leave_out)
        return Asked(call.outcomes, stop)


class _Call:
    """What a call has so far."""

    def __init__(
        self, asker: Asker, is_readable: Callable[[StoredReply], bool], stored_replies: Mapping[str, StoredReply]
    ) -> None:
        self._asker = asker
        self._is_readable = is_readable
        self._stored_replies = stored_replies
        self._fresh: dict[str, list[StoredReply]] = {}
        self.outcomes: dict[str, Outcome] = {}

    def take(self, question: Question) -> bool:
        """Take in the replies to a question so far; False if it is to be asked (again)."""
        replies = self._replies(question)
        if not is_answered(question, replies, self._is_readable):
            return False
        fresh = tuple(self._fresh.get(question.keys[0], ()))
        self.outcomes[question.keys[0]] = Outcome(replies[-1].text, replies[-1].is_cut, fresh=fresh)
        return True

    async def ask(self, chat: ChatClient, question: Question) -> None:
        """Ask until a reply can be read or the attempts are used up."""
        fresh = self._fresh.setdefault(question.keys[0], [])
        while not self.take(question):
            attempt = len(self._replies(question))
            reply = await chat.ask(question.messages, self._asker.terms.seed + attempt, question.fields)
            stored = _stored(reply)
            await chat.aside(self._asker.replies.put, question.keys[attempt], stored)
            fresh.append(stored)

    def ask_in_batches(self, questions: Sequence[Question], batching: Batching) -> Stop | None:
        """Ask all, and those whose reply cannot be read again together, until the attempts are used up."""
        while questions:
            asked = {question.keys[len(self._replies(question))]: question for question in questions}

            def take(key: str, reply: ChatReply, asked: Mapping[str, Question] = asked) -> None:
                stored = _stored(reply)
                self._asker.replies.put(key, stored)
                if key in asked:  # an earlier call's batch may hold others
                    self._fresh.setdefault(asked[key].keys[0], []).append(stored)

            def leave_out(key: str, error: ChatError, asked: Mapping[str, Question] = asked) -> None:
                if key in asked:
                    self.leave_out(asked[key], error)

            lines = [self._line(key, question) for key, question in asked.items()]
            asker = self._asker
            stop = ask_batches(asker.terms, asker.budget, batching, lines, take=take, leave_out=leave_out)
            questions = [
                question for question in questions if question.keys[0] not in self.outcomes and not self.take(question)
            ]
            if stop is not None:
                return stop
        return None

    def _line(self, key: str, question: Question) -> BatchLine:
        terms = self._asker.terms
        body = terms.body(question.messages, terms.seed + question.keys.index(key), question.fields)
        return BatchLine(key, body, terms.most_cost(question.messages))

    def leave_out(self, question: Question, error: ChatError) -> None:
        """Take in that the server refuses a question."""
        fresh = tuple(self._fresh.get(question.keys[0], ()))
        self.outcomes[question.keys[0]] = Outcome(refusal=error, fresh=fresh)

    def _replies(self, question: Question) -> Sequence[StoredReply]:
        return [*stored_replies(question, self._stored_replies), *self._fresh.get(question.keys[0], ())]


def stored_replies(question: Question, replies: Mapping[str, StoredReply]) -> list[StoredReply]:
    """The replies to a question's attempts so far, among these."""
    return [replies[key] for key in takewhile(replies.__contains__, question.keys)]


def is_answered(question: Question, replies: Sequence[StoredReply], is_readable: Callable[[StoredReply], bool]) -> bool:
    """Whether the last of these can be read, or no further attempt is left."""
    return bool(replies) and (len(replies) >= len(question.keys) or is_readable(replies[-1]))


def _stored(reply: ChatReply) -> StoredReply:
    counts = reply.input_tokens, reply.output_tokens
    input_tokens, output_tokens = (0, 0) if None in counts else (counts[0] or 0, counts[1] or 0)
    is_cut = reply.finish_reason == "length"
    return StoredReply(reply.text, reply.requests, input_tokens, output_tokens, reply.cost, is_cut)
