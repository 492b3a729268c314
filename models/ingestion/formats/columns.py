"""The columns of a row: which of them were read, and which of the others hold what must not be lost in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeVar

from models.ingestion.fields import Row, is_missing

Kind = Literal["an answer", "a label", "a rating", "a system message", "a history", "a part of the prompt", "a thought"]
Default = TypeVar("Default")

_LONGEST_LABEL = 40  # characters

# Words of a column's name that say what it holds, in the order in which they are asked.
NAMES_OF_KINDS: dict[Kind, frozenset[str]] = {
    "a system message": frozenset(("system", "sysprompt")),
    "a history": frozenset(
        ("history", "context", "conversation", "conversations", "dialogue", "dialog", "messages", "input", "tools")
    ),
    "a part of the prompt": frozenset(("choices", "options", "passage", "document")),
    "a rating": frozenset(
        (
            "score", "scores", "rating", "ratings", "reward", "rewards", "rank", "ranks", "ranking", "rankings",
            "stars",
        )
    ),
    "a thought": frozenset(("thought", "thoughts", "thinking", "reasoning", "cot")),
    "a label": frozenset(
        (
            "label", "labels", "winner", "preference", "preferences", "preferred", "verdict", "vote", "votes", "thumbs",
            "feedback", "safe", "unsafe", "correct", "desirable", "accepted", "liked", "better", "best", "upvotes",
            "annotation", "annotations",
        )
    ),
    "an answer": frozenset(
        (
            "answer", "answers", "response", "responses", "reply", "replies", "completion", "completions", "output",
            "outputs", "chosen", "rejected", "generation", "generations", "assistant", "gold", "reference", "worse",
            "target", "targets", "solution", "better", "best", "preferred", "references", "ideal", "truth",
        )
    ),
}  # fmt: skip
_OTHER_PROMPTS = frozenset(("prompt", "instruction", "question", "query", "problem"))  # the whole name
_VERDICTS = frozenset(("winner", "verdict"))  # whatever else the name says: winner_model_a
# Words that make it something about the row or the text, whatever else the name says.
_ABOUT = frozenset(
    (
        "id", "ids", "uid", "uuid", "hash", "lang", "language", "category", "categories", "domain",
        "source", "sources", "sha", "md", "token", "tokens", "length", "len", "count", "num", "model", "models", "time",
        "date",
        "tstamp", "timestamp", "config", "configs", "url", "type", "version", "split", "index", "link", "license",
        "instruct", "prompt", "question",
    )
)  # fmt: skip


class ColumnsOfRow(dict[str, object]):
    """A row that remembers which of its columns were asked for and had a value, and what was noted in reading it."""

    def __init__(self, content: Mapping[str, object]) -> None:
        super().__init__(content)
        self.read: set[str] = set()
        self.notes: list[str] = []

    def __getitem__(self, column: str) -> object:
        """The column's value."""
        self.read.add(column)
        return dict.__getitem__(self, column)

    def get(self, column: str, default: Default | None = None) -> object | Default | None:
        """The column's value, or the default."""
        value = dict.get(self, column, default)
        if not is_missing(value):
            self.read.add(column)
        return value

    def pass_over(self, columns: Iterable[str]) -> None:
        """Take columns for read that a format knows and does without."""
        self.read.update(columns)

    @property
    def unread(self) -> list[str]:
        """The columns with a value that nobody asked for."""
        return [column for column, value in self.items() if column not in self.read and not is_missing(value)]


def peek(row: Row, column: str) -> object:
    """A column's value, without the column counting as read."""
    return dict.get(row, column) if isinstance(row, ColumnsOfRow) else row.get(column)


@dataclass(frozen=True, slots=True)
class Columns:
    """What the user says of a source's columns.

    Attributes:
        named: the name that a format knows → the column that is read in its place.
        ignored: columns that are taken for absent.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def of(self, content: Row) -> ColumnsOfRow:
        """The row as a format gets it.

        A column that another stands in for keeps its value under a name that no format knows, so that it counts as
        not read.
        """
        if not self.named and not self.ignored:
            return ColumnsOfRow(content)
        used = set(self.named.values())
        kept = {
            f"{name} (not read)" if name in self.named else name: value
            for name, value in content.items()
            if name not in self.ignored and name not in used
        }
        return ColumnsOfRow(kept | {name: content[column] for name, column in self.named.items() if column in content})

    def in_words(self, reason: str) -> str:
        """A reason that names columns as the source does."""
        for name, column in self.named.items():
            reason = reason.replace(f"column {name!r}", f"column {column!r}")
        return reason

    def source_name(self, column: str) -> str:
        """What the source calls a column of a row that `of` made."""
        return self.named.get(column, column).removesuffix(" (not read)")


def looks_like(column: str, value: object) -> Kind | None:
    """What an unread column seems to hold, by its name and its kind of content; None for what is only named."""
    words = _words(column)
    if column in _OTHER_PROMPTS:
        return "a part of the prompt" if isinstance(value, str) and value.strip() else None
    if words & _ABOUT and not words & _VERDICTS:
        return None
    found = next((kind for kind, names in NAMES_OF_KINDS.items() if words & names and _can_be(kind, value)), None)
    is_place = found is None and isinstance(value, int | float) and words <= NAMES_OF_KINDS["an answer"]
    return "an answer" if is_place else found  # the place of the chosen one among others


@lru_cache(maxsize=1024)
def _words(column: str) -> frozenset[str]:
    """The words of a name in any of the ways of writing several: `bestResponse2`, `best-response`, `best_response`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower()
    return frozenset(re.split(r"[^a-z0-9]+|(?<=[a-z])(?=\d)", parted))


def repeats(value: object, texts: set[str]) -> bool:
    """Whether all texts of a value are among those that were read: a column that says the same again."""
    found = [text.strip() for text in _texts(value)]
    return bool(found) and all(text in texts for text in found)


def dangers(row: ColumnsOfRow, texts: Iterable[str]) -> dict[str, Kind]:
    """The unread columns of a row that seem to hold what belongs to it, with what that is.

    Args:
        row: as a format has read it.
        texts: all messages and responses that came of it.
    """
    found = {column: kind for column in row.unread if (kind := looks_like(column, dict.get(row, column)))}
    if not found:
        return found
    known = {text.strip() for text in texts}
    return {
        column: kind
        for column, kind in found.items()
        if kind in ("a label", "a rating") or not _says_again(dict.get(row, column), kind, known)
    }


def _says_again(value: object, kind: Kind, texts: set[str]) -> bool:
    """Whether a column repeats what was read; a question may stand within a longer prompt."""
    if kind == "a part of the prompt" and isinstance(value, str):
        return any(value.strip() in text for text in texts)
    return repeats(value, texts)


def advice(found: Mapping[str, Kind]) -> str:
    """What is wrong with columns that are not read, and what to do."""
    listed = ", ".join(f"{column!r} (looks like {kind})" for column, kind in found.items())
    names, first = ",".join(found), next(iter(found))
    return f"not read: {listed}; go on without with --ignore_columns {names}, or say what one is: --map NAME={first}"


def _can_be(kind: Kind, value: object) -> bool:
    if kind == "a rating":
        return _is_number(value) or (isinstance(value, list | dict) and bool(value))
    if kind == "a label":  # what is longer explains one
        return value not in ("", [], {}) and not (isinstance(value, str) and len(value) > _LONGEST_LABEL)
    if kind == "a thought":  # a single word only says that there is one
        return any(len(text.split()) > 1 for text in _texts(value))
    return (isinstance(value, list | dict) and bool(value)) or (isinstance(value, str) and bool(value.strip()))


def _is_number(value: object) -> bool:
    if isinstance(value, int | float):
        return True
    return isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d+([.,]\d+)?\s*", value) is not None


def _texts(value: object) -> Iterator[str]:
    """The texts of a value: of messages their contents alone."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        keys = [key for key in ("content", "value") if key in value]
        for key in keys or value:
            yield from _texts(value[key])
