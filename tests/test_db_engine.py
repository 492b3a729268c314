"""What the engine offers beside sessions: stored times, a driver's words, addresses without a password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.engine import as_utc, fault_of, make_engine, ping, shown_url
from db.inspection import read_address


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


def test_an_address_is_shown_without_its_password():
    url = "postgresql://anna:secret@host:5433/labels"
    assert shown_url(url) == read_address(url).shown == "postgresql://anna:***@host:5433/labels"
    address = read_address(url)
    assert (address.kind, address.host, address.port, address.user, address.database) == (
        "postgresql", "host", 5433, "anna", "labels",
    )  # fmt: skip
    with pytest.raises(ValueError, match="no URL"):
        read_address("secret")
