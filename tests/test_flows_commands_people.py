"""`antipode people`: links listed, renewed, taken back, as the page then takes them."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from db.engine import make_engine, make_session_factory
from db.migrations import require_current
from flows.commands.labels import Web
from flows.commands.people import People
from flows.commands.service import Up
from flows.terminal.labelling.people import lead_lines, link_lines, new_lead, own_name
from tasks.labels.people import page_secret
from tasks.settings import Settings
from web.app import create_app

BEN = "Ben O'Neill"
ADDRESS = "http://127.0.0.1:4300"


@pytest.fixture
def settings(tmp_path, monkeypatch, database_url):
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path))
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", database_url)
    monkeypatch.setenv("ANTIPODE_SIGN_IN_DAYS", "7")
    return Settings()


@pytest.fixture
def sessions(settings):
    engine = make_engine(settings.database)
    require_current(engine)
    yield make_session_factory(engine)
    engine.dispose()


def status_of(sessions, settings, text):
    http = TestClient(create_app(sessions, secret=page_secret(settings), lease_s=600))
    token = re.search(r"token=([\w-]+)", text)[1]
    return http.get("/sign-in", params={"token": token}).status_code


def test_people_are_listed_renewed_and_taken_back(sessions, settings, capsys):
    People().cli_cmd()
    assert "nobody was given a link" in capsys.readouterr().out
    [ana, ben] = link_lines(sessions, ["Ana", BEN], settings, address=ADDRESS, queue_id=3)
    assert re.fullmatch(rf"Ana: {ADDRESS}/sign-in\?token=[\w-]{{43}}&queue=3", ana)
    assert status_of(sessions, settings, ana) == 200
    People(renew=" Ana").cli_cmd()
    new = capsys.readouterr().out
    assert f"Ana: {ADDRESS}/sign-in?token=" in new and "works for 7 days" in new
    assert (status_of(sessions, settings, ana), status_of(sessions, settings, new)) == (401, 200)
    People(revoke=BEN).cli_cmd()
    assert f"antipode people --renew {shlex.quote(BEN)}" in capsys.readouterr().out
    assert status_of(sessions, settings, ben) == 401
    again = link_lines(sessions, ["Ana", BEN], settings, address=ADDRESS, queue_id=None)
    assert status_of(sessions, settings, again[0]) == 200
    assert "token=" not in again[1] and "the link was taken back" in again[1]
    People().cli_cmd()
    listed = capsys.readouterr().out
    assert re.search(r"Ana\s+queues\s+works until \d{4}-\d\d-\d\d\s+(\S+ \d\d:\d\d UTC|–)\s+0\b", listed)
    assert re.search(r"Ben O'Neill\s+queues\s+taken back", listed)
    assert "token" not in listed


def test_who_was_never_given_a_link_cannot_be_signed_out(sessions, settings):
    link_lines(sessions, ["Ana"], settings, address=ADDRESS)
    with pytest.raises(
        LookupError, match=r"nobody called 'Anna' was given a link; did you mean Ana\? there are: 'Ana'"
    ):
        People(revoke="Anna").cli_cmd()
    with pytest.raises(ValueError, match="give one of them"):
        People(revoke="Ana", renew="Ana")


def test_the_link_says_until_when_it_works(sessions, settings, capsys):
    link_lines(sessions, ["Ana"], settings, address=ADDRESS)
    People().cli_cmd()
    until = re.search(r"works until (\S+)", capsys.readouterr().out)[1]
    assert 5 <= (datetime.fromisoformat(until).replace(tzinfo=UTC) - datetime.now(UTC)).days <= 7


def test_who_leads_is_said_and_taken_back(sessions, settings, capsys):
    link_lines(sessions, ["Ana", "Ben"], settings, address=ADDRESS)
    People(lead="Ana").cli_cmd()
    assert "Ana sees the workbench now" in capsys.readouterr().out
    People().cli_cmd()
    listed = capsys.readouterr().out
    assert re.search(r"Ana\s+all\s+works", listed) and re.search(r"Ben\s+queues\s+works", listed)
    People(labels_only="Ana").cli_cmd()
    assert "Ana sees the queues alone now" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--revoke and --lead are 2 commands; give one of them"):
        People(revoke="Ana", lead="Ana")


def test_a_start_makes_nobody_a_lead_where_somebody_leads(sessions, settings, monkeypatch):
    monkeypatch.setenv("LOGNAME", "Zoe")
    assert new_lead(None, settings) == "Zoe"
    [zoe] = lead_lines(sessions, "Zoe", settings, address=ADDRESS)
    link_lines(sessions, ["Ana"], settings, address=ADDRESS)
    People(lead="Ana").cli_cmd()
    People(labels_only="Zoe").cli_cmd()
    assert new_lead(None, settings) is None
    assert [line.split(":")[0] for line in lead_lines(sessions, None, settings, address=ADDRESS)] == ["Ana"]
    assert new_lead(" Bo ", settings) == "Bo"
    People(revoke="Ana").cli_cmd()
    assert new_lead(None, settings) == "Zoe", "who is signed out leads nobody"
    assert zoe.startswith("Zoe: ")


@pytest.mark.parametrize("option", ["--lead", "--annotators"])
def test_who_has_no_name_here_is_asked_for_one(settings, monkeypatch, option):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(ValueError, match=f"this system has no name for user 54321; give one: {option} NAME"):
        own_name(option)
    assert Web().lead is None and Up().lead is None, "nothing is asked before the command runs"
    if option == "--lead":
        with pytest.raises(ValueError, match="give one: --lead NAME"):
            new_lead(None, settings)
