"""Any value on the command line is taken or refused in one line, by the configuration alone."""

from __future__ import annotations

import importlib
from typing import Any

from fuzzing import fuzz
from hostile_texts import HOSTILE, RAW_CONTROL
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flows.__main__ import COMMANDS
from flows.terminal.failures import argument_line, validation_line
from tasks.terminal import printable

MODELS: list[type[BaseModel]] = [
    getattr(importlib.import_module(f"flows.commands.{command.module}"), command.name) for command in COMMANDS.values()
]
PATHS = [(model, name) for model in MODELS for name in model.model_fields]
ODD = (
    "", " ", "-1", "0", "70000", "99999999999999999999", "1e400", "nan", "inf", "-inf", "9" * 5000, "１", "²", "a\nb",
    "a\x00b", "\udcff", "[]", "{}", "null", "true", "../../x", "/", "policy:" + "9" * 30, *HOSTILE,
)  # fmt: skip
texts = st.sampled_from(ODD)
values = texts | st.text(max_size=8) | st.integers() | st.floats() | st.lists(texts, max_size=3)
keys = st.sampled_from(["name", "limit", "seed", "run", "", "\x1b"])


@fuzz(0.15, where=st.sampled_from(PATHS), value=values, key=keys)
def test_any_value_of_any_setting_is_taken_or_refused_in_one_line(
    where: tuple[type[BaseModel], str], value: Any, key: str
) -> None:
    model, name = where
    for given in (value, {key: value}):
        try:
            model.model_validate({name: given})
        except ValidationError as error:
            line = validation_line(error)
            assert line and not RAW_CONTROL.search(printable(line)) and len(line) < 2_000
    if isinstance(value, str):
        fault = argument_line(["runs", value])
        assert fault is None or (fault.isprintable())
