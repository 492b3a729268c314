"""The one reader of what a chat server answers, whatever it is: a reply, or why there is none. Sends nothing.

Every word of the server goes through `clean` before anybody sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.chat.errors import ChatError
from models.records import FinishReason, shortened
from models.thoughts import MARKS, Parted, parted

_TOO_LONG_MARKS = ("context length", "context_length", "context size")  # OpenAI and vLLM; OpenAI's code; llama.cpp
_UNPAID_MARKS = ("credit", "billing", "quota")
_REFUSES_ALL = {401, 403, 404}  # the key, or the model's name: no other question would fare better
_REFUSES_ONE = {400, 413, 422}  # what is in this question: its length, what a content policy forbids
_MOST_TOKENS = 10_000_000  # no model reads or writes so many; beyond 2**31 the databases' integers end
_SHOWN_WORDS = 300
# OpenAI's words, vLLM's and pydantic's for what a whole server cannot do; behind them the setting that helps.
_NOT_KNOWN = (
    r"(?:unsupported (?:parameter|value)|unknown (?:parameter|name|field)|unrecognized request argument|"
    r"extra_forbidden)"
)
_ADVICE = (
    (rf"{_NOT_KNOWN}.{{0,30}}\bmax_tokens\b", "set token_limit to max_completion_tokens"),
    (rf"{_NOT_KNOWN}.{{0,30}}\bmax_completion_tokens\b", "set token_limit to max_tokens"),
    (rf"{_NOT_KNOWN}.{{0,30}}\bseed\b", "set sends_seed to false"),
    (
        rf"{_NOT_KNOWN}.{{0,30}}\brole\b.{{0,40}}\b(?:system|developer)\b|system role (?:is )?not supported",
        "set system_role to developer or user",
    ),
    (rf"{_NOT_KNOWN}.{{0,30}}\btemperature\b", "set temperature to 1"),
)

Clean = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a model replied, and what it took.

    Attributes:
        text: The answer, without what databases refuse; empty where the reply ends within a thought.
        finish_reason: `length` where it was cut.
        input_tokens: None where the server gives no credible number.
        output_tokens: The same.
        refusal: Why there is no text: the model, or a filter, refused after it was asked.
        thought: What a reasoning model thought before; None if it shows none.
        requests: HTTP requests sent for it.
        cost: Money.
    """

    text: str
    finish_reason: FinishReason
    input_tokens: int | None
    output_tokens: int | None
    refusal: str | None = None
    thought: str | None = None
    requests: int = 1
    cost: float = 0.0


def read_answer(status: int, body: bytes, *, model: str, clean: Clean) -> ChatReply:
    """Read an answer.

    Args:
        status: The HTTP status.
        body: The body, perhaps the beginning of it.
        model: The name that was asked for.
        clean: What makes a server's words fit to be shown and stored.

    Raises:
        ChatError: It is no reply. No other exception, whatever the body is.
    """
    answer = _json(body)
    if not 200 <= status < 300:
        raise _refusal(status, _words(answer, body, clean), model)
    if answer is None and body.strip() != b"null":
        words = _words(answer, body, clean) or "nothing"
        raise ChatError(f"answered something that is no JSON: {words}", is_temporary=True)
    if isinstance(answer, dict) and answer.get("error") and not answer.get("choices"):
        raise _refusal(_status_within(answer["error"]), _words(answer, body, clean), model)
    reply = _reply(answer, clean)
    if reply is None:
        raise ChatError(
            f"answered without a choice: {_raw_words(body, clean)}; check that the address is that of an "
            "OpenAI-compatible API",
            is_temporary=False,
        )
    return reply


def read_object(status: int, body: bytes, *, model: str, clean: Clean) -> dict[str, Any]:
    """Read an answer that is about something else than a chat: a file, say.

    Raises:
        ChatError: It is none.
    """
    answer = _json(body)
    if not 200 <= status < 300:
        raise _refusal(status, _words(answer, body, clean), model)
    if not isinstance(answer, dict):
        words = _raw_words(body, clean) or "nothing"
        raise ChatError(f"answered something that is no JSON object: {words}", is_temporary=True)
    return answer


def _reply(answer: Any, clean: Clean) -> ChatReply | None:
    """The first choice, None if there is none."""
    choices = _of(answer, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message, reason = _of(choice, "message"), _of(choice, "finish_reason")
    content = _of(message, "content")
    text = _text(content)
    if not isinstance(message, dict) or (text is None and content is not None):
        return None
    refusal = None
    if reason == "content_filter":
        refusal = "cut the reply by its content filter"
    elif not text and isinstance(message.get("refusal"), str) and message["refusal"]:
        refusal = f"declined: {shortened(clean(message['refusal']), _SHOWN_WORDS)}"
    elif not text and (message.get("tool_calls") or message.get("function_call")):
        refusal = "replied with the call of a tool and no text"
    usage = _of(answer, "usage")
    parts = _parted(text or "")
    thoughts = [_text(message.get("reasoning_content") or message.get("reasoning")), parts.thought]
    thought = "\n\n".join(thought for thought in thoughts if thought)
    return ChatReply(
        clean(parts.answer),
        "length" if reason == "length" or not parts.is_finished else "stop",
        _token_count(_of(usage, "prompt_tokens")),
        _token_count(_of(usage, "completion_tokens")),
        refusal,
        clean(thought) if any(found is not None for found in thoughts) else None,
    )


def _parted(text: str) -> Parted:
    """The text's thought and answer; one that a template opened ends, as models write it, with a line of its own."""
    opening = next(
        (
            opening
            for opening, closing in MARKS
            if closing in text and opening not in text and re.search(rf"^{re.escape(closing)}", text, re.MULTILINE)
        ),
        None,
    )
    return parted(text, opened_by=opening)


def _text(content: Any) -> str | None:
    """The text of a content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part if isinstance(part, str) else _of(part, "text") for part in content]
    return "".join(part for part in parts if isinstance(part, str))


def _token_count(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and 0 <= value <= _MOST_TOKENS and value == int(value):
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _refusal(status: int, words: str, model: str) -> ChatError:
    # Some hosts report an unpaid account as a bad request; taken for a refusal, it would leave out every later pair.
    is_unpaid = status == 402 or (status == 400 and any(mark in words.lower() for mark in _UNPAID_MARKS))
    said = f" (HTTP {status}{': ' if words else ''}{words})"
    if is_unpaid:
        cause = f"wants its account filled{said}"
    elif status == 404:
        cause = f"has no model {model!r}, or is no OpenAI-compatible API{said}; check both names"
    elif status in _REFUSES_ALL:
        cause = "refuses the API key; set the right one in ANTIPODE_OPENAI_API_KEY"
    elif status < 400:
        cause = f"sends to another address{said}; give the one where its API is"
    else:
        advice = _advice(words) if status in _REFUSES_ONE else None
        cause = f"refused the request{said}{'; ' if advice else ''}{advice or ''}"
    return ChatError(
        cause,
        is_temporary=status in {408, 409, 429} or status >= 500,
        is_hopeless=is_unpaid or status in _REFUSES_ALL or status < 400,
        is_refused=not is_unpaid and status in _REFUSES_ONE,
        is_too_long=not is_unpaid and (status == 413 or (status in _REFUSES_ONE and _says_too_long(words))),
    )


def _advice(words: str) -> str | None:
    """Which setting asks in a form that the server takes; None if its words are about something else."""
    return next((advice for mark, advice in _ADVICE if re.search(mark, words, re.IGNORECASE)), None)


def _says_too_long(words: str) -> bool:
    return any(mark in words.lower() for mark in _TOO_LONG_MARKS)


def _status_within(error: Any) -> int:
    """The HTTP status that an error within a good answer stands for; without one it may pass."""
    status = _token_count(_of(error, "code"))
    return status if status is not None and 400 <= status < 600 else 500


def _words(answer: Any, body: bytes, clean: Clean) -> str:
    """What a server says of an error, with its code, on one line; the whole body if it has another form."""
    error = _of(answer, "error") or answer
    message = error if isinstance(error, str) else _of(error, "message") or _of(error, "detail")
    if not isinstance(message, str):
        return _raw_words(body, clean)
    code = _of(error, "code")
    return shortened(clean(f"{message} ({code})" if isinstance(code, str) and code else message), _SHOWN_WORDS)


def _raw_words(body: bytes, clean: Clean) -> str:
    return shortened(clean(body.decode("utf-8", "replace")), _SHOWN_WORDS)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
