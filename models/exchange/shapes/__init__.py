"""What a trainer takes: the columns it reads, the record of a row, what it refuses, and how it is told of a file.

Each trainer has a module here, checked against its own release; `table` names them all. Knows no file format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from models.records import Message, Prompt

__all__ = ["Column", "Entry", "FileFormat", "Record", "Shape", "anything", "messages_of", "system_and_turns"]

FileFormat = Literal["jsonl", "parquet", "datasets"]
Column = Literal["text", "bool", "messages", "message", "turns", "turn", "exchanges"]
"""How a column is built: `messages` of role and content, `turns` of from and value, `exchanges` pairs of texts."""
Record = dict[str, object]

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Entry:
    """What names a file to a trainer, to be pasted: the text, and the ending of a file that holds it."""

    text: str
    ending: Literal["json", "yaml", "sh", "py"]


@dataclass(frozen=True, slots=True)
class Shape(Generic[Row]):
    """One form of a trainer's rows.

    Attributes:
        columns: The columns that the trainer reads; those of where a row comes from follow them.
        record: A row in these columns.
        misfit: Why the form cannot hold a prompt, or the trainer would pass it over; None if it takes it.
        entry: What names the file at a path, of a format, to the trainer.
        formats: The file formats that the trainer reads.
    """

    columns: Mapping[str, Column]
    record: Callable[[Row], Record]
    misfit: Callable[[Prompt], str | None]
    entry: Callable[[Path, FileFormat], Entry]
    formats: tuple[FileFormat, ...] = ("jsonl", "parquet", "datasets")


def anything(prompt: Prompt) -> str | None:
    """No prompt is refused."""
    return None


def messages_of(messages: Iterable[Message]) -> list[Record]:
    """Messages with `role` and `content`."""
    return [{"role": message.role, "content": message.content} for message in messages]


def system_and_turns(prompt: Prompt) -> tuple[str, Sequence[Message]]:
    """The leading system messages as one text, empty if there is none, and the messages behind them."""
    count = next((place for place, one in enumerate(prompt.messages) if one.role != "system"), len(prompt.messages))
    return "\n\n".join(message.content for message in prompt.messages[:count]), prompt.messages[count:]
