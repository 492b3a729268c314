"""A `.json` file that holds an object in place of a list: how its rows lie in it, and the rows.

One object a line; a list under one of the object's keys; the layouts of pandas (`columns`, `index`, `split`); one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from models.ingestion.dialogues import MESSAGE_LIST_COLUMNS, is_message_list
from models.ingestion.json_list import BrokenValueError, JsonText, broken_item
from models.ingestion.limits import LARGEST_ROW
from models.ingestion.rows import SourceError, SourceRecord, SourceRow, encodable, rejected
from models.records import RejectedRow, shortened

Open = Callable[[], AbstractContextManager[TextIO]]

_AS_RECORDS = "write one object a row (pandas: to_json(orient='records', lines=True)) to a .jsonl file"
_MOST_COLUMNS = 10_000
_MOST_KEYS = 2**20
_SPLIT_KEYS = {"columns", "index", "data"}
_ROW_COLUMNS = {
    *MESSAGE_LIST_COLUMNS,
    *("prompt", "instruction", "question", "text", "history", "chosen", "rejected", "responses", "completions"),
    *("response", "answers", "verdict", "pair_id", "query", "input", "output", "outputs", "system", "turns", "dialog"),
    *(
        "dialogue",
        "conversation",
        "candidates",
        "generations",
        "choices",
        "replies",
        "comments",
        "annotations",
        "fields",
    ),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a .json file lie in it. `key`: of the list that holds them; `columns`: the names, for `split`."""

    kind: Literal["list", "lines", "under_key", "columns", "index", "split", "row"]
    key: str = ""
    columns: tuple[str, ...] = ()


@dataclass(slots=True)
class _List:
    count: int = 0
    holds_objects: bool = True
    begins_with_list: bool = True
    is_dialogue: bool = True
    texts: list[str] | None = field(default_factory=list)  # None: not all are, or they are many

    def add(self, item: object) -> None:
        self.count += 1
        self.holds_objects &= isinstance(item, Mapping)
        self.begins_with_list &= self.count > 1 or isinstance(item, list)
        self.is_dialogue = self.is_dialogue and is_message_list([item])
        if self.texts is not None and isinstance(item, str) and self.count <= _MOST_COLUMNS:
            self.texts.append(item)
        else:
            self.texts = None


@dataclass(slots=True)
class _Object:
    """What was seen of the object on the way through it; its values are not held."""

    keys: dict[str, None] = field(default_factory=dict)
    lists: dict[str, _List] = field(default_factory=dict)
    inner_keys: tuple[str, ...] | None = None  # of every value, where all are objects of the same keys

    def add(self, value: object) -> None:
        keys = tuple(value) if isinstance(value, Mapping) else None
        self.inner_keys = keys if len(self.keys) == 1 or keys == self.inner_keys else None


def layout_of(stream: TextIO, path: Path) -> Layout:
    """Find out how the rows lie, by going through the whole of an object, once.

    Raises:
        SourceError: the stream is neither a list nor an object, is broken, or its rows may lie in several ways.
        UnicodeDecodeError: the stream is no text.
    """
    text = JsonText(stream)
    sign = text.sign()
    if sign in ("", "["):
        return Layout("list")
    if sign != "{":
        raise SourceError(f"{path}: expected a JSON list or objects, it starts with {sign!r}; check the file")
    lines_before = text.line_count
    seen = _looked_through(text, path)
    lines_within = text.line_count - lines_before
    follows = text.sign()
    if not follows:
        return _layout(seen, path)
    if follows != "{":
        raise SourceError(f"{path}: {follows!r} follows the first object; put all into one list, or {_AS_RECORDS}")
    if lines_within:
        raise SourceError(f"{path}: holds several objects of several lines; one a line: jq -c . FILE > rows.jsonl")
    return Layout("lines")


def object_records(layout: Layout, open_text: Open, path: Path) -> Iterator[SourceRecord]:
    """Yield one record a row of an object of that layout, numbered from 1.

    Raises:
        SourceError: the object is larger than its layout lets us read, or has changed since.
        UnicodeDecodeError: the stream is no text.
    """
    with open_text() as stream:
        text = JsonText(stream)
        text.sign()
        try:
            for row_number, item in enumerate(_rows(layout, text, path), start=1):
                row = SourceRow(row_number, item)
                yield _split_row(row, layout.columns) if layout.kind == "split" else row
        except BrokenValueError as error:
            raise SourceError(f"{path}: has changed since it was first looked through; read it again") from error


def _looked_through(text: JsonText, path: Path) -> _Object:
    seen = _Object()
    key = None
    try:
        for key in _keys(text):
            if key in seen.keys:
                raise SourceError(f"{path}: the object has the key {_shown([key])} twice; rename one of them")
            seen.keys[key] = None
            if len(seen.keys) > _MOST_KEYS:
                raise SourceError(f"{path}: one object of over {_MOST_KEYS:,} keys; {_AS_RECORDS}")
            if text.sign() == "[":
                seen.lists[key] = _List()
                for item in text.items():
                    seen.lists[key].add(item)
            else:
                seen.add(text.value(",}"))
    except BrokenValueError as error:
        if key in seen.lists:
            raise broken_item(path, seen.lists[key].count + 1, f"the list under {_shown([key])}", error) from error
        after = f" after the key {_shown([key])}" if key is not None else ""
        raise SourceError(f"{path}: the JSON object is {error}{after}; mend it, or {_AS_RECORDS}") from error
    return seen


def _keys(text: JsonText) -> Iterator[str]:
    """Go through the object whose `{` is the next sign; whoever asks for the next key has read the value."""
    text.skip()
    if text.sign() == "}":
        text.skip()
        return
    while True:
        key = text.value(":") if text.sign() == '"' else None
        if not isinstance(key, str):
            raise BrokenValueError("broken")
        text.skip()
        yield key
        end = text.sign()
        if end not in (",", "}"):
            raise BrokenValueError("broken")
        text.skip()
        if end == "}":
            return
        text.sign()


def _layout(seen: _Object, path: Path) -> Layout:
    if (
        set(seen.keys) <= _SPLIT_KEYS
        and {"columns", "data"} <= seen.lists.keys()
        and seen.lists["data"].begins_with_list
    ):
        columns = seen.lists["columns"].texts
        if columns is None or len(set(columns)) < len(columns):
            raise SourceError(f"{path}: the names under 'columns' are no texts, or one is there twice; {_AS_RECORDS}")
        return Layout("split", "data", tuple(columns))
    if seen.inner_keys and not seen.lists:
        are_numbers = [all(key.isdecimal() for key in keys) for keys in (seen.keys, seen.inner_keys)]
        if all(are_numbers):
            raise SourceError(f"{path}: rows and columns both have numbers for names; {_AS_RECORDS}")
        if any(are_numbers):
            return Layout("index" if are_numbers[0] else "columns")
    columns_of_values = [one for one in seen.lists.values() if not one.holds_objects and one.count]
    if len(columns_of_values) == len(seen.keys) > 1 and len({one.count for one in columns_of_values}) == 1:
        raise SourceError(
            f"{path}: holds lists of one length under {_shown([*seen.keys])}, columns by their look; {_AS_RECORDS}"
        )
    if _ROW_COLUMNS.isdisjoint(seen.keys):
        tables = [key for key, one in seen.lists.items() if one.count and one.holds_objects and not one.is_dialogue]
        tables = tables or [key for key, one in seen.lists.items() if not one.count]
        if len(tables) > 1:
            raise SourceError(f"{path}: holds several lists, under {_shown(tables)}; write each to a file of its own")
        if tables:
            return Layout("under_key", tables[0])
    return Layout("row")


def _rows(layout: Layout, text: JsonText, path: Path) -> Iterable[object]:
    if layout.kind in ("under_key", "split"):
        return _items_under(text, layout.key)
    content = dict(_whole_values(text, path))
    if layout.kind == "row":
        return [content]
    return content.values() if layout.kind == "index" else _transposed(content)


def _items_under(text: JsonText, wanted: str) -> Iterator[object]:
    for key in _keys(text):
        if key == wanted:
            yield from text.items()
            return
        if text.sign() == "[":
            for _ in text.items():
                pass
        else:
            text.value(",}")


def _split_row(row: SourceRow, columns: tuple[str, ...]) -> SourceRow | RejectedRow:
    if not isinstance(row.content, list) or len(row.content) != len(columns):
        return rejected(row, f"expected a list of {len(columns)} values, one for each of 'columns'")
    return SourceRow(row.row_number, dict(zip(columns, row.content, strict=True)))


def _whole_values(text: JsonText, path: Path) -> Iterator[tuple[str, object]]:
    try:
        for key in _keys(text):
            yield key, text.value(",}")
            if text.read_count > LARGEST_ROW:
                raise BrokenValueError("large")
    except BrokenValueError as error:
        most = LARGEST_ROW // 2**20
        raise SourceError(f"{path}: an object of over {most} MiB is not held in one piece; {_AS_RECORDS}") from error


def _transposed(columns: dict[str, object]) -> Iterator[dict[str, object]]:
    tables = {name: values for name, values in columns.items() if isinstance(values, Mapping)}
    first = next(iter(tables.values()), {})
    for key in first:
        yield {name: values[key] for name, values in tables.items()}


def _shown(keys: list[str]) -> str:
    return encodable(shortened(", ".join(map(repr, keys)), 300))
