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
    assert f"schema revision {newest_revision()}" in text


def test_the_table_of_versions_begins_with_this_one_and_names_schemas_that_there_are():
    rows = [line.strip("|").split("|") for line in NOTES.splitlines() if re.match(r"\| \d", line)]
    assert [cell.strip() for cell in rows[0]] == [STATED, newest_revision()]
    assert {name for row in rows for name in re.findall(r"\b\d{4}\b", row[1])} <= set(known_revisions())


def test_the_command_says_the_version(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["antipode", "--version"])
    main()
    assert capsys.readouterr().out == f"antipode {STATED}\n", f"installed is {version('antipode')}: make install"
