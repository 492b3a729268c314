"""Dialogues as sources write them: lists of messages, and HH-RLHF's one text with marked turns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from models.ingestion.fields import RowError, described, is_missing, items_of, storable_text, text_of
from models.records import Message, Prompt, Role
from models.thoughts import MARKS, composed, parted

MESSAGE_LIST_COLUMNS = ("messages", "conversations", "conversation")

# As written, in any case: OpenAI, ShareGPT, Vicuna, Gemini, OpenAssistant, LLaMA-Factory.
_ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "chatgpt", "bot", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
}
_ANSWERED_ROLES = ("user", "tool")
_MESSAGE_KEYS = (("role", "content"), ("from", "value"))  # chat messages; ShareGPT
_THOUGHT_KEYS = ("reasoning_content", "thinking", "thought")  # beside the content: vLLM and DeepSeek, gpt-oss
_HH_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_HH_MARKER = re.compile(r"\n\n(Human|Assistant): ?")


def is_message_list(value: object) -> bool:
    """Whether the value is a list of objects that all look like messages. The empty list is none."""
    return isinstance(value, list) and bool(value) and all(_message_keys(item) is not None for item in value)


def messages_of(value: object, where: str) -> tuple[Message, ...]:
    """Read a list of `{role, content}` or ShareGPT's `{from, value}`, at least one.

    A thought beside the content of the last message, a response's, stands before its answer as models write it; those
    of earlier turns are left out, as chat templates do.

    Raises:
        RowError: it is no such list, a role is unknown or a content is no text.
    """
    items = items_of(value, where)
    if not items:
        raise RowError(f"{where} is an empty list; expected messages")
    *earlier, last = [_message(item, f"{where}[{position}]") for position, item in enumerate(items)]
    thought = _thought(items[-1])
    if thought and last.role == "assistant" and last.content.strip() and parted(last.content).thought is None:
        marks = next((marks for marks in MARKS if marks[1] not in thought), MARKS[0])
        thought = storable_text(thought, f"{where}[{len(earlier)}]")
        last = Message("assistant", composed(thought, last.content, marks=marks))
    return (*earlier, last)


def role_of(value: object, where: str) -> Role:
    """The role that a source's word means, in any case.

    Raises:
        RowError: the word is unknown.
    """
    name = text_of(value, where)
    role = _ROLES.get(name.strip().lower())
    if role is None:
        raise RowError(f"{where}: unknown role {described(name)}; expected one of {', '.join(_ROLES)}")
    return role


def is_hh_dialogue(value: object) -> bool:
    """Whether the value is a text that starts with a marked turn."""
    return isinstance(value, str) and _HH_MARKER.match(value) is not None


def parse_hh_dialogue(value: object, where: str) -> tuple[Message, ...]:
    r"""Read an HH-RLHF dialogue: turns marked `\n\nHuman: ` and `\n\nAssistant: `, the blank behind the mark dropped.

    Nothing else is trimmed: writing the turns with their marks gives the text again. Two turns of one side in a row
    (13 such dialogues in the 2,312 rows of harmless-base's test split) stay two turns.

    Raises:
        RowError: it is no text, or does not start with a turn.
    """
    text = storable_text(value, where)
    before, *parts = _HH_MARKER.split(text)
    if before or not parts:
        marks = " or ".join(repr(f"\n\n{side}: ") for side in _HH_ROLES)
        raise RowError(f"{where}: expected a dialogue that starts with {marks}, got {described(text)}")
    return tuple(Message(_HH_ROLES[mark], turn) for mark, turn in zip(parts[::2], parts[1::2], strict=True))


def prompt_from_messages(messages: Sequence[Message], where: str) -> Prompt:
    """Make a prompt of a dialogue that ends with what a response can answer: the user's turn, or a tool's.

    Raises:
        RowError: there is no turn, the last one is neither the user's nor a tool's, or the user's is blank.
    """
    if not messages:
        raise RowError(f"{where}: no turn stands before the response; expected the user's")
    if messages[-1].role not in _ANSWERED_ROLES:
        raise RowError(f"{where}: the prompt's dialogue ends with the {messages[-1].role}'s turn, not the user's")
    if all(message.role != "user" for message in messages):
        raise RowError(f"{where}: a tool's turn answers nobody, there is no turn of the user's")
    if messages[-1].role == "user" and not messages[-1].content.strip():
        raise RowError(f"{where}: the user's last turn is empty")
    return Prompt(tuple(messages))


def split_response(messages: Sequence[Message], where: str) -> tuple[Sequence[Message], str]:
    """Part a dialogue into the turns before its last one and the last one's text.

    Raises:
        RowError: the last turn is not the assistant's.
    """
    if messages[-1].role != "assistant":
        raise RowError(f"{where}: the dialogue ends with the {messages[-1].role}'s turn, not the assistant's")
    return messages[:-1], messages[-1].content


def shared_prompt(
    chosen: Sequence[Message], rejected: Sequence[Message], names: tuple[str, str] = ("chosen", "rejected")
) -> tuple[Prompt, str, str]:
    """The prompt two dialogues share, and the response each ends with.

    Args:
        chosen: the one dialogue.
        rejected: the other.
        names: their columns, for messages.

    Raises:
        RowError: they differ before their last turn, or a dialogue does not end with a response to the user.
    """
    chosen_prompt, chosen_text = split_response(chosen, f"column {names[0]!r}")
    rejected_prompt, rejected_text = split_response(rejected, f"column {names[1]!r}")
    if tuple(chosen_prompt) != tuple(rejected_prompt):
        turn = _first_difference(chosen_prompt, rejected_prompt)
        raise RowError(
            f"columns {names[0]!r} and {names[1]!r} do not share their prompt: turn {turn} differs "
            f"(they have {len(chosen)} and {len(rejected)} turns)"
        )
    return prompt_from_messages(chosen_prompt, f"column {names[0]!r}"), chosen_text, rejected_text


def _first_difference(chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    pairs = enumerate(zip(chosen, rejected, strict=False), start=1)
    return next(
        (turn for turn, (chosen_turn, rejected_turn) in pairs if chosen_turn != rejected_turn),
        min(len(chosen), len(rejected)) + 1,
    )


def _message_keys(item: object) -> tuple[str, str] | None:
    if not isinstance(item, Mapping):
        return None
    return next((keys for keys in _MESSAGE_KEYS if keys[0] in item and (keys[1] in item or _calls(item))), None)


def _message(item: object, where: str) -> Message:
    keys = _message_keys(item)
    if keys is None or not isinstance(item, Mapping):
        raise RowError(f"{where}: expected an object with role and content (or from and value), got {described(item)}")
    role = role_of(item[keys[0]], f"{where}.{keys[0]}")
    return Message(role, _content(item, keys[1], where))


def _content(item: Mapping[str, object], key: str, where: str) -> str:
    """A message's text: as it is, its parts one a line, and what it calls tools with as JSON behind it."""
    value, calls = item.get(key), _calls(item)
    where = f"{where}.{key}"
    if isinstance(value, list):
        text = "\n".join(
            _part(part, f"{where}[{position}]") for position, part in enumerate(value) if not _is_thought(part)
        )
    else:
        text = "" if calls and is_missing(value) else storable_text(value, where)
    return text if not calls else "\n\n".join(filter(None, (text, storable_text(calls, where))))


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return storable_text(part, where)
    if not isinstance(part, Mapping) or is_missing(part.get("text")):
        kind = part.get("type") if isinstance(part, Mapping) else None
        what = f"a part of the type {described(kind)}" if isinstance(kind, str) else described(part)
        raise RowError(f"{where}: only parts of text can be read, this is {what}; leave such rows out")
    return storable_text(part["text"], f"{where}.text")


def _thought(item: object) -> str | None:
    """A message's thought: in a key of its own, or parts of its content."""
    if not isinstance(item, Mapping):
        return None
    found = [item[key] for key in _THOUGHT_KEYS if isinstance(item.get(key), str)]
    for parts in (item.get("content"), item.get("value")):
        thoughts = filter(_is_thought, parts) if isinstance(parts, list) else ()
        found += [part.get(key) for part in thoughts for key in ("thinking", "text") if isinstance(part.get(key), str)]
    return "\n".join(text.strip() for text in found if text.strip()) or None


def _is_thought(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("thinking", "reasoning")


def _calls(item: Mapping[str, object]) -> str | None:
    calls = item.get("tool_calls") or item.get("function_call")
    return as_json(calls) if isinstance(calls, list | dict) else None


def as_json(value: object) -> str:
    """A value as JSON, with anything JSON lacks (a date, bytes) written as text."""
    return json.dumps(value, ensure_ascii=False, default=str)
