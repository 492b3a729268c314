"""Every command in README and docs is one that the command line takes: names, settings, values."""

from __future__ import annotations

import re

import pytest
from documented_commands import documented_commands, documented_settings, pages, shell_blocks
from pydantic_settings import CliSettingsSource
from surroundings import ROOT

from flows.__main__ import COMMANDS, _command_line, _model
from flows.terminal.help import settings_of

DOCUMENTED = list(documented_commands())
# Words that stand for a number, and what is written instead for the parser.
NUMBERS = {"ID": "1", "LINE": "1"}


def is_taken(words, *, is_cut):
    """Whether the command line takes the words: it raises if not. Of a line that is cut the names alone are asked."""
    name, *given = words
    arguments = [name, *(NUMBERS.get(word, word) for word in given)]
    command_line = _command_line(name)
    found = CliSettingsSource(command_line, cli_parse_args=arguments)()
    return bool(is_cut or command_line.model_validate(found))


def test_commands_are_found_on_every_page_that_shows_some():
    assert len(DOCUMENTED) > 90
    assert {command.page for command in DOCUMENTED} >= {"README.md", "docs/quick-start.md", "docs/how-to/judge.md"}
    assert sum(len(shell_blocks(page)) for page in pages()) > 60


@pytest.mark.parametrize("command", DOCUMENTED, ids=lambda command: f"{command.page}: {command.line}"[:90])
def test_a_documented_command_is_taken_by_the_command_line(command):
    name = command.words[0]
    if name.startswith("-"):
        assert name in ("--version", "--help")
    elif "--help" in command.words:
        assert name in COMMANDS or name == "COMMAND"
    else:
        assert is_taken(command.words, is_cut=command.is_cut)


@pytest.fixture(scope="module")
def known_settings():
    """Every setting of every command, a switch also as it is turned off; `-` and `_` are the same."""
    sections = [section for name in COMMANDS for section in settings_of(_model(name))]
    named = [one.name.removeprefix("--") for _, _, settings in sections for one in settings]
    named += [f"no-{name}" for name in named] + ["help", "version", "config", "like", "write-config", "dry-run"]
    named += [section for section, _, _ in sections]
    return {name.replace("_", "-") for name in named}


def test_every_setting_that_a_page_names_is_one_of_some_command(known_settings):
    named = list(documented_settings())
    assert len(named) > 250
    assert not {(page, name) for page, name in named if name.replace("_", "-") not in known_settings}


def test_make_has_every_target_that_a_page_names():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    texts = [page.read_text("utf-8") for page in pages()]
    named = {name for text in texts for name in re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE)}
    assert {"demo", "test", "docs"} <= named <= targets, named - targets
