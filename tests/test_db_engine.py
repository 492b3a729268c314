"""What the engine offers beside sessions: stored times, a driver's words, addresses without a password."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import BigInteger, Text, event, literal, select, text
from sqlalchemy.exc import DBAPIError

from db.engine import as_utc, fault_of, make_engine, make_session_factory, ping, row_of, shown_url, take_turn
from db.inspection import read_address
from db.statements.among import among
from models.records import Pair


def test_a_stored_time_without_a_time_zone_is_utc():
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert as_utc(noon.replace(tzinfo=None)) == as_utc(noon) == noon
    assert as_utc(noon.astimezone(timezone(timedelta(hours=2)))).isoformat() == noon.isoformat()


def test_a_fault_of_the_database_is_told_from_a_fault_of_the_question(tmp_path, sessions):
    with sessions() as session:
        ping(session)
        with pytest.raises(DBAPIError) as caught:
            session.execute(text("INSERT INTO sources (name) VALUES (NULL)"))
    fault = fault_of(caught.value)
    assert fault is not None and not fault.is_unusable and "sources" in fault.reason

    with pytest.raises(DBAPIError) as caught:
        make_engine(f"sqlite:///{tmp_path}").connect()
    fault = fault_of(caught.value)
    assert fault is not None and fault.is_unusable and "unable to open" in fault.reason

    assert fault_of(ValueError("of something else")) is None


def test_a_folder_that_cannot_be_made_says_what_to_do_instead():
    with pytest.raises(OSError, match=r"folder /dev/null/here cannot be made .*; work in a folder that"):
        make_engine("sqlite:////dev/null/here/antipode.db")


@pytest.mark.parametrize("asked", [[], [1], [3, 1, 7, 1], list(range(100_000))])
def test_among_many_ids_finds_the_same_as_asking_one_by_one(sessions, asked):
    with sessions() as session:
        for id_ in (1, 2, 3, 99_999):
            assert session.scalar(select(among(literal(id_, BigInteger()), asked))) == (id_ in asked)


def test_among_texts_takes_them_as_they_are(sessions):
    awkward = ["", "'", '"', "\\", "{a,b}", "NULL", "a\tb", "ä\u2028😀"]
    with sessions() as session:
        for one in awkward:
            assert session.scalar(select(among(literal(one, Text()), awkward)))
            assert not session.scalar(select(among(literal(one, Text()), [other for other in awkward if other != one])))


def test_a_record_is_the_row_that_asdict_makes_of_it():
    pair = Pair("easy", 1, 2, 3, 0.5, 1, 6)
    assert row_of(pair) == asdict(pair)


def test_an_address_is_shown_without_its_password():
    url = "postgresql://anna:secret@host:5433/labels"
    assert shown_url(url) == read_address(url).shown == "postgresql://anna:***@host:5433/labels"
    address = read_address(url)
    assert (address.kind, address.host, address.port, address.user, address.database) == (
        "postgresql", "host", 5433, "anna", "labels",
    )  # fmt: skip
    with pytest.raises(ValueError, match="no URL"):
        read_address("secret")


def test_who_waits_for_the_turn_gets_it_next_however_fast_another_asks_again(sessions):
    turns, is_over = [], threading.Event()

    def never_rest():
        while not is_over.is_set():
            with sessions.begin() as session:
                take_turn(session, "a table")
                turns.append("busy")
                time.sleep(0.005)

    def wait_now_and_then():
        passed = []
        for _ in range(20):
            time.sleep(0.002)
            before = len(turns)
            with sessions.begin() as session:
                take_turn(session, "a table")
                passed.append(len(turns) - before)
        return passed

    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(never_rest) for _ in range(2)]
        passed = pool.submit(wait_now_and_then).result()
        is_over.set()
        for each in busy:
            each.result()
    # Between looking and standing in line the two that never rest may have had a turn or two each; on a busy machine a
    # thread that is about to stand in line waits longer, now and then.
    assert sum(turns_of_others > 6 for turns_of_others in passed) <= 2, passed


def test_a_turn_ends_with_its_transaction_however_that_ends(sessions):
    with pytest.raises(ZeroDivisionError), sessions.begin() as session:
        take_turn(session, "a table")
        raise ZeroDivisionError
    session = sessions()
    take_turn(session, "a table")
    session.rollback()
    take_turn(session, "a table")
    session.close()
    with sessions.begin() as other:
        take_turn(other, "a table")


def test_a_server_keeps_its_connections_and_a_step_does_not(database_url):
    for keeps_connections, expected in ((True, 1), (False, 3)):
        engine = make_engine(database_url, keeps_connections=keeps_connections)
        opened = []
        event.listen(engine, "connect", lambda *_, to=opened: to.append(1))
        for _ in range(3):
            with make_session_factory(engine)() as session:
                ping(session)
        engine.dispose()
        assert len(opened) == expected
