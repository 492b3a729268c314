"""What `antipode COMMAND --help` shows: examples that exist, types in words, every setting once."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from flows.__main__ import COMMANDS, GROUPS
from flows.terminal.examples import EXAMPLES
from flows.terminal.failures import _settings
from flows.terminal.help import show_help, type_in_words


def model_of(name):
    return getattr(importlib.import_module(f"flows.commands.{COMMANDS[name].module}"), COMMANDS[name].name)


def helped(capsys, monkeypatch, name, columns=100):
    monkeypatch.setenv("COLUMNS", str(columns))
    show_help(name, model_of(name))
    return capsys.readouterr().out


def test_every_command_is_in_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_of_settings_that_exist_and_shows_every_setting(capsys, monkeypatch, name):
    told = helped(capsys, monkeypatch, name)
    words = [word for example, _ in EXAMPLES[name] for word in shlex.split(example) if word.startswith("--")]
    assert f"  antipode {name}" in told and 1 <= len(EXAMPLES[name]) <= 2
    for option in words:
        assert re.search(rf"^  {re.escape(option)}\b", told, re.MULTILINE), option
    arguments = re.findall(r"^usage: antipode \S+ (.*)\[SETTINGS\]$", told, re.MULTILINE)
    positional = {word.strip("[]").lower() for word in " ".join(arguments).split()}
    for option in _settings(model_of(name), "--"):
        if option.removeprefix("--") not in positional:
            assert re.search(rf"^  {re.escape(option).replace('_', '[_-]')}\b", told, re.MULTILINE), option
    types = re.findall(r"^  --\S+ ([^\s]+)", told, re.MULTILINE)
    assert not [word for word in types if re.search(r"[\[{]|^(str|int|float|None|null)$", word)], types


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_fits_the_terminal(capsys, monkeypatch, columns):
    for line in helped(capsys, monkeypatch, "label", columns).splitlines():
        assert len(line) <= max(columns, 64) or "antipode label" in line, line


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "WHOLE NUMBER"),
        (float | None, "NUMBER"),
        (Path, "PATH"),
        (str | None, "TEXT"),
        (tuple[str, ...], "TEXT,…"),
        (Literal["a", "b"] | None, "a|b"),
        (tuple[Literal["a", "b"], ...], "a|b,…"),
        (dict[str, object] | None, "JSON"),
    ],
)
def test_types_are_said_in_words(annotation, words):
    assert type_in_words(annotation) == words


def test_defaults_are_said_as_they_are_given(capsys, monkeypatch):
    class Some(BaseModel):
        """Some command."""

        names: tuple[str, ...] = Field(("a", "b"), description="Names.")
        is_on: bool = Field(True, description="A switch.")
        limit: int | None = Field(None, description="Empty: all.")

    monkeypatch.setenv("COLUMNS", "100")
    show_help("some", Some)
    told = capsys.readouterr().out
    assert "Names. (default: a,b)" in told and "A switch. (on unless --no-is_on)" in told
    assert "Empty: all.\n" in told
