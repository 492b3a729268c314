"""Questions in batches, within a day at half the price: the twin of `models.chat.rounds`.

A batch is remembered before the server hears of it, found again on the server by its key, and closed once its results
are stored: wherever the process is killed, nothing is paid twice and nothing that was paid is lost. Results are matched
by key, whatever their order and number; what has none is asked again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from models.chat.batch_records import Batch, BatchLedger, BatchLine
from models.chat.batch_server import BatchLook, BatchServer
from models.chat.budget import Budget
from models.chat.errors import ChatError, OutOfBudgetError
from models.chat.reader import ChatReply, read_answer
from models.chat.rounds import Stop
from models.chat.terms import ChatTerms
from models.records import Message

MOST_LINES, MOST_BYTES = 50_000, 200_000_000  # of a file, OpenAI's limits
_HARMLESS = "Say hello."


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """What questions in batches need.

    Attributes:
        ledger: Remembers them.
        poll_s: Seconds between two looks at a batch.
        tell: Shows a line to the user, before a batch is waited for.
        most_lines: Questions in a file at most.
        most_bytes: Of a file.
    """

    ledger: BatchLedger
    poll_s: float
    tell: Callable[[str], None] = field(default=lambda _: None)
    most_lines: int = MOST_LINES
    most_bytes: int = MOST_BYTES


def file_line(line: BatchLine) -> bytes:
    """A question as a line of OpenAI's batch files, which `vllm run-batch` reads too."""
    asked = {"custom_id": line.key, "method": "POST", "url": "/v1/chat/completions", "body": line.body}
    return json.dumps(asked).encode() + b"\n"


def ask_batches(
    terms: ChatTerms,
    budget: Budget,
    batching: Batching,
    lines: Sequence[BatchLine],
    *,
    take: Callable[[str, ChatReply], None],
    leave_out: Callable[[str, ChatError], None],
) -> Stop | None:
    """Ask the questions, and take in first what earlier batches of the same ledger bring; None if each has an outcome.

    Args:
        terms: The server; its prices are those of batches.
        budget: What may be spent; for a batch the most it can cost is set aside.
        batching: See above.
        lines: The questions. Those that an open batch holds are not asked again.
        take: Stores a reply, by its question's key; may be called twice with the same one after an interruption.
        leave_out: Takes in a question that the server refuses while it answers others.
    """
    with BatchServer(terms) as server:
        return _Call(terms, budget, batching, server, take, leave_out).run(lines)


class _Call:
    """What came of a call's questions so far."""

    def __init__(
        self,
        terms: ChatTerms,
        budget: Budget,
        batching: Batching,
        server: BatchServer,
        take: Callable[[str, ChatReply], None],
        leave_out: Callable[[str, ChatError], None],
    ) -> None:
        self._terms = terms
        self._budget = budget
        self._batching = batching
        self._server = server
        self._take = take
        self._leave_out = leave_out
        self._done: set[str] = set()
        self._has_answered = False
        self._failure: ChatError | None = None
        self._lines: dict[str, BatchLine] = {}

    def run(self, lines: Sequence[BatchLine]) -> Stop | None:
        self._lines = {line.key: line for line in lines}
        try:
            for batch in self._batching.ledger.under_way():
                self._budget.adopt(batch.most_cost)
                self._resume(batch)
            self._ask(lines)
        except OutOfBudgetError:
            reason = f"the budget is used up ({self._budget}); raise it and ask again"
            return Stop(reason, is_out_of_budget=True, is_temporary=False)
        except ChatError as error:
            reason = f"the server {self._terms.base_url} {error}"
            is_temporary = error.is_temporary and not error.is_hopeless
            return Stop(reason, is_out_of_budget=False, is_temporary=is_temporary)
        return None

    def _ask(self, lines: Sequence[BatchLine]) -> None:
        fruitless = 0
        while todo := [line for line in lines if line.key not in self._done]:
            if fruitless > self._terms.max_retries:
                words = f"left {len(todo)} questions without an answer in {fruitless} batches"
                words += f"; of one of them it {self._failure}" if self._failure else ""
                raise ChatError(words, is_temporary=True)
            if not (batches := self._submit(todo)):
                raise OutOfBudgetError
            before = len(self._done)
            for batch in batches:
                self._finish(batch)
            fruitless = fruitless + 1 if len(self._done) == before else 0

    def _submit(self, lines: Sequence[BatchLine]) -> list[Batch]:
        """Hand over as many as the budget allows, in files of the allowed size."""
        lines = lines[: self._budget.fitting(line.most_cost for line in lines)]
        batches: list[Batch] = []
        while lines:
            content, count = bytearray(), 0
            for line in lines[: self._batching.most_lines]:
                encoded = file_line(line)
                if count and len(content) + len(encoded) > self._batching.most_bytes:
                    break
                content += encoded
                count += 1
            batch = self._hand_over(lines[:count], bytes(content))
            if batch is None:
                break
            batches.append(batch)
            lines = lines[count:]
        return batches

    def _hand_over(self, lines: Sequence[BatchLine], content: bytes) -> Batch | None:
        ledger = self._batching.ledger
        most = sum(line.most_cost for line in lines)
        batch = Batch(uuid4().hex, tuple(line.key for line in lines), most, "planned")
        if not self._budget.reserve(
            most, requests=len(lines), ledger=lambda requests, cost: ledger.plan(batch, requests, cost)
        ):
            return None
        try:
            file_id = self._server.upload(f"antipode-{batch.key}.jsonl", content)
        except ChatError:
            self._forget(batch)  # a file alone costs nothing
            raise
        ledger.change(creating := replace(batch, state="creating"))
        try:
            server_id = self._server.create(file_id, batch.key)
        except ChatError as error:
            if not error.is_temporary and self._is_unknown(batch):  # it was refused
                self._forget(batch)
            raise
        ledger.change(created := replace(creating, state="created", server_id=server_id))
        return created

    def _resume(self, batch: Batch) -> None:
        """Take up a batch of an earlier call, or forget one that the server never got."""
        if batch.state == "creating":
            server_id = self._server.find(batch.key)
            if server_id is None:  # one that was made a moment ago may not be listed yet
                time.sleep(min(self._batching.poll_s, 10.0))
                server_id = self._server.find(batch.key)
            if server_id is not None:
                batch = replace(batch, state="created", server_id=server_id)
                self._batching.ledger.change(batch)
        if batch.state == "created":
            self._finish(batch)
        else:
            self._forget(batch)

    def _is_unknown(self, batch: Batch) -> bool:
        """Whether the server says that it has no such batch: it may have made one and given an unusable answer."""
        try:
            return self._server.find(batch.key) is None
        except ChatError:
            return False

    def _finish(self, batch: Batch) -> None:
        """Wait for a batch and take its results in."""
        assert batch.server_id is not None
        self._batching.tell(
            f"batch {batch.server_id}: {len(batch.questions):,} questions, which the server answers within a day; if "
            "this is stopped, the same command takes them up"
        )
        while not (look := self._server.look(batch.server_id)).is_over:
            time.sleep(self._batching.poll_s)
        cost, errors = self._take_results(batch, look)
        refused = {key: error for key, error in errors.items() if error.is_refused}
        hopeless: ChatError | OutOfBudgetError | None = next((one for one in errors.values() if one.is_hopeless), None)
        hopeless = hopeless or self._why_all_refused(refused)
        if hopeless is None:
            for key, error in refused.items():
                self._leave_out(key, error)
                self._done.add(key)
        if look.status == "failed" and not look.files:
            self._forget(batch)  # it failed before anything was asked
        else:
            self._close(batch, cost)
        if hopeless is not None:
            raise hopeless
        if look.status == "cancelled":
            raise ChatError("has cancelled the batch; the same command asks for the rest", is_temporary=False)
        if look.status == "failed" and not self._done.intersection(batch.questions):
            raise ChatError(f"refused the batch: {look.reason or 'it does not say why'}", is_temporary=False)

    def _take_results(self, batch: Batch, look: BatchLook) -> tuple[float, dict[str, ChatError]]:
        """Store the replies; what they cost, and what failed by its key. Of doubled lines the first reply counts."""
        wanted, cost = set(batch.questions), 0.0
        errors: dict[str, ChatError] = {}
        for file_id in look.files:
            for result in self._server.results(file_id):
                if result.key not in wanted:
                    continue
                try:
                    reply = self._read(result.status, result.body, self._most_of(result.key, batch))
                except ChatError as error:
                    if result.key not in errors:
                        errors[result.key] = self._failure = error
                        cost += error.cost
                    continue
                cost += reply.cost
                self._take(result.key, reply)
                wanted.discard(result.key)
                self._done.add(result.key)
                self._has_answered = True
        return cost, {key: error for key, error in errors.items() if key in wanted}

    def _read(self, status: int, body: bytes, most: float) -> ChatReply:
        try:
            reply = read_answer(status, body, model=self._terms.model, clean=self._terms.clean)
        except ChatError as unread:
            unread.cost = most if status < 300 else 0.0  # it may be charged all the same
            raise
        cost = most
        if reply.input_tokens is not None and reply.output_tokens is not None:
            cost = self._terms.cost(reply.input_tokens, reply.output_tokens)
        if reply.refusal is not None:
            error = ChatError(reply.refusal, is_temporary=False, is_refused=True)
            error.cost = cost
            raise error
        return replace(reply, cost=cost)

    def _most_of(self, key: str, batch: Batch) -> float:
        line = self._lines.get(key)
        return line.most_cost if line else batch.most_cost / len(batch.questions)

    def _why_all_refused(self, refused: dict[str, ChatError]) -> ChatError | OutOfBudgetError | None:
        """Why refusals are about the server's settings, or may be; None if it answers others, or something harmless."""
        about_form = {key: error for key, error in refused.items() if not error.is_too_long}
        if self._has_answered or not about_form:
            return None
        key, refusal = next(iter(about_form.items()))
        body, most = self._harmless(key), self._terms.most_cost((Message("user", _HARMLESS),) * 4)
        if not self._budget.reserve(most):
            return OutOfBudgetError()
        try:
            self._server.ask(body)
        except ChatError as error:
            if not error.is_refused:
                return error
            words = f"{refusal}; it refuses whatever it is asked, so check its log and the settings"
            return ChatError(words, is_temporary=False, is_hopeless=True)
        finally:
            self._budget.settle(most, most)
        return None

    def _harmless(self, key: str) -> dict[str, Any]:
        """Something harmless in the form of a question: of the same roles, with the same fields."""
        line = self._lines.get(key)
        if line is None:
            return self._terms.body((Message("user", _HARMLESS),), 0, {})
        turns = [{**message, "content": _HARMLESS} for message in line.body["messages"]]
        return {**line.body, "messages": turns}

    def _close(self, batch: Batch, cost: float, *, unsent: int = 0) -> None:
        ledger, taken = self._batching.ledger, replace(batch, state="taken")
        self._budget.settle(
            batch.most_cost, cost, unsent=unsent, ledger=lambda requests, more: ledger.close(taken, requests, more)
        )

    def _forget(self, batch: Batch) -> None:
        """Close a batch of which nothing was asked: it costs nothing and counts no request."""
        self._close(batch, 0.0, unsent=len(batch.questions))
