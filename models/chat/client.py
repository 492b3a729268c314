"""Questions to an OpenAI-compatible chat server within limits of pace, patience, size and money. Knows no pairs.

A redirect is not followed: prompts and the key go where the user said.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

from models.chat.budget import Budget
from models.chat.errors import ChatError, OutOfBudgetError
from models.chat.pace import Pace
from models.chat.reader import ChatReply, read_answer
from models.chat.terms import ChatTerms
from models.records import Message, shortened

MOST_BYTES = 16 * 2**20  # of a reply; a million tokens are a quarter of it
_MOST_ERROR_BYTES = 64 * 2**10
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ChatClient:
    """Asks questions in one event loop; use as an async context manager.

    A budget whose ledger fails when a reply is settled does not cost the reply: the error is raised in place of the
    next request, and at the end.
    """

    def __init__(self, terms: ChatTerms, budget: Budget, pace: Pace) -> None:
        import httpx

        self._terms = terms
        self._budget = budget
        self._pace = pace
        self._under_way = 0
        self._reply_arrived = asyncio.Event()
        self._reserve_lock = asyncio.Lock()
        self._ledger_error: BaseException | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        # The library's limits of time start anew with every byte; `_attempt` has one for the whole.
        self._http = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_keepalive_connections=terms.concurrency))

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, error: object, *_: object) -> None:
        await self._http.aclose()
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

    async def ask(self, messages: Sequence[Message], seed: int, fields: Mapping[str, Any]) -> ChatReply:
        """The model's reply, after as many attempts as the terms allow.

        Args:
            messages: The dialogue so far.
            seed: Of the sampling.
            fields: Further fields of the request, by name.

        Raises:
            ChatError: There is none.
            OutOfBudgetError: The next request would exceed the budget, and none is under way that could free some of
                it.
        """
        wasted = 0.0
        for attempt in range(1, self._terms.max_retries + 2):
            try:
                reply = await self._attempt(messages, seed, fields)
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

    async def _attempt(self, messages: Sequence[Message], seed: int, fields: Mapping[str, Any]) -> ChatReply:
        most, cost = self._terms.most_cost(messages), 0.0
        await self._reserve(most)
        try:
            await self._pace.turn()  # last: while the ledger is told, a pause may begin
            cost = most  # if the reply is lost on its way the server may still charge it
            reply = await self._send(messages, seed, fields)
            # One without a credible number of tokens is charged the most it can have cost.
            if reply.input_tokens is not None and reply.output_tokens is not None:
                cost = self._terms.cost(reply.input_tokens, reply.output_tokens)
            if reply.refusal is not None:
                raise _costing(cost, ChatError(reply.refusal, is_temporary=False, is_refused=True))
            return replace(reply, cost=cost)
        except ChatError as error:
            cost = error.cost
            if error.is_temporary and (error.pause_s or 0) <= _LONGEST_PAUSE_S:
                self._pace.hold(error.pause_s or 0)
            raise
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

    async def _send(self, messages: Sequence[Message], seed: int, fields: Mapping[str, Any]) -> ChatReply:
        """One request and what it is answered; the error of one that may be charged costs the most it can."""
        import httpx

        most = self._terms.most_cost(messages)
        try:
            async with asyncio.timeout(self._terms.timeout_s):
                status, headers, body = await self._post(messages, seed, fields)
        except TimeoutError:
            words = f"gave no whole answer within {self._terms.timeout_s:g} s; raise the limit or lower the concurrency"
            raise _costing(most, ChatError(words, is_temporary=True)) from None
        except (httpx.LocalProtocolError, UnicodeEncodeError):
            words = "cannot be asked: ANTIPODE_OPENAI_API_KEY holds characters that no key has; set it anew"
            raise ChatError(words, is_temporary=False, is_hopeless=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ExceptionGroup) as error:
            # A group: what connecting to a port beyond 65535 raises.
            is_unsent = isinstance(error, httpx.ConnectError | httpx.InvalidURL | ValueError | ExceptionGroup)
            words = shortened(self._terms.clean(str(error)), 300).rstrip(".")
            words = f"{words}; check the address and that the server runs"
            failure = ChatError(f"cannot be reached or broke off: {words}", is_temporary=True)
            # Not as its cause: what a library says of a broken answer quotes it.
            raise _costing(0.0 if is_unsent else most, failure) from None
        try:
            if status < 300 and len(body) > MOST_BYTES:
                words = f"answered with more than {MOST_BYTES >> 20} MiB; check that it is a chat server"
                raise ChatError(words, is_temporary=False)
            return read_answer(status, body, model=self._terms.model, clean=self._terms.clean)
        except ChatError as error:
            error.pause_s = _requested_pause_s(headers)
            raise _costing(most if status < 300 else 0.0, error) from None

    async def _post(
        self, messages: Sequence[Message], seed: int, fields: Mapping[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        import httpx

        terms = self._terms
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **terms.headers}
        url = f"{terms.base_url.rstrip('/')}/chat/completions"
        content = json.dumps(terms.body(messages, seed, fields)).encode()
        async with self._http.stream("POST", url, content=content, headers=headers) as response:
            body = bytearray()
            try:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > (MOST_BYTES if response.is_success else _MOST_ERROR_BYTES):
                        break
            except httpx.HTTPError:
                if response.is_success:
                    raise
                # The status says enough of an error whose words break off.
            if response.has_redirect_location:
                body = bytearray(response.headers["location"], "utf-8", "replace")
            return response.status_code, response.headers, bytes(body)


def _costing(cost: float, error: ChatError) -> ChatError:
    error.cost = cost
    return error


def _requested_pause_s(headers: Mapping[str, str]) -> float | None:
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
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
