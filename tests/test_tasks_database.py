"""A database that goes away in the middle: waited for, given up in words, and not waited for where that is in vain."""

from __future__ import annotations

import threading
import time

import pytest
from postgresql import postgresql, server_programs
from sqlalchemy import text

from db.engine import fault_of, make_engine
from tasks.database import DatabaseGoneError, open_database, patiently
from tasks.settings import Settings

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def process():
    """A server of its own, which the tests stop, with room for few connections."""
    if server_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    with postgresql("max_connections=5", "superuser_reserved_connections=0") as server:
        yield server


@pytest.fixture
def own_settings(process, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", f"{process.url}/postgres")
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path))
    monkeypatch.setenv("ANTIPODE_DATABASE_WAIT_S", "20")
    return Settings()


def insert(settings, name):
    with open_database(settings) as sessions, sessions.begin() as session:
        session.execute(text("INSERT INTO sources (name, location, format, content_hash, created_at) "
                             "VALUES (:name, '', '', '', now())"), {"name": name})  # fmt: skip


def names(settings):
    with open_database(settings) as sessions, sessions() as session:
        return sorted(session.scalars(text("SELECT name FROM sources")))


def test_work_is_done_again_once_the_database_is_back(process, own_settings):
    insert(own_settings, "before")
    tries = []

    def work():
        tries.append(1)
        with open_database(own_settings) as sessions, sessions.begin() as session:
            session.execute(text("DELETE FROM sources"))
            if len(tries) == 1:
                process.stop()
                threading.Timer(2, process.start).start()
            session.execute(text("SELECT 1"))
        insert(own_settings, "after")
        return "done"

    began = time.monotonic()
    assert patiently(work, own_settings) == "done"
    assert len(tries) == 2 and time.monotonic() - began >= 2
    assert names(own_settings) == ["after"]


def test_a_database_that_stays_away_is_given_up_in_words(process, own_settings, monkeypatch):
    monkeypatch.setenv("ANTIPODE_DATABASE_WAIT_S", "1")
    names(own_settings)
    process.stop()
    try:
        with pytest.raises(DatabaseGoneError, match=r"did not come back within 1 s: .*refused.*goes on where it was"):
            patiently(lambda: names(own_settings), Settings())
    finally:
        process.start()


def test_without_a_free_connection_one_waits(process, own_settings):
    names(own_settings)
    held = []
    engine = make_engine(own_settings.database)
    with pytest.raises(Exception) as refused:
        while True:
            held.append(engine.connect())
    assert fault_of(refused.value).is_gone, refused.value
    threading.Timer(1, lambda: [connection.close() for connection in held]).start()
    began = time.monotonic()
    patiently(lambda: names(own_settings), own_settings)
    assert time.monotonic() - began >= 0.9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace("/postgres", "/nowhere"), "does not exist"),
        (lambda url: url.replace("antipode@", "nobody@"), "role"),
    ],
)
def test_what_stays_wrong_is_not_waited_for(own_settings, change, reason, monkeypatch):
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", change(own_settings.database))
    began = time.monotonic()
    with pytest.raises(Exception, match=reason):
        patiently(lambda: names(Settings()), Settings())
    assert time.monotonic() - began < 5


def test_other_failures_are_not_tried_again(own_settings):
    tries = []
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: tries.append(1) or 1 / 0, own_settings)
    assert tries == [1]
