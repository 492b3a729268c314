"""Judge protocols of whole benchmarks: MT-Bench's grades, Arena-Hard's games against a baseline.

As with `JudgeLabeller`, what the model replies is kept at once in a reply store, so that a call that ends early can be
repeated and asks only what is missing. A policy's answers come from any generator; scores are made in
`protocol_scores`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Generic, NamedTuple, TypeVar

from models.generation.openai_server import run_blocking
from models.labelling.budget import Budget
from models.labelling.chat import ChatClient, ChatTerms, Pace
from models.labelling.judge_errors import ChatError, OutOfBudgetError
from models.labelling.judge_prompts import Messages
from models.labelling.protocol_prompts import (
    MIRRORED,
    ArenaVerdict,
    compare_messages,
    grade_messages,
    parse_grade,
    parse_verdict,
)
from models.labelling.question_files import Question
from models.labelling.replies import ReplyStore, StoredReply
from models.records import content_key

_FAILURES_IN_A_ROW = 5  # as in `judge_progress`: questions that fail before the others are not even tried

Answers = Sequence[tuple[str, ...]]
ArenaGames = tuple[ArenaVerdict | None, ArenaVerdict | None]
_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class ProtocolStoppedError(RuntimeError):
    """Some replies are missing: the budget allows no further request, or the server gave none, after the retries.

    Attributes:
        results: One a question, in the order given, as the call would return it; None where a reply is missing.
        is_out_of_budget: Whether a larger budget is what it takes.
        is_temporary: Whether asking again later may help.
    """

    def __init__(self, message: str, results: tuple[object, ...], is_out_of_budget: bool, is_temporary: bool) -> None:
        self.results = results
        self.is_out_of_budget = is_out_of_budget
        self.is_temporary = is_temporary
        super().__init__(message, results, is_out_of_budget, is_temporary)

    def __str__(self) -> str:
        return str(self.args[0])


class _Asked(NamedTuple):
    """One chat, and the key of each attempt to get a reply that can be read."""

    messages: Messages
    keys: tuple[str, ...]


@dataclass(slots=True)
class _Call(Generic[_Value]):
    """What a call has so far: values by the chat's first key (None: left out for good), and whether to ask on."""

    read: Callable[[str], _Value | None]
    parse_retries: int
    values: dict[str, _Value | None] = field(default_factory=dict)
    has_reply: bool = False
    refused: list[str] = field(default_factory=list)
    failures: list[ChatError] = field(default_factory=list)
    failures_in_a_row: int = 0
    is_out_of_budget: bool = False
    is_over: bool = False

    def take(self, asked: _Asked, texts: Sequence[str]) -> bool:
        """Take in the replies to a chat so far; False if it is to be asked (again)."""
        if not texts:
            return False
        self.has_reply = True
        value = self.read(texts[-1])
        if value is None and len(texts) <= self.parse_retries:
            return False
        self.values[asked.keys[0]] = value
        return True

    def fail(self, asked: _Asked, error: ChatError) -> None:
        """Leave out what the server refuses to read, unless it refuses whatever it is asked; stop where all fail."""
        if error.is_refused:
            self.values[asked.keys[0]] = None
            self.refused.append(asked.keys[0])
            if self.has_reply or len(self.refused) < _FAILURES_IN_A_ROW:
                return
            for key in self.refused:
                del self.values[key]
            self.refused.clear()
        self.failures.append(error)
        self.failures_in_a_row += 1
        self.is_over |= error.is_refused or error.is_hopeless or self.failures_in_a_row >= _FAILURES_IN_A_ROW


@dataclass(frozen=True, kw_only=True, eq=False)
class ProtocolJudge:
    """Asks a model for grades or verdicts on answers to a benchmark's questions.

    The attributes are those of `JudgeLabeller`. What the server refuses (length, content policy), and a reply that
    cannot be read after `parse_retries` further ones, is None in the results: left out, never guessed.
    """

    model: str
    base_url: str
    api_key: str | None = field(repr=False)
    temperature: float
    max_tokens: int
    seed: int
    concurrency: int
    requests_per_minute: float | None
    timeout_s: float
    max_retries: int
    parse_retries: int
    input_price: float
    output_price: float
    budget: Budget
    replies: ReplyStore
    _pace: Pace = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            ValueError: A limit of money without prices, nobody to ask.
        """
        if self.budget.max_cost is not None and self.input_price <= 0 and self.output_price <= 0:
            raise ValueError(
                f"max_cost {self.budget.max_cost:g} can never be reached at prices of 0; set the prices per million "
                "tokens, or limit max_requests"
            )
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        object.__setattr__(self, "_pace", Pace(self.requests_per_minute))

    def grade(self, questions: Sequence[Question], answers: Answers) -> list[tuple[float | None, ...]]:
        """Grade every answer by MT-Bench's single-answer protocol: one grade (1–10) a turn, one tuple a question.

        Raises:
            ValueError: Not one answer a turn.
            ProtocolStoppedError: Some grades are missing; replies under way have come in.
        """
        _check_answers(questions, answers, "the policy's")
        chats = [
            [grade_messages(question, turns[:number]) for number in range(1, len(turns) + 1)]
            for question, turns in zip(questions, answers, strict=True)
        ]
        grades: _Call[float] = _Call(parse_grade, self.parse_retries)
        return self._judge(chats, grades, tuple)

    def compare(self, questions: Sequence[Question], answers: Answers, baseline_answers: Answers) -> list[ArenaGames]:
        """Play Arena-Hard's two games a question: the policy as A, then as B. Verdicts are on the policy.

        Equal answers are two ties without a question.

        Raises:
            ValueError: Not one answer a turn.
            ProtocolStoppedError: Some verdicts are missing; replies under way have come in.
        """
        _check_answers(questions, answers, "the policy's")
        _check_answers(questions, baseline_answers, "the baseline's")
        games = list(zip(questions, answers, baseline_answers, strict=True))
        chats = [
            [] if own == other else [compare_messages(question, own, other), compare_messages(question, other, own)]
            for question, own, other in games
        ]
        verdicts: _Call[ArenaVerdict] = _Call(parse_verdict, self.parse_retries)
        return self._judge(chats, verdicts, _from_policys_side)

    def _judge(
        self,
        chats: Sequence[Sequence[Messages]],
        call: _Call[_Value],
        result: Callable[[list[_Value | None]], _Result],
    ) -> list[_Result]:
        rows = [[self._asked(messages) for messages in row] for row in chats]
        distinct = {asked.keys[0]: asked for row in rows for asked in row}.values()
        known = self.replies.get([key for asked in distinct for key in asked.keys])
        missing = [asked for asked in distinct if not call.take(asked, _texts(asked, known))]
        if missing:
            run_blocking(self._ask_all(missing, known, call))
        values = [[call.values[asked.keys[0]] for asked in row if asked.keys[0] in call.values] for row in rows]
        done = [result(got) if len(got) == len(row) else None for got, row in zip(values, rows, strict=True)]
        self._raise_for(call, done)
        return [row for row in done if row is not None]

    def _asked(self, messages: Messages) -> _Asked:
        # The same parts as `JudgeLabeller` keys its questions by; None: any reply is allowed.
        content = [[message.role, message.content] for message in messages]
        sampling = [self.temperature, self.max_tokens, self.seed, None]
        attempts = range(self.parse_retries + 1)
        keys = (content_key(self.base_url, self.model, content, sampling, attempt) for attempt in attempts)
        return _Asked(messages, tuple(keys))

    async def _ask_all(
        self, questions: Iterable[_Asked], known: Mapping[str, StoredReply], call: _Call[_Value]
    ) -> None:
        terms = ChatTerms(
            base_url=self.base_url,
            api_key=self.api_key,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            choices=None,
            timeout_s=self.timeout_s,
            max_retries=self.max_retries,
            input_price=self.input_price,
            output_price=self.output_price,
        )
        waiting = iter(questions)
        async with ChatClient(terms, self.budget, self._pace) as chat:
            workers = (self._work(chat, waiting, known, call) for _ in range(self.concurrency))
            # A worker that fails (the store does, say) must not cost the replies under way.
            ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _work(
        self, chat: ChatClient, waiting: Iterable[_Asked], known: Mapping[str, StoredReply], call: _Call[_Value]
    ) -> None:
        for asked in waiting:
            texts = _texts(asked, known)
            try:
                while not call.take(asked, texts):
                    reply = await chat.ask(asked.messages, self.seed + len(texts))
                    call.failures_in_a_row = 0
                    await chat.aside(self.replies.put, asked.keys[len(texts)], reply)
                    texts.append(reply.text)
            except ChatError as error:
                call.fail(asked, error)
            except OutOfBudgetError:
                call.is_out_of_budget = call.is_over = True
            except BaseException:
                call.is_over = True
                raise
            if call.is_over:
                return

    def _raise_for(self, call: _Call[_Value], done: Sequence[object]) -> None:
        if None not in done:
            return
        missing = f"{done.count(None)} of {len(done)} questions lack replies of {self.model}"
        if call.is_out_of_budget:
            raise ProtocolStoppedError(
                f"{missing}: the budget is used up ({self.budget}); raise it and ask again",
                tuple(done),
                is_out_of_budget=True,
                is_temporary=False,
            )
        error = next((error for error in call.failures if not error.is_temporary), call.failures[0])
        raise ProtocolStoppedError(
            f"{missing}: the server {self.base_url} {error}",
            tuple(done),
            is_out_of_budget=False,
            is_temporary=error.is_temporary,
        )


def _check_answers(questions: Sequence[Question], answers: Answers, whose: str) -> None:
    if len(questions) != len(answers):
        raise ValueError(f"expected {whose} answers to {len(questions)} questions, got {len(answers)}")
    for question, turns in zip(questions, answers, strict=True):
        if len(turns) != len(question.turns):
            raise ValueError(
                f"question {question.id} has {len(question.turns)} turns, got {len(turns)} of {whose} answers; "
                "give one a turn"
            )


def _texts(asked: _Asked, known: Mapping[str, StoredReply]) -> list[str]:
    return [known[key].text for key in takewhile(known.__contains__, asked.keys)]


def _from_policys_side(verdicts: Sequence[ArenaVerdict | None]) -> ArenaGames:
    if not verdicts:
        return "tie", "tie"
    as_first, as_second = verdicts
    return as_first, None if as_second is None else MIRRORED[as_second]
