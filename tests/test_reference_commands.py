"""The reference of commands has every command with every setting, its default and its help."""

from __future__ import annotations

import pytest
from surroundings import ROOT

from flows.__main__ import COMMANDS, _model
from flows.terminal.help import settings_of
from reference.commands import as_cell, command_pages
from tasks.settings import Settings

PAGES = dict(command_pages())


def section_of(name):
    text = next(text for page, text in PAGES.items() if f"\n## {name}\n" in text and not page.endswith("index.md"))
    return text.split(f"\n## {name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_there_with_all_of_its_settings(name):
    section = section_of(name)
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    settings = [setting for _, _, settings in settings_of(_model(name)) for setting in settings]
    assert [row.split("`")[1] for row in rows] == [setting.name for setting in settings]
    for row, setting in zip(rows, settings, strict=True):
        assert as_cell(setting.default) in row and setting.about.split()[0].strip("`*<") in row
        assert setting.about.strip(), f"{name} {setting.name} says nothing of what it is"


def test_every_command_is_listed_with_a_link_to_it():
    for name in COMMANDS:
        assert f"[`{name}`](" in PAGES["commands/index.md"] and f"#{name})" in PAGES["commands/index.md"]


def test_every_variable_of_the_environment_is_told_by_the_reference_and_the_page():
    page = (ROOT / "docs" / "installation.md").read_text() + (ROOT / "docs" / "scaling.md").read_text()
    for name in Settings.model_fields:
        variable = f"`ANTIPODE_{name.upper()}`"
        assert variable in PAGES["environment.md"] and variable in page


def test_a_bar_in_a_cell_does_not_end_it():
    assert as_cell("a|b\n  c") == "a\\|b c"
