"""How two configurations differ, setting by setting, and settings as the command line takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tasks.config.section import Section


class Difference(NamedTuple):
    """A setting by the name it has on the command line, its value, and the one that it had."""

    name: str
    value: Any
    before: Any


def differences(section: Section, base: Section, path: str = "") -> Iterator[Difference]:
    """Each setting that is not as in `base`, which has the same settings."""
    for name in type(base).model_fields:
        value, before = getattr(section, name), getattr(base, name)
        if value == before:
            continue
        if isinstance(value, Section):
            yield from differences(value, before, f"{path}{name}.")
        else:
            yield Difference(f"{path}{name}", value, before)


def as_arguments(name: str, value: Any) -> list[str]:
    """A setting as the command line takes it."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, (tuple, list)):
        return [f"--{name}", ",".join(map(str, value))]
    if isinstance(value, Mapping):
        return [f"--{name}", json.dumps(value)]
    return [f"--{name}", "" if value is None else str(value)]
