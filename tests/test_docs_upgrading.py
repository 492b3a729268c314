"""One version everywhere: the package, what is installed, the changelog, the upgrade notes and the schema they name."""

import re
import tomllib
from importlib.metadata import version

from surroundings import ROOT

from db.migrations import known_revisions, newest_revision
from flows.__main__ import main

STATED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NOTES = (ROOT / "docs" / "upgrading.md").read_text()


def sections(text, start):
    """What follows each heading that begins with `start`, by the rest of the heading, in order."""
    parts = re.split(rf"^{start}(.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_newest_section_of_the_changelog_is_of_this_version():
    headings = [heading for heading in sections((ROOT / "CHANGELOG.md").read_text(), "## ") if heading != "Unreleased"]
    assert re.fullmatch(rf"{re.escape(STATED)} \(\d{{4}}-\d{{2}}-\d{{2}}\)", headings[0])


def test_the_newest_upgrade_notes_are_of_this_version_and_name_its_schema():
    newest, text = next(iter(sections(NOTES, "## To ").items()))
    assert newest == STATED
    assert f"schema revision {dict(table_of_versions())[STATED]}" in text


def table_of_versions():
    """Version and schema revision, row by row."""
    rows = [line.strip("|").split("|") for line in NOTES.splitlines() if re.match(r"\| (\d|the next one)", line)]
    return [(version.strip(), revision.strip()) for version, revision in rows]


def test_the_table_of_versions_begins_with_the_newest_schema_and_names_those_that_there_are():
    rows = table_of_versions()
    assert rows[0] in [(STATED, newest_revision()), ("the next one", newest_revision())]
    assert STATED in dict(rows[:2])
    assert {name for _, revision in rows for name in re.findall(r"\b\d{4}\b", revision)} <= set(known_revisions())


def test_the_command_says_the_version(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["antipode", "--version"])
    main()
    assert capsys.readouterr().out == f"antipode {STATED}\n", f"installed is {version('antipode')}: make install"
