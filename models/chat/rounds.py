"""Puts questions to a server, several at a time, and gives up where the others would fare no better.

Knows neither what is asked nor what a reply says.

The one rule of giving up, for judges and generators: a round ends with the budget, with a failure that every other
question would meet too (the key, the model's name, an unpaid account), and after five questions in a row that failed
after their retries. A refusal is about the question only if the server still answers others: it counts once something
asked after it has a reply. After five refusals in a row, and after the last questions of a round, the server is asked
something harmless in the same form; if it refuses that too, the round ends, and the refusals count for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from models.chat.budget import Budget
from models.chat.client import ChatClient
from models.chat.errors import ChatError, OutOfBudgetError
from models.chat.pace import Pace
from models.chat.terms import ChatTerms
from models.records import Message

_IN_A_ROW = 5
_HARMLESS = "Say hello."

_Result = TypeVar("_Result")


class Asked(Protocol):
    """What is asked."""

    @property
    def messages(self) -> Sequence[Message]:
        """The dialogue so far."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Further fields of the request."""


_Question = TypeVar("_Question", bound=Asked)


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


def ask_round(
    terms: ChatTerms,
    budget: Budget,
    pace: Pace,
    questions: Iterable[_Question],
    *,
    ask: Callable[[ChatClient, _Question], Awaitable[None]],
    leave_out: Callable[[_Question, ChatError], None],
) -> Stop | None:
    """Ask the questions, whatever thread this is; None if each has an outcome.

    Args:
        terms: The server, and how many questions are under way at once.
        budget: What may be spent.
        pace: Between two requests.
        questions: Taken one by one, as there is room for them.
        ask: Asks one and keeps what comes of it. A ChatError or OutOfBudgetError that it raises is the round's.
        leave_out: Takes in a question that the server refuses while it answers others. Called by one thread at a time;
            it may block.
    """

    async def work() -> Stop | None:
        async with ChatClient(terms, budget, pace) as chat:
            round_ = _Round(chat, iter(questions), ask, leave_out)
            await round_.run(terms.concurrency)
            return round_.stop(terms.base_url, budget)

    return _run_blocking(work())


class _Round(Generic[_Question]):
    """One round: what failed, what was refused and why to stop."""

    def __init__(
        self,
        chat: ChatClient,
        questions: Iterable[_Question],
        ask: Callable[[ChatClient, _Question], Awaitable[None]],
        leave_out: Callable[[_Question, ChatError], None],
    ) -> None:
        self._chat = chat
        self._questions = questions
        self._ask = ask
        self._leave_out = leave_out
        self._refusals: list[tuple[_Question, ChatError]] = []  # nothing asked after them has a reply yet
        self._settled = 0  # refusals that count
        self._failures: list[ChatError] = []
        self._failures_in_a_row = 0
        self._is_out_of_budget = False
        self._is_over = False
        self._check = asyncio.Lock()

    async def run(self, worker_count: int) -> None:
        # A worker that fails (the store does, say) must not cost the replies under way.
        ends = await asyncio.gather(*(self._work() for _ in range(worker_count)), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        await self._check_server(after=1)

    def stop(self, base_url: str, budget: Budget) -> Stop | None:
        if self._is_out_of_budget:
            reason = f"the budget is used up ({budget}); raise it and ask again"
            return Stop(reason, is_out_of_budget=True, is_temporary=False)
        if not self._failures:
            return None
        error = next((error for error in self._failures if error.is_hopeless), self._failures[0])
        is_temporary = not error.is_hopeless and any(error.is_temporary for error in self._failures)
        return Stop(f"the server {base_url} {error}", is_out_of_budget=False, is_temporary=is_temporary)

    async def _work(self) -> None:
        """Ask until no question is left or the round is over; all workers draw from the same ones."""
        for question in self._questions:
            try:
                await self._put(question)
            except BaseException:
                self._is_over = True
                raise
            if self._is_over:
                return

    async def _put(self, question: _Question) -> None:
        """Ask a question and take in what comes of it."""
        refused_before = self._settled + len(self._refusals)
        try:
            await self._ask(self._chat, question)
        except ChatError as error:
            await self._take_error(question, error)
        except OutOfBudgetError:
            self._is_out_of_budget = self._is_over = True
        else:
            await self._take_reply(refused_before)

    async def _take_reply(self, refused_before: int) -> None:
        """The server answers, so what it had refused when this was asked was about those questions."""
        count = max(0, refused_before - self._settled)
        settled, self._refusals = self._refusals[:count], self._refusals[count:]
        self._settled += count
        self._failures_in_a_row = 0
        for question, error in settled:
            await self._chat.aside(self._leave_out, question, error)

    async def _take_error(self, question: _Question, error: ChatError) -> None:
        if not error.is_refused:
            self._failures.append(error)
            self._failures_in_a_row += 1
            self._is_over |= error.is_hopeless or self._failures_in_a_row >= _IN_A_ROW
        elif error.is_too_long:
            await self._chat.aside(self._leave_out, question, error)
        else:
            self._refusals.append((question, error))
            await self._check_server(after=_IN_A_ROW)

    async def _check_server(self, *, after: int) -> None:
        """After so many refusals in a row ask something harmless in the form of the last; stop if that is refused."""
        async with self._check:
            if self._is_over or len(self._refusals) < after:
                return
            question, refusal = self._refusals[-1]
            refused_before = self._settled + len(self._refusals)
            messages = [replace(message, content=_HARMLESS) for message in question.messages]
            try:
                await self._chat.ask(messages, 0, question.fields)
                await self._take_reply(refused_before)
            except OutOfBudgetError:
                self._is_out_of_budget = self._is_over = True
            except ChatError as error:
                if not self._refusals:  # a reply came in meanwhile
                    return
                self._is_over = True
                if error.is_refused:
                    words = f"{refusal}; it refuses whatever it is asked, so check its log and the settings"
                    error = ChatError(words, is_temporary=False, is_hopeless=True)
                self._failures.append(error)


def _run_blocking(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run to the end from synchronous code, also where the caller's thread already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
