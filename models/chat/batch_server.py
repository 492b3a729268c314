"""The batch API of an OpenAI-compatible server: files up, batches made, results down. Decides nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from models.chat.errors import ChatError
from models.chat.reader import ChatReply, read_answer, read_object
from models.chat.terms import ChatTerms
from models.records import shortened

_OVER = {"completed", "failed", "expired", "cancelled"}  # any other word: what is paid may still come
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_PAGE = 100
_METADATA = "antipode_batch"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class BatchLook:
    """How far a server is with a batch.

    Attributes:
        status: OpenAI's word for it.
        files: Its files of results and of errors, as far as there are any.
        reason: Why it failed; empty if the server does not say.
    """

    status: str
    files: tuple[str, ...]
    reason: str

    @property
    def is_over(self) -> bool:
        """Whether no further result will come."""
        return self.status in _OVER


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One line of results: whose it is, and the answer as it would have come alone."""

    key: str
    status: int
    body: bytes


class BatchServer:
    """One server; use as a context manager. What may pass is tried again as often as the terms allow."""

    def __init__(self, terms: ChatTerms) -> None:
        import httpx

        self._terms = terms
        self._http = httpx.Client(timeout=terms.timeout_s)

    def __enter__(self) -> BatchServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload(self, name: str, content: bytes) -> str:
        """Send a file of questions; its name on the server."""
        file = {"file": (name, content, "application/jsonl")}
        return self._named(self._again(lambda: self._call("POST", "/files", files=file, data={"purpose": "batch"})))

    def create(self, file_id: str, key: str) -> str:
        """Have the file worked on; the batch's name. Where the answer was lost, the batch is looked for first."""
        body = {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {_METADATA: key},
        }
        tries = 0

        def attempt() -> str:
            nonlocal tries
            tries += 1
            if tries > 1 and (found := self._find(key)):
                return found
            return self._named(self._call("POST", "/batches", json=body, headers={"Idempotency-Key": key}))

        return self._again(attempt)

    def find(self, key: str) -> str | None:
        """The name of the batch that was made under this key, None if there is none."""
        return self._again(lambda: self._find(key))

    def look(self, batch_id: str) -> BatchLook:
        """How far a batch is.

        Raises:
            ChatError: The server does not say.
        """
        return self._again(lambda: self._look(batch_id))

    def _look(self, batch_id: str) -> BatchLook:
        answer = self._call("GET", f"/batches/{batch_id}")
        status = answer.get("status")
        if not isinstance(status, str):
            raise ChatError(f"does not say how far the batch {batch_id} is", is_temporary=True)
        files = [answer.get(name) for name in ("output_file_id", "error_file_id")]
        errors = answer.get("errors")
        data = errors.get("data") if isinstance(errors, dict) else None
        reasons = [one.get("message") for one in data if isinstance(one, dict)] if isinstance(data, list) else []
        words = "; ".join(self._terms.clean(str(reason)) for reason in reasons if reason)
        names = tuple(file for file in files if _is_name(file))
        if status == "completed" and not names:  # every line has a result or an error
            raise ChatError(f"has no file of results of the batch {batch_id} yet", is_temporary=True)
        return BatchLook(status, names, shortened(words, 300))

    def results(self, file_id: str) -> list[BatchResult]:
        """The lines of a file of results.

        Raises:
            ChatError: It does not come whole, however often it is asked for.
        """
        return self._again(lambda: list(self._lines(file_id)))

    def ask(self, body: dict[str, Any]) -> ChatReply:
        """The reply to one question that is sent alone."""
        response = self._request("POST", "/chat/completions", json=body)
        terms = self._terms
        return read_answer(response.status_code, response.content, model=terms.model, clean=terms.clean)

    def _lines(self, file_id: str) -> Iterator[BatchResult]:
        response = self._request("GET", f"/files/{file_id}/content")
        if not response.is_success:
            self._read(response)
        for line in response.content.split(b"\n"):
            if not line.strip():
                continue
            if result := read_result(line):
                yield result
            elif not _is_json(line):
                raise ChatError(f"gave half a file of results ({file_id})", is_temporary=True)

    def _find(self, key: str) -> str | None:
        after: str | None = None
        while True:
            query = {"limit": str(_PAGE)} | ({"after": after} if after else {})
            page = self._call("GET", "/batches", params=query)
            data = page.get("data")
            if not isinstance(data, list):
                raise ChatError("does not list its batches", is_temporary=True)
            rows = [row for row in data if isinstance(row, dict)]
            for row in rows:
                metadata = row.get("metadata")
                if isinstance(metadata, dict) and metadata.get(_METADATA) == key:
                    return self._named(row)
            last = rows[-1].get("id") if rows else None
            if not page.get("has_more") or not isinstance(last, str) or last == after:
                return None
            after = last

    def _again(self, attempt: Callable[[], _Result]) -> _Result:
        for number in range(self._terms.max_retries + 1):
            try:
                return attempt()
            except ChatError as error:
                if not error.is_temporary or number == self._terms.max_retries:
                    raise
                time.sleep(min(_FIRST_PAUSE_S * 2**number, _LONGEST_PAUSE_S))
        raise AssertionError("the last attempt returns or raises")

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        return self._read(self._request(method, path, **content))

    def _request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any) -> Any:
        import httpx

        url = f"{self._terms.base_url.rstrip('/')}{path}"
        try:
            return self._http.request(method, url, headers={**self._terms.headers, **(headers or {})}, **content)
        except (httpx.LocalProtocolError, UnicodeEncodeError):
            words = "cannot be asked: ANTIPODE_OPENAI_API_KEY holds characters that no key has; set it anew"
            raise ChatError(words, is_temporary=False, is_hopeless=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, OverflowError) as error:
            # Overflow: what connecting to a port beyond 65535 raises.
            words = shortened(self._terms.clean(str(error)), 300).rstrip(".") or type(error).__name__
            words = f"could not be reached: {words}; check the address and that the server runs"
            raise ChatError(words, is_temporary=True) from None

    def _read(self, response: Any) -> dict[str, Any]:
        try:
            return read_object(response.status_code, response.content, model=self._terms.model, clean=self._terms.clean)
        except ChatError as error:
            if response.status_code not in {404, 405}:
                raise
            words = f"has no batches, or not this one (HTTP {response.status_code}); set mode to live, or check both"
            raise ChatError(words, is_temporary=False, is_hopeless=True) from error

    def _named(self, answer: dict[str, Any]) -> str:
        name = answer.get("id")
        if not _is_name(name):
            raise ChatError("answered without a usable id", is_temporary=False, is_hopeless=True)
        return name


def _is_name(value: Any) -> TypeGuard[str]:
    """Whether it may stand in an address and in a message."""
    return (
        isinstance(value, str)
        and re.fullmatch(r"[\w.:=-]{1,1000}", value, re.ASCII) is not None
        and value.strip(".") != ""
    )


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def read_result(line: bytes) -> BatchResult | None:
    """A line of a file of results; None if it is broken off, or no result."""
    try:
        result = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(result, dict) or not isinstance(result.get("custom_id"), str):
        return None
    answer = result.get("response")
    if not isinstance(answer, dict):  # it was never asked: the batch expired, say
        return BatchResult(result["custom_id"], 500, json.dumps({"error": result.get("error")}).encode())
    status = answer.get("status_code")
    if not isinstance(status, int) or not 100 <= status < 600:
        status = 200
    return BatchResult(result["custom_id"], status, json.dumps(answer.get("body")).encode())
