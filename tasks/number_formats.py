"""The number formats of a run: what `auto` stands for, decided when the run is opened and kept in its row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from db import runs
from db.engine import Session
from models.number_format import NumberFormat, fast_format, times_slower
from tasks.config.section import Section
from tasks.progress import say

AUTO = "auto"
SLOW = 1.5  # times float32's time, from which on a format that was named is warned of

Config = TypeVar("Config", bound=Section)


def chosen_format(config: Section) -> NumberFormat:
    """What `auto` stands for on this machine; says so, and by which factor a format that was named is slow here."""
    found = fast_format()
    for name, dtype in _named(config):
        if dtype == AUTO:
            continue
        factor = 1.0 if dtype in {found.dtype, "float32"} else times_slower(dtype)
        if factor > SLOW:
            say(f"warning: {name} is {dtype}, in which a product takes {factor:.0f} times as long as in float32 here")
    say(f"number format: {found.dtype} ({found.reason})")
    return found


def keep_format(session: Session, run_id: int, config: Section) -> None:
    """Say which format a run that is taken up keeps; one of a version that stored none gets this machine's for good."""
    run = runs.get_run(session, run_id)
    if run.dtype is None:
        runs.set_format(session, run_id, chosen_format(config))
    else:
        say(f"number format: {run.dtype}, in which the run began ({run.dtype_reason})")


def with_format(config: Config, dtype: str | None) -> Config:
    """The configuration with every `auto` settled; a run of a version that stored no format takes this machine's."""
    changes: dict[str, object] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            changes[name] = with_format(value, dtype)
        elif name == "dtype" and value == AUTO:
            changes[name] = dtype or fast_format().dtype
    return config.model_copy(update=changes)


def _named(config: Section, path: str = "") -> Iterator[tuple[str, str]]:
    """Each `dtype` with the name it has on the command line."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            yield from _named(value, f"{path}{name}.")
        elif name == "dtype":
            yield f"{path}{name}", value
