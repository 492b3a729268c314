"""Prompts: what the user asks, with everything that stands before it. Nothing of a dialogue is cut off."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.ingestion.dialogues import (
    MESSAGE_LIST_COLUMNS,
    as_json,
    is_hh_dialogue,
    messages_of,
    parse_hh_dialogue,
    prompt_from_messages,
)
from models.ingestion.fields import (
    Row,
    RowError,
    described,
    first_present,
    is_missing,
    items_of,
    optional_text,
    present_column,
    storable_text,
)
from models.ingestion.formats.columns import ColumnsOfRow, peek
from models.records import Message, Prompt

PROMPT_COLUMNS = ("prompt", "instruction", "question", "query", "text", "input")
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
PROMPT_ROLES = {
    "prompt": PROMPT_COLUMNS,
    "part of the prompt": ("input",),
    "system message": SYSTEM_COLUMNS,
    "context": ("history", "context"),
    "tools": ("tools",),
}
# How a dialogue begins that is one text: as chat templates mark turns, or with both sides named (Guanaco, Alpaca).
_TEMPLATE_MARK = re.compile(
    r"\s*(?:<\|im_start\|>|<\|begin_of_text\|>|<\|start_header_id\|>|<\|(?:user|system)\|>|<start_of_turn>|<bos>"
    r"|(?:<s>\s*)?\[INST\]|### ?(?:Human|User):(?=.*### ?Assistant:)|(?:Human|USER): (?=.*\sA(?:ssistant|SSISTANT):)"
    r"|Below is an instruction that (?=.*### Response:))",
    re.DOTALL,
)
_QUESTION_TEXT = "full_text"  # WebGPT's question is an object


def has_prompt(row: Row) -> bool:
    """Whether there is a column that a prompt is looked for in, or a dialogue that is one."""
    return first_present(row, PROMPT_COLUMNS) is not None or isinstance(peek(row, "context"), list)


def prompt_of(row: ColumnsOfRow, columns: tuple[str, ...] = PROMPT_COLUMNS) -> Prompt:
    """The prompt of a row: system message and tools, earlier turns, then what the user says.

    Raises:
        RowError: there is none, or a part of it is no text and no list of messages.
    """
    column = first_present(row, columns)
    if column is None:
        column = present_column(row, ("context",) if isinstance(peek(row, "context"), list) else columns)
    return with_context(row, _turns(row, column), f"column {column!r}", used=column)


def with_context(row: ColumnsOfRow, turns: Sequence[Message], where: str, *, used: str = "") -> Prompt:
    """A dialogue that ends with the user, behind the system message, the tools and the earlier turns of its row.

    Args:
        row: where they are looked for.
        turns: the dialogue.
        where: its column, for messages.
        used: a column that is no earlier turn, since the dialogue itself comes from it.

    Raises:
        RowError: the dialogue does not end with the user, or has another system message than the row.
    """
    own_system = turns[0].content if turns and turns[0].role == "system" else None
    system = _system_messages(row, own_system, where)
    before = _earlier_turns(row, used)
    return prompt_from_messages((*system, *before, *turns[own_system is not None :]), where)


def dialogue_column(row: Row) -> str | None:
    """The column that holds a list of messages, if there is one."""
    return next((column for column in MESSAGE_LIST_COLUMNS if isinstance(peek(row, column), list)), None)


def _turns(row: ColumnsOfRow, column: str) -> tuple[Message, ...]:
    value, where = row[column], f"column {column!r}"
    if isinstance(value, list):
        return messages_of(value, where)
    if isinstance(value, dict) and _QUESTION_TEXT in value:
        value = value[_QUESTION_TEXT]
    text = storable_text(value, where)
    if not text.strip():
        raise RowError(f"{where}: the prompt is empty")
    if is_hh_dialogue(text):
        return _hh_turns(text, where)
    mark = _TEMPLATE_MARK.match(text)
    if mark is not None:
        raise RowError(
            f"{where}: begins with {mark[0].strip()!r}, a whole dialogue in one text; give it as a list of messages"
        )
    extra = next((optional_text(row, name, f"column {name!r}") for name in _extras(row, column)), None)
    return (Message("user", text if extra is None else f"{text}\n\n{extra}"),)


def _hh_turns(text: str, where: str) -> tuple[Message, ...]:
    """The marked turns; a mark of the assistant's at the end only asks for the response."""
    turns = parse_hh_dialogue(text.rstrip(), where)
    is_asking = turns[-1].role == "assistant" and not turns[-1].content
    return turns[:-1] if is_asking else turns


def _extras(row: Row, column: str) -> list[str]:
    """The columns whose text belongs to an instruction: Alpaca's `input`, Dolly's `context`."""
    if column != "instruction":
        return []
    return [name for name in ("input", "context") if isinstance(peek(row, name), str | int | float)]


def _system_messages(row: ColumnsOfRow, own: str | None, where: str) -> list[Message]:
    """The one system message: the dialogue's own or that of a column, and behind it the tools it does not name yet."""
    column = next((name for name in SYSTEM_COLUMNS if not is_missing(row.get(name)) and row[name] != ""), None)
    system = optional_text(row, column, f"column {column!r}") if column else None
    tools = _tools(row)
    texts = [text for text in (system, tools) if text is not None and text.strip()]
    if own is None:
        return [Message("system", "\n\n".join(texts))] if texts else []
    if system is not None and system.strip() and own not in (system, "\n\n".join(texts)):
        raise RowError(f"{where} begins with another system message than the row's own columns have; keep one of them")
    if tools is None or _names_tools(own, tools):
        return [Message("system", own)]
    return [Message("system", f"{own}\n\n{tools}" if own.strip() else tools)]


def _names_tools(system: str, tools: str) -> bool:
    """Whether a system message has the definitions already, however they are set (Hermes: between `<tools>`)."""
    return "".join(tools.split()).strip("[]") in "".join(system.split())


def _tools(row: ColumnsOfRow) -> str | None:
    """The definitions of tools, as JSON."""
    value = row.get("tools")
    if is_missing(value) or value in ("", [], "[]"):
        return None
    return storable_text(value if isinstance(value, str) else as_json(value), "column 'tools'")


def _earlier_turns(row: ColumnsOfRow, used: str) -> tuple[Message, ...]:
    column = next((name for name in ("history", "context") if name != used and isinstance(peek(row, name), list)), None)
    if column is None:
        if used != "history" and not is_missing(row.get("history")) and row["history"] != "":
            raise RowError(f"column 'history': expected a list of turns, got {described(row['history'])}")
        return ()
    where = f"column {column!r}"
    items = items_of(row[column], where)
    if not any(isinstance(item, list | tuple) for item in items):
        return messages_of(items, where) if items else ()
    return tuple(message for position, item in enumerate(items) for message in _turn(item, f"{where}[{position}]"))


def _turn(item: object, where: str) -> tuple[Message, Message]:
    """LLaMA-Factory's history: what the user said, and what the assistant answered."""
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise RowError(f"{where}: expected what the user said and what was answered, got {described(item)}")
    return (
        Message("user", storable_text(item[0], f"{where}[0]")),
        Message("assistant", storable_text(item[1], f"{where}[1]")),
    )
