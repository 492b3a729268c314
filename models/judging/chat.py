"""Questions to an OpenAI-compatible chat server within limits of pace, patience and money. Knows nothing of pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from models.generation.openai_server import NO_KEY, TOO_LONG_MARKS, may_pass
from models.judging.budget import Budget
from models.judging.chat_terms import ChatTerms
from models.judging.errors import ChatError, OutOfBudgetError
from models.judging.pace import Pace
from models.judging.replies import StoredReply
from models.records import Message, shortened, storable

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_UNPAID_MARKS = ("credit", "billing", "quota")
_REFUSES_ALL = {401, 403, 404}  # the key, or the model's name: no other question would fare better
_REFUSES_ONE = {400, 413, 422}  # what is in this question: its length, what a content policy forbids
_MOST_TOKENS = 10_000_000  # no model reads or writes so many; beyond 2**31 the databases' integers end

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ChatClient:
    """Asks questions in one event loop; use as an async context manager.

    A budget whose ledger fails when a reply is settled does not cost the reply: the error is raised in place of the
    next request, and at the end.
    """

    def __init__(self, terms: ChatTerms, budget: Budget, pace: Pace) -> None:
        from openai import AsyncOpenAI

        self._terms = terms
        self._budget = budget
        self._pace = pace
        self._under_way = 0
        self._reply_arrived = asyncio.Event()
        self._reserve_lock = asyncio.Lock()
        self._ledger_error: BaseException | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        # The library's own retries would escape the budget.
        self._client: AsyncOpenAI = AsyncOpenAI(
            base_url=terms.base_url, api_key=terms.api_key or NO_KEY, max_retries=0, timeout=terms.timeout_s
        )

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, error: object, *_: object) -> None:
        await self._client.close()
        self._thread.shutdown()
        if self._ledger_error and error is None:
            raise self._ledger_error

    async def aside(
        self, work: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """Run blocking work in the one thread kept for it, so that no reply under way times out meanwhile.

        Work is done in the order of the calls, one at a time, and even if its caller is cancelled.
        """
        future = asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))
        return await asyncio.shield(future)

    async def ask(self, messages: Sequence[Message], seed: int, choices: Sequence[str] | None) -> StoredReply:
        """The model's reply, one of the choices if any are given, after as many attempts as the terms allow.

        Raises:
            ChatError: There is none.
            OutOfBudgetError: The next request would exceed the budget, and none is under way that could free some of
                it.
        """
        wasted = 0.0
        for attempt in range(1, self._terms.max_retries + 2):
            try:
                reply = await self._attempt(messages, seed, choices)
            except ChatError as error:
                wasted += error.cost
                error.requests, error.cost = attempt, wasted
                is_last = attempt > self._terms.max_retries or (error.pause_s or 0) > _LONGEST_PAUSE_S
                if is_last or not error.is_temporary:
                    raise
                if error.pause_s is None:
                    await asyncio.sleep(min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S))
            else:
                return replace(reply, requests=attempt, cost=reply.cost + wasted)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, messages: Sequence[Message], seed: int, choices: Sequence[str] | None) -> StoredReply:
        import openai

        most, cost = self._terms.most_cost(messages), 0.0
        await self._reserve(most)
        try:
            await self._pace.turn()  # last: while the ledger is told, a pause may begin
            cost = most  # if the reply is lost on its way the server may still charge it
            async with asyncio.timeout(self._terms.timeout_s):  # the library's limit starts anew with every byte
                completion = await self._send(messages, seed, choices)
            reply = self._stored_reply(completion, most)
            cost = reply.cost
            return reply
        except (openai.OpenAIError, TimeoutError, ValueError) as error:  # ValueError: the body is no JSON
            failure = self._failure(error)
            failure.cost = cost = 0.0 if _is_free(error) else most
            if failure.is_temporary and (failure.pause_s or 0) <= _LONGEST_PAUSE_S:
                self._pace.hold(failure.pause_s or 0)
            raise failure from error
        finally:
            await self._settle(most, cost)

    async def _reserve(self, most: float) -> None:
        async with self._reserve_lock:
            while True:
                if self._ledger_error:
                    raise self._ledger_error
                # Read before the budget is asked: a reply may come in meanwhile.
                under_way, reply_arrived = self._under_way, self._reply_arrived
                if await self.aside(self._budget.reserve, most):
                    break
                if not under_way:
                    raise OutOfBudgetError
                # A reply mostly costs far less than was set aside for it.
                await reply_arrived.wait()
            self._under_way += 1

    async def _settle(self, most: float, cost: float) -> None:
        # The ledger's error, raised here, would cost the reply.
        (error,) = await asyncio.gather(self.aside(self._budget.settle, most, cost), return_exceptions=True)
        self._ledger_error = self._ledger_error or error
        self._under_way -= 1
        self._reply_arrived.set()
        self._reply_arrived = asyncio.Event()

    async def _send(self, messages: Sequence[Message], seed: int, choices: Sequence[str] | None) -> Any:
        terms = self._terms
        # vLLM's name for it since 0.12; servers that do not know it ignore or refuse it.
        extra = None if choices is None else {"structured_outputs": {"choice": list(choices)}}
        return await self._client.chat.completions.create(
            model=terms.model,
            messages=[asdict(message) for message in messages],
            temperature=terms.temperature,
            max_tokens=terms.max_tokens,
            seed=seed,
            extra_body=extra,
        )

    def _stored_reply(self, completion: Any, most: float) -> StoredReply:
        """The reply. One without a credible number of tokens is charged the most it can have cost."""
        try:
            text = completion.choices[0].message.content or ""
            is_text = isinstance(text, str)
        except (AttributeError, IndexError, TypeError, KeyError):
            is_text = False
        if not is_text:
            error = ChatError(
                f"answered without a choice: {shortened(str(completion), 200)}; check that the address is that of an "
                "OpenAI-compatible API",
                is_temporary=False,
            )
            error.cost = most
            raise error
        usage = getattr(completion, "usage", None)
        counts: tuple[Any, Any] = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        if not all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in counts):
            return StoredReply(storable(text), 1, 0, 0, most)
        return StoredReply(storable(text), 1, *counts, self._terms.cost(*counts))

    def _failure(self, error: Exception) -> ChatError:
        import openai

        error_text = shortened(str(error), 300)
        if isinstance(error, openai.APIStatusError):
            return self._refusal(error, error_text)
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            limit = f"{self._terms.timeout_s:g} s"
            error_text = f"gave no answer within {limit}; raise the time limit or lower the concurrency"
        elif isinstance(error, openai.APIConnectionError):
            error_text = f"cannot be reached or broke off ({error_text}); check the address and that the server runs"
        else:
            error_text = f"answered something that is no JSON: {error_text}"
        return ChatError(error_text, is_temporary=True)

    def _refusal(self, error: APIStatusError, error_text: str) -> ChatError:
        status = error.status_code
        # Some hosts report an unpaid account as a bad request; taken for a refusal, it would skip every later pair.
        is_unpaid = status == 402 or (status == 400 and any(mark in error_text.lower() for mark in _UNPAID_MARKS))
        if is_unpaid:
            cause = f"wants its account filled: {error_text}"
        elif status == 404:
            cause = (
                f"has no model {self._terms.model!r}, or is no OpenAI-compatible API ({error_text}); check both names"
            )
        elif status in _REFUSES_ALL:
            cause = "refuses the API key; set the right one"
        else:
            cause = f"refused the request: {error_text}"
        return ChatError(
            cause,
            is_temporary=may_pass(status),
            is_hopeless=is_unpaid or status in _REFUSES_ALL,
            is_refused=not is_unpaid and status in _REFUSES_ONE,
            is_too_long=status == 413 or any(mark in error_text.lower() for mark in TOO_LONG_MARKS),
            pause_s=_requested_pause_s(error.response.headers),
        )


def _is_free(error: Exception) -> bool:
    """Whether the request cannot have been charged: it was refused, or no connection came about."""
    import openai

    # By name: which HTTP library lies below is the client library's affair.
    is_unsent = type(error.__cause__).__name__ in {"ConnectError", "ConnectTimeout"}
    return isinstance(error, openai.APIStatusError) or is_unsent


def _requested_pause_s(headers: Any) -> float | None:
    """The pause a server asks for, in seconds: milliseconds, seconds or a date; None if it asks for none."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            pause_s = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if pause_s >= 0:  # not NaN either
            return pause_s
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
