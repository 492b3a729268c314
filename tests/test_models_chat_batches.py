"""Batches at a real HTTP server: nothing is paid twice and nothing is lost, wherever the caller dies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from batch_server import BatchApi
from chat_server import completion, refusal, serving
from fuzzing import fuzz
from hypothesis import strategies as st

from models.chat.batch_records import Batch, BatchLine
from models.chat.batch_server import BatchLook, read_result
from models.chat.batches import Batching, ask_batches
from models.chat.budget import Budget
from models.chat.errors import ChatError
from models.chat.reader import ChatReply, read_answer
from models.chat.rounds import Stop
from models.chat.terms import ChatTerms
from models.records import Message

KEY = "sk-3f9c77aa21b0"
WORDS = ("rye", "oat", "wheat", "spelt")


class KilledError(BaseException):
    """The process ends here."""


class Ledger:
    """A ledger in memory that outlives the calls, and may kill the process before or after any of its steps."""

    def __init__(self) -> None:
        self.batches: dict[str, Batch] = {}
        self.requests, self.cost = 0, 0.0
        self.kill_at: int | None = None
        self.steps = 0

    def under_way(self) -> Sequence[Batch]:
        return [batch for batch in self.batches.values() if batch.state != "taken"]

    def plan(self, batch: Batch, requests: int, cost: float) -> None:
        self._keep(batch, requests, cost)

    def change(self, batch: Batch) -> None:
        self._keep(batch, 0, 0.0)

    def close(self, batch: Batch, requests: int, cost: float) -> None:
        self._keep(batch, requests, cost)

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            raise KilledError

    def _keep(self, batch: Batch, requests: int, cost: float) -> None:
        self.step()
        self.batches[batch.key] = batch
        self.requests += requests
        self.cost += cost
        self.step()


class Asking:
    """A caller, its ledger, and what came."""

    def __init__(self, url: str) -> None:
        self.url, self.key = url, KEY
        self.ledger = Ledger()
        self.texts: dict[str, str] = {}
        self.left_out: dict[str, str] = {}

    def ask(self, words: Sequence[str] = WORDS, limits: dict[str, Any] | None = None, **changes: Any) -> Stop | None:
        terms = ChatTerms(
            model="tiny", base_url=self.url, api_key=self.key, temperature=0.0, max_tokens=9, concurrency=1,
            requests_per_minute=None, timeout_s=9, max_retries=changes.pop("max_retries", 1), input_price=1000.0,
            output_price=1000.0,
        )  # fmt: skip
        open_lines = [self._line(terms, word) for word in words if word not in self.texts]
        budget = Budget(
            **({"max_requests": None, "max_cost": None} | (limits or {})),
            spent_requests=self.ledger.requests,
            spent_cost=self.ledger.cost,
        )
        batching = Batching(ledger=self.ledger, poll_s=0.01, **changes)
        return ask_batches(terms, budget, batching, open_lines, take=self._take, leave_out=self._leave_out)

    def _line(self, terms: ChatTerms, word: str) -> BatchLine:
        messages = (Message("user", word),)
        return BatchLine(word, terms.body(messages, 3, {}), terms.most_cost(messages))

    def _take(self, key: str, reply: ChatReply) -> None:
        self.ledger.step()
        self.texts[key] = reply.text

    def _leave_out(self, key: str, error: ChatError) -> None:
        self.left_out[key] = str(error)


@pytest.fixture
def server() -> Iterator[BatchApi]:
    with serving(BatchApi()) as own:
        own.reply = lambda body, _: completion(f"{body['messages'][-1]['content']} bread")
        yield own


ALL = {word: f"{word} bread" for word in WORDS}


def test_a_file_of_questions_is_answered_line_by_line(server: BatchApi) -> None:
    asking = Asking(server.url)
    assert asking.ask() is None
    assert asking.texts == ALL
    (content,) = server.uploads.values()
    first, *_ = [json.loads(line) for line in content.splitlines()]
    assert first == {
        "custom_id": "rye",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "tiny", "messages": [{"role": "user", "content": "rye"}], "temperature": 0.0,
                 "max_tokens": 9, "seed": 3},
    }  # fmt: skip
    (batch,) = server.batches.values()
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    assert server.keys == {f"Bearer {KEY}"}
    assert asking.ledger.requests == 4 and asking.ledger.cost == pytest.approx(4 * 4 * 1000 / 1e6)


@pytest.mark.parametrize("kill_at", range(1, 13))
def test_a_kill_at_any_step_pays_nothing_twice_and_loses_nothing(server: BatchApi, kill_at: int) -> None:
    asking = Asking(server.url)
    asking.ledger.kill_at = kill_at
    with pytest.raises(KilledError):
        asking.ask()
    assert asking.ask() is None
    assert asking.texts == ALL
    assert sorted(server.paid) == sorted(WORDS)
    assert asking.ledger.cost == pytest.approx(4 * 4 * 1000 / 1e6)


@pytest.mark.parametrize(
    "call", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/ID", "GET /v1/files/ID/content"]
)
@pytest.mark.parametrize("kind", ["faults", "refusals"])
def test_a_failure_that_passes_costs_nothing(server: BatchApi, call: str, kind: str) -> None:
    getattr(server, kind)[call] = [503]
    asking = Asking(server.url)
    assert asking.ask() is None
    assert asking.texts == ALL and sorted(server.paid) == sorted(WORDS)
    assert len(server.batches) == 1, "one that was made is found again"


def test_a_batch_whose_creation_was_never_answered_is_found_among_others(server: BatchApi) -> None:
    server.page = 2
    server.batches = {f"other{number}": {"id": f"other{number}", "metadata": None} for number in range(5)}
    server.faults["POST /v1/batches"] = [503]
    asking = Asking(server.url)
    stop = asking.ask(max_retries=0)
    assert stop is not None and stop.is_temporary and "HTTP 503: lost" in stop.reason
    server.batches |= {f"later{number}": {"id": f"later{number}", "metadata": {}} for number in range(5)}
    assert asking.ask() is None
    assert asking.texts == ALL and sorted(server.paid) == sorted(WORDS)


def test_order_doubled_lines_and_foreign_lines_change_nothing(server: BatchApi) -> None:
    foreign = json.dumps({"custom_id": "who", "response": {"status_code": 200, "body": {}}}).encode()
    server.alter = lambda lines: [*lines[::-1], foreign, b"", b'{"custom_id": 7}', b"[]", *lines]
    asking = Asking(server.url)
    assert asking.ask() is None
    assert asking.texts == ALL
    assert asking.ledger.cost == pytest.approx(4 * 4 * 1000 / 1e6)


@pytest.mark.parametrize("status", ["completed", "expired"])
def test_what_has_no_line_is_asked_again_and_nothing_else(server: BatchApi, status: str) -> None:
    server.status, server.answered = status, 3
    asking = Asking(server.url)
    assert asking.ask() is None
    assert asking.texts == ALL and sorted(server.paid) == sorted(WORDS)
    assert [len(content.splitlines()) for content in server.uploads.values()] == [4, 1]


def test_half_a_file_is_fetched_again_and_no_reason_to_pay_again(server: BatchApi) -> None:
    server.alter = lambda lines: [*lines[:-1], lines[-1][:20]]
    asking = Asking(server.url)
    stop = asking.ask()
    assert stop is not None and stop.is_temporary and "half a file" in stop.reason
    for name in list(server.files):
        if name not in server.uploads:
            del server.files[name]
    server.alter = lambda lines: lines
    (batch,) = server.batches.values()
    server.paid.clear()
    server.complete(batch)
    assert asking.ask() is None
    assert asking.texts == ALL and len(server.batches) == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
results = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": st.sampled_from(WORDS) | anything,
        "response": st.fixed_dictionaries({}, optional={"status_code": anything, "body": anything}) | anything,
        "error": anything,
    },
)


@fuzz(0.1, line=st.binary(max_size=30) | results.map(lambda one: json.dumps(one).encode()))
def test_any_line_is_a_result_that_can_be_read_or_none(line: bytes) -> None:
    result = read_result(line)
    if result is not None:
        with suppress(ChatError):
            read_answer(result.status, result.body, model="tiny", clean=str)


def test_a_batch_that_is_cancelled_keeps_its_results_and_says_so(server: BatchApi) -> None:
    server.status, server.answered = "cancelled", 2
    asking = Asking(server.url)
    stop = asking.ask()
    assert stop is not None and "has cancelled the batch" in stop.reason
    assert list(asking.texts) == ["rye", "oat"]


def test_a_batch_that_fails_says_why_without_the_key(server: BatchApi) -> None:
    server.failure = f"quota of {KEY} is used up"
    asking = Asking(server.url)
    stop = asking.ask()
    assert stop is not None and "refused the batch: quota of [key] is used up" in stop.reason
    assert (
        len(server.batches) == 1
        and asking.ledger.cost == asking.ledger.requests == 0
        and asking.ledger.under_way() == []
    )


def test_a_refused_line_is_left_out_while_others_are_answered(server: BatchApi) -> None:
    own = server.reply
    server.reply = lambda body, number: (
        refusal(400, f"policy, {KEY}") if "oat" in str(body["messages"]) else own(body, number)
    )
    asking = Asking(server.url)
    assert asking.ask() is None
    assert asking.left_out == {"oat": "refused the request (HTTP 400: policy, [key])"}
    assert set(asking.texts) == {"rye", "wheat", "spelt"}


@pytest.mark.parametrize(("is_harmless_answered", "left_out"), [(True, 4), (False, 0)])
def test_where_all_are_refused_something_harmless_says_whose_fault_it_is(
    server: BatchApi, is_harmless_answered: bool, left_out: int
) -> None:
    server.reply = lambda body, _: (
        completion("Hello!") if is_harmless_answered and "hello" in str(body["messages"]) else refusal(400, "no")
    )
    asking = Asking(server.url)
    stop = asking.ask()
    assert len(asking.left_out) == left_out
    assert (stop is None) == is_harmless_answered
    assert stop is None or "refuses whatever it is asked" in stop.reason


def test_lines_that_fail_for_a_while_are_asked_again_but_not_for_ever(server: BatchApi) -> None:
    own, failing = server.reply, [500, 429]
    server.reply = lambda body, number: refusal(failing.pop(), "busy") if failing else own(body, number)
    asking = Asking(server.url)
    assert asking.ask() is None and asking.texts == ALL and len(server.batches) == 2
    server.reply = lambda *_: refusal(500, "busy")
    stop = asking.ask(["barley"])
    assert stop is not None and stop.is_temporary and "1 questions without an answer in 2 batches" in stop.reason
    assert "of one of them it refused the request (HTTP 500: busy)" in stop.reason


def test_the_limits_of_a_file_are_kept(server: BatchApi) -> None:
    asking = Asking(server.url)
    assert asking.ask(most_lines=3) is None
    assert [len(content.splitlines()) for content in server.uploads.values()] == [3, 1]
    server.uploads.clear()
    asking = Asking(server.url)
    assert asking.ask(most_bytes=500) is None
    assert max(map(len, server.uploads.values())) <= 500 and len(server.uploads) == 2
    assert asking.texts == ALL


def test_no_batch_can_cost_more_than_the_budget(server: BatchApi) -> None:
    asking = Asking(server.url)
    assert asking.ask(limits={"max_cost": 0.8}) is None
    assert [len(content.splitlines()) for content in server.uploads.values()] == [2, 2], "a question may cost 0.3"
    for limits in ({"max_cost": 0.1}, {"max_requests": 3}):
        asking = Asking(server.url)
        stop = asking.ask(limits=limits)
        assert stop is not None and stop.is_out_of_budget
    assert asking.ledger.requests == 3 == len(asking.texts)


def test_a_server_without_batches_says_what_to_set(server: BatchApi) -> None:
    server.refusals["POST /v1/files"] = [404]
    stop = Asking(server.url).ask()
    assert stop is not None and "set mode to live" in stop.reason and not stop.is_temporary


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("POST /v1/batches", {"id": ["x"]}),
        ("GET /v1/batches/ID", {}),
        ("GET /v1/batches/ID", {"status": "completed"}),
        ("GET /v1/batches/ID", {"status": "completed", "output_file_id": "../chat/\x1b"}),
    ],
)
def test_an_answer_that_says_too_little_forgets_no_batch(server: BatchApi, call: str, answer: Any) -> None:
    server.answers[call] = answer
    asking = Asking(server.url)
    assert asking.ask() is not None
    assert asking.ledger.under_way() and asking.texts == {}
    server.answers.clear()
    assert asking.ask() is None
    assert asking.texts == ALL and len(server.batches) == 1


def test_a_status_of_another_word_is_no_end() -> None:
    assert not BatchLook("queued", (), "").is_over and BatchLook("expired", (), "").is_over


@pytest.mark.parametrize("listing", [{"data": 7}, {"data": None}, {}])
def test_a_batch_that_may_have_been_made_is_not_made_again(server: BatchApi, listing: Any) -> None:
    server.faults["POST /v1/batches"] = [503]
    server.refusals["GET /v1/batches"] = [403]
    asking = Asking(server.url)
    assert asking.ask() is not None
    server.answers["GET /v1/batches"] = listing
    stop = asking.ask()
    assert stop is not None and "does not list its batches" in stop.reason
    server.answers.clear()
    assert asking.ask() is None
    assert asking.texts == ALL and sorted(server.paid) == sorted(WORDS)


def test_what_was_never_asked_uses_up_no_budget(server: BatchApi) -> None:
    server.refusals = {"POST /v1/files": [400, 503, 503], "POST /v1/batches": [400]}
    asking = Asking(server.url)
    for _ in range(3):
        stop = asking.ask(limits={"max_requests": 4})
        assert stop is not None and not stop.is_out_of_budget
        assert asking.ledger.requests == asking.ledger.cost == 0
    assert asking.ask(limits={"max_requests": 4}) is None and asking.texts == ALL


def test_an_answer_that_cannot_be_read_costs_the_most_it_can(server: BatchApi) -> None:
    server.reply = lambda *_: (200, json.dumps({"choices": []}))
    asking = Asking(server.url)
    stop = asking.ask(["rye"], max_retries=0)
    assert stop is not None and "without a choice" in stop.reason
    assert asking.ledger.cost == pytest.approx((len('[{"role": "user", "content": "rye"}]') + 256 + 9) * 1000 / 1e6)


def test_refusals_count_for_nothing_where_the_budget_allows_no_harmless_question(server: BatchApi) -> None:
    server.reply = lambda *_: refusal(400, "no")
    asking = Asking(server.url)
    stop = asking.ask(limits={"max_requests": 4})
    assert stop is not None and stop.is_out_of_budget and asking.left_out == {}


@pytest.mark.parametrize(
    ("url", "key"), [("http://127.0.0.1:99999/v1", KEY), ("http://[::1/v1", KEY), (None, "sk-\u00fcmlaut")]
)
def test_an_address_or_a_key_that_cannot_be_used_is_told(server: BatchApi, url: str | None, key: str) -> None:
    asking = Asking(url or server.url)
    asking.key = key
    stop = asking.ask(max_retries=0)
    assert stop is not None and ("check the address" in stop.reason or "no key has" in stop.reason)
