"""Settings as rows of a table: every one by the name it has on the command line, or those alone that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

UNSET = "–"


class Row(NamedTuple):
    """A setting's name and its value in each of the things compared."""

    name: str
    values: tuple[str, ...]


def setting_rows(config: Mapping[str, Any]) -> list[Row]:
    """Every setting that is set, in the stored order."""
    return [Row(name, (value,)) for name, value in _flat(config) if value != UNSET]


def differing_rows(configs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The settings that are not the same in all of these, in the order in which they are met."""
    flat = [dict(_flat(config)) for config in configs]
    names = dict.fromkeys(name for each in flat for name in each)
    rows = (Row(name, tuple(each.get(name, UNSET) for each in flat)) for name in names)
    return [row for row in rows if len(set(row.values)) > 1]


def _flat(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", _words(value)


def _words(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return UNSET
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
