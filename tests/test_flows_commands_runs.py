"""The command that writes report pages anew."""

from __future__ import annotations

import sys

import pytest
from overviewed import compared
from surroundings import on_sqlite

from flows.__main__ import main
from models.files import report_file


@pytest.fixture
def report(capsys, monkeypatch):
    """Ask for a report in this process; its exit status, and what was printed."""

    def ask(*arguments):
        monkeypatch.setattr(sys, "argv", ["antipode", "report", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
        return status, *capsys.readouterr()

    return ask


@on_sqlite
def test_the_page_of_a_policy_is_written_anew(settings, sessions, report):
    first, *_ = compared(sessions, None)
    path = report_file(settings.artifact_root, "policy", first)
    for _ in range(2):
        assert report("--policy", str(first))[:2] == (0, f"{path}\n")
        assert "policy a" in path.read_text()
        path.unlink()


@on_sqlite
def test_a_policy_that_is_not_there_is_said(settings, sessions, report):
    status, printed, said = report("--policy", "7")
    assert (status, printed) == (1, "")
    assert "there is no policy 7" in said
