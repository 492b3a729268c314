"""Sign-in links on both databases: what a link gives, when it ends, and what is kept of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from page_visitor import SECRET, Visitor, sign_in_token
from sqlalchemy import select, text, update
from surroundings import on_sqlite

from db.labels import sign_ins
from db.labels.judgements import find_person
from db.schema.labels import Annotator, SignIn
from web.app import create_app
from web.attempts import OVERALL, PER_ADDRESS, WINDOW_S, FailedSignIns
from web.sign_in import cookie_of, link_of, open_link, renew_link, token_hash

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def opened(sessions, name="Ana", secret=SECRET, now=NOW, days=30):
    with sessions.begin() as session:
        return open_link(session, secret, name, now=now, days=days)


def renewed(sessions, name="Ana", now=NOW, days=30):
    with sessions.begin() as session:
        return renew_link(session, SECRET, name, now=now, days=days)


def revoke(sessions, name="Ana"):
    with sessions.begin() as session:
        sign_ins.revoke(session, find_person(session, name))


def client(sessions):
    return TestClient(create_app(sessions, secret=SECRET, lease_s=600))


def status_of(sessions, token):
    return client(sessions).get("/sign-in", params={"token": token}).status_code


def test_a_link_stays_the_same_until_it_expires_is_renewed_or_the_secret_changes(sessions):
    first = opened(sessions)
    assert opened(sessions, now=NOW + 29 * DAY) == first
    assert opened(sessions, "Ben") != first
    later = opened(sessions, now=NOW + 30 * DAY)
    assert later != first
    again = renewed(sessions, now=NOW + 30 * DAY)
    assert again not in {first, later}
    assert opened(sessions, now=NOW + 31 * DAY) == again
    other = opened(sessions, secret=b"another sixteen b", now=NOW + 31 * DAY)
    assert len({first, later, again, other}) == 4
    with sessions() as session:
        assert session.scalars(select(SignIn.issue).order_by(SignIn.annotator_id)).all() == [4, 1]


def test_a_link_that_was_taken_back_is_not_printed_again_but_renewed(sessions):
    opened(sessions)
    revoke(sessions)
    assert opened(sessions) is None
    assert opened(sessions, now=NOW + 60 * DAY) is None
    token = renewed(sessions)
    assert opened(sessions) == token


def test_a_person_whose_link_is_taken_back_is_signed_out_at_once_and_others_are_not(sessions):
    ana, ben = Visitor(sessions), Visitor(sessions, "Ben")
    token = sign_in_token(sessions, "Ana")
    revoke(sessions)
    assert ana.http.get("/").status_code == status_of(sessions, token) == 401
    assert ben.http.get("/").status_code == 200


def test_a_renewed_link_ends_the_old_one_and_its_cookies(sessions):
    ana, old = Visitor(sessions), sign_in_token(sessions, "Ana")
    with sessions.begin() as session:
        new = renew_link(session, SECRET, "Ana", now=datetime.now(UTC), days=30)
    assert ana.http.get("/").status_code == status_of(sessions, old) == 401
    assert status_of(sessions, new) == 200


def test_an_expired_link_signs_nobody_in_and_its_cookie_ends_with_it(sessions):
    ana, token = Visitor(sessions), sign_in_token(sessions, "Ana")
    with sessions.begin() as session:
        session.execute(update(SignIn).values(expires_at=datetime.now(UTC)))
    assert ana.http.get("/").status_code == status_of(sessions, token) == 401


@on_sqlite
def test_the_cookie_is_not_the_links_token_and_lasts_as_long_as_the_link(sessions):
    token = sign_in_token(sessions, "Ana")
    answer = client(sessions).get("/sign-in", params={"token": token})
    cookie = answer.headers["set-cookie"]
    assert token not in cookie and token not in answer.text
    [age] = (int(part.partition("=")[2]) for part in cookie.split("; ") if part.lower().startswith("max-age"))
    assert 30 * 86400 - 60 < age <= 30 * 86400
    imposter = client(sessions)
    for value in (token, token_hash(token), f"{token_hash(token)}.", f"{token_hash(token)}.{'0' * 64}"):
        imposter.cookies["antipode"] = value
        assert imposter.get("/").status_code == 401, value


def test_neither_token_nor_cookie_is_stored(sessions):
    ana, token = Visitor(sessions), sign_in_token(sessions, "Ana")
    with sessions() as session:
        [row] = session.execute(text("SELECT * FROM sign_ins")).all()
    assert token_hash(token) in row
    assert token not in row and ana.http.cookies["antipode"] not in row


def test_a_visit_is_kept_to_five_minutes(sessions):
    ana = Visitor(sessions)
    ana.http.get("/")
    first = last_seen(sessions)
    assert datetime.now(UTC) - first < timedelta(minutes=1)
    ana.http.get("/")
    assert last_seen(sessions) == first
    with sessions.begin() as session:
        session.execute(update(SignIn).values(seen_at=first - timedelta(minutes=6)))
    ana.http.get("/")
    assert last_seen(sessions) > first


def last_seen(sessions):
    with sessions() as session:
        return sign_ins.people(session)[0].sign_in.seen_at


def test_a_person_of_an_older_database_stays_the_same_and_gets_the_first_link(sessions):
    renewed(sessions)
    renewed(sessions)
    with sessions.begin() as session:
        session.execute(text("DELETE FROM sign_ins"))
    opened(sessions)
    with sessions() as session:
        assert len(session.scalars(select(Annotator)).all()) == 1
        assert session.scalars(select(SignIn.issue)).one() == 1


@on_sqlite
def test_who_tries_links_is_told_to_wait_and_nobody_else_is(sessions):
    token = sign_in_token(sessions, "Ana")
    site = create_app(sessions, secret=SECRET, lease_s=600)
    stranger, ana = TestClient(site, client=("10.0.0.1", 1)), TestClient(site, client=("10.0.0.2", 1))
    for _ in range(PER_ADDRESS):
        assert stranger.get("/sign-in", params={"token": "x"}).status_code == 401
    answer = stranger.get("/sign-in", params={"token": "y"}, headers={"accept": "text/html"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_S
    assert "Try again in a minute" in answer.text
    for person in (stranger, ana):  # or whoever fails on purpose would keep out all behind one address
        assert person.get("/sign-in", params={"token": token}).status_code == 200


def test_failures_are_counted_by_address_and_overall_for_a_minute():
    now = [0.0]
    failures = FailedSignIns(lambda: now[0])
    for _ in range(PER_ADDRESS):
        assert failures.wait_s("a") == 0
        failures.failed("a")
    now[0] = 20.0
    assert (failures.wait_s("a"), failures.wait_s("b")) == (40, 0)
    for at in range(OVERALL - PER_ADDRESS):
        failures.failed(f"other {at}")
    assert failures.wait_s("b") == 40
    now[0] = 60.0
    assert (failures.wait_s("a"), failures.wait_s("b")) == (0, 0)


@given(cookie=st.text())
def test_no_text_is_a_cookie_unless_the_secret_made_it(cookie):
    assert link_of(SECRET, cookie) is None
    assert link_of(SECRET, cookie_of(SECRET + b"x", "0" * 64)) is None
    assert link_of(SECRET, cookie_of(SECRET, "0" * 64)) == "0" * 64


@on_sqlite
def test_a_long_token_is_refused_like_any_other(sessions):
    for token in ("x" * 201, "x" * 5_000, "\ud7ff", "\x00"):
        assert status_of(sessions, token) == 401


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_links_made_at_once_are_one(sessions):
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: opened(sessions), range(8)))) == 1
