"""What a format is: its columns, the rows it fits, what it makes of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from models.ingestion.fields import Row
from models.ingestion.formats.columns import ColumnsOfRow
from models.records import ImportedPair, ImportedResponse, Prompt

SourceFormat = Literal[
    "prompts", "responses", "chat", "hh-rlhf", "preference", "shp-2", "ultrafeedback", "sft",
    "comparison", "unpaired", "rated", "tree",
]  # fmt: skip
SOURCE_FORMATS: tuple[SourceFormat, ...] = get_args(SourceFormat)

UNUSABLE_SCORE = "a score that is no number on its scale is left out"
PROMPT_CUT = "the prompt stood again at the start of both responses and is cut off there"


class Content(NamedTuple):
    """What a row holds."""

    prompt: Prompt
    responses: tuple[ImportedResponse, ...] = ()
    pairs: tuple[ImportedPair, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """One shape of rows.

    Attributes:
        name: as the user names it.
        known_from: data sets and tools that write it, for people.
        becomes: what a row becomes, for people.
        columns: what a column is for → the names it is looked for under, the first one with a value counts.
        fits: whether it is the format of rows with these columns; texts and lists may be emptied.
        parse: reads one row, raises RowError; None where rows are read with those around them.
        examples: rows as people have them.
        passed_over: columns that it knows and does without.
        doubt: why a row makes it doubtful that the rows around it mean what the format takes them for; None if not.
    """

    name: SourceFormat
    known_from: str
    becomes: str
    columns: Mapping[str, tuple[str, ...]]
    fits: Callable[[Row], bool]
    parse: Callable[[ColumnsOfRow], Content] | None
    examples: tuple[Mapping[str, object], ...]
    passed_over: tuple[str, ...] = ()
    doubt: Callable[[Row], str | None] = lambda _: None
