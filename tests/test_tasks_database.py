"""A database that goes away in the middle: waited for, given up in words, and not waited for where that is in vain."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from postgresql import postgresql, server_programs
from sqlalchemy import text
from stored_rows import add, all_prompt_ids, open_run, row

from db.engine import alone, fault_of, make_engine
from tasks.database import DatabaseGoneError, keep, open_database, patiently
from tasks.runs import work_on
from tasks.settings import Settings

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def process():
    """A server of its own, which the tests stop, with room for few connections."""
    if server_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    with postgresql("max_connections=9", "superuser_reserved_connections=0") as server:
        yield server


@pytest.fixture
def own_settings(process, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", f"{process.url}/postgres")
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path))
    monkeypatch.setenv("ANTIPODE_DATABASE_WAIT_S", "20")
    return Settings()


@pytest.fixture
def open_run_on():
    """Opens a run on the database of these settings; its id."""

    def opened(settings):
        with open_database(settings) as sessions:
            add(sessions, row(1, "why?", "a", "b"))
            return open_run(sessions, all_prompt_ids(sessions), key=uuid.uuid4().hex * 2)

    return opened


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


def test_what_was_paid_for_is_stored_and_the_run_is_taken_up_anew_with_its_lock(process, own_settings, open_run_on):
    """The lock of a run is lost with the connection that held it: nobody may go on without it."""
    run_id, attempts = open_run_on(own_settings), []

    def is_free():
        with open_database(own_settings) as sessions, alone(sessions, f"run {run_id}") as is_free:
            return is_free

    def work():
        attempts.append(is_free())
        if len(attempts) == 1:
            process.stop()
            threading.Timer(1, process.start).start()
            keep(lambda: insert(own_settings, "paid for"), own_settings)
            attempts.append("went on without its lock")
        return "done"

    assert work_on(run_id, work) == "done"
    assert attempts == [False, False] and "paid for" in names(own_settings) and is_free()


def test_ctrl_c_while_the_database_is_away_is_ctrl_c(process, own_settings, open_run_on):
    run_id, tries, restart = open_run_on(own_settings), [], threading.Timer(1, process.start)

    def work():
        tries.append(1)
        process.stop()
        restart.start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work_on(run_id, work)
    restart.join()
    assert tries == [1]


def test_one_outage_is_waited_for_once(process, own_settings, monkeypatch):
    monkeypatch.setenv("ANTIPODE_DATABASE_WAIT_S", "2")
    process.stop()
    try:
        began = time.monotonic()
        for _ in range(8):
            with pytest.raises(DatabaseGoneError):
                keep(lambda: insert(own_settings, "lost"), Settings())
        assert time.monotonic() - began < 6
    finally:
        process.start()
    keep(lambda: insert(own_settings, "found"), Settings())
    assert "found" in names(own_settings)


def test_work_that_the_database_does_not_stand_ends(own_settings):
    tries = []

    def work():
        tries.append(1)
        with open_database(own_settings) as sessions, sessions.begin() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseGoneError, match="went away 6 times in a row"):
        patiently(work, own_settings)
    assert len(tries) == 6
