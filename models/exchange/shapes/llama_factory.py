"""LLaMA-Factory's rows: preferences as Alpaca and as ShareGPT, and unpaired ones (checked against its release 0.9.5).

Its converter passes over a dialogue whose turns do not alternate, with a warning in its log alone: here such a prompt
is a misfit. It reads single files, not the folders of `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from models.exchange import PreferenceRow, UnpairedRow
from models.exchange.shapes import Column, Entry, FileFormat, Record, Shape, system_and_turns
from models.files import file_name
from models.records import Message, Prompt

_FORMATS: tuple[FileFormat, ...] = ("jsonl", "parquet")
_FROM = {"user": "human", "assistant": "gpt", "tool": "observation"}
_RESPONSE = "gpt"


def _alpaca(row: PreferenceRow) -> Record:
    """The last question as `instruction`, earlier questions with their answers as `history`."""
    system, turns = system_and_turns(row.prompt)
    questions, answers = turns[:-1:2], turns[1::2]
    return {
        "instruction": turns[-1].content,
        "input": "",  # its converter joins it to the instruction; the prompt is whole already
        "system": system,
        "history": [[question.content, answer.content] for question, answer in zip(questions, answers, strict=True)],
        "chosen": row.chosen,
        "rejected": row.rejected,
    }


def _sharegpt(row: PreferenceRow) -> Record:
    system, turns = system_and_turns(row.prompt)
    return {
        "conversations": [_turn(_FROM[turn.role], turn.content) for turn in turns],
        "system": system,
        "chosen": _turn(_RESPONSE, row.chosen),
        "rejected": _turn(_RESPONSE, row.rejected),
    }


def _unpaired(row: UnpairedRow) -> Record:
    system, turns = system_and_turns(row.prompt)
    return {
        "conversations": [
            *(_turn(_FROM[turn.role], turn.content) for turn in turns),
            _turn(_RESPONSE, row.text),
        ],
        "system": system,
        "label": row.is_desirable,
    }


def _turn(speaker: str, value: str) -> Record:
    return {"from": speaker, "value": value}


def _not_alternating(prompt: Prompt) -> str | None:
    _, turns = system_and_turns(prompt)
    alternates = all(_is_answer(turn) == bool(place % 2) for place, turn in enumerate(turns))
    if alternates and len(turns) % 2 and all(turn.role in _FROM for turn in turns):
        return None
    return "LLaMA-Factory takes a prompt whose turns alternate, the user's first and last, behind its system message"


def _no_exchanges(prompt: Prompt) -> str | None:
    if any(message.role not in {"system", "user", "assistant"} for message in prompt.messages):
        return "LLaMA-Factory's Alpaca rows hold the user's and the assistant's turns alone, no tool's"
    return _not_alternating(prompt)


def _is_answer(turn: Message) -> bool:
    return turn.role == "assistant"


def _entry(path: Path, columns: Mapping[str, str], **form: object) -> Entry:
    entry = {file_name(path.stem): {"file_name": path.name, **form, "columns": dict(columns)}}
    return Entry(json.dumps(entry, ensure_ascii=False, indent=2), "json")


def _alpaca_entry(path: Path, format: FileFormat) -> Entry:
    columns = {"prompt": "instruction", "query": "input"} | _same("system", "history", "chosen", "rejected")
    return _entry(path, columns, ranking=True)


def _sharegpt_entry(path: Path, format: FileFormat) -> Entry:
    columns = {"messages": "conversations"} | _same("system", "chosen", "rejected")
    return _entry(path, columns, formatting="sharegpt", ranking=True)


def _unpaired_entry(path: Path, format: FileFormat) -> Entry:
    columns = {"messages": "conversations", "system": "system", "kto_tag": "label"}
    return _entry(path, columns, formatting="sharegpt")


def _same(*names: str) -> dict[str, str]:
    """Columns that bear the names they are known by; one that is not listed is not read."""
    return {name: name for name in names}


_ALPACA_COLUMNS: dict[str, Column] = {
    "instruction": "text",
    "input": "text",
    "system": "text",
    "history": "exchanges",
    "chosen": "text",
    "rejected": "text",
}
ALPACA = Shape(_ALPACA_COLUMNS, _alpaca, _no_exchanges, _alpaca_entry, _FORMATS)
SHAREGPT = Shape(
    {"conversations": "turns", "system": "text", "chosen": "turn", "rejected": "turn"},
    _sharegpt,
    _not_alternating,
    _sharegpt_entry,
    _FORMATS,
)
KTO = Shape(
    {"conversations": "turns", "system": "text", "label": "bool"},
    _unpaired,
    _not_alternating,
    _unpaired_entry,
    _FORMATS,
)
