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
SLOW = 1.5  # a configured format that takes more than so many times float32's time gets a warning

Config = TypeVar("Config", bound=Section)


def chosen_format(config: Section) -> NumberFormat:
    """What `auto` stands for on this machine; prints it, and warns of each configured format that is slow here."""
    fastest = fast_format()
    for name, dtype in _dtype_fields(config):
        if dtype == AUTO:
            continue
        factor = 1.0 if dtype in {fastest.dtype, "float32"} else times_slower(dtype)
        if factor > SLOW:
            say(f"warning: {name} is {dtype}, in which a product takes {factor:.0f} times as long as in float32 here")
    say(f"number format: {fastest.dtype} ({fastest.reason})")
    return fastest


def keep_format(session: Session, run_id: int, config: Section) -> None:
    """Print the format that a resumed run keeps; one stored without a format (an older version) gets this machine's."""
    run = runs.get_run(session, run_id)
    if run.dtype is None:
        runs.set_format(session, run_id, chosen_format(config))
    else:
        say(f"number format: {run.dtype}, in which the run began ({run.dtype_reason})")


def with_format(config: Config, dtype: str | None) -> Config:
    """The configuration with every `auto` replaced by `dtype`, or by this machine's format where `dtype` is None."""
    changes: dict[str, object] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            changes[name] = with_format(value, dtype)
        elif name == "dtype" and value == AUTO:
            changes[name] = dtype or fast_format().dtype
    return config.model_copy(update=changes)


def _dtype_fields(config: Section, path: str = "") -> Iterator[tuple[str, str]]:
    """Each `dtype` with the name it has on the command line."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            yield from _dtype_fields(value, f"{path}{name}.")
        elif name == "dtype":
            yield f"{path}{name}", value
