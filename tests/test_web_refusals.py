"""What the labelling page refuses: bodies without bound, requests that do not fit, verdicts on another showing."""

from __future__ import annotations

import json
import socket
from functools import partial
from http.client import HTTPConnection

import pytest
from fastapi.testclient import TestClient
from page_site import Site
from page_visitor import HERE, HTML, SECRET, Visitor, open_queue, sign_in_token
from sqlalchemy import update
from stored_labels import stored
from surroundings import on_sqlite

from db.schema import labels
from web.app import create_app
from web.guard import MAX_BODY_BYTES

LONE = '"\\ud800"'
SHOWN_AT = '"2026-01-01T00:00:00Z"'
FITS = {"person": '"Ana"', "left_id": "1", "right_id": "2", "shown_at": SHOWN_AT, "verdict": '"tie"', "seconds": "1"}


@pytest.fixture
def site(sessions):
    site = Site(sessions)
    yield site
    site.stop()


def answer_to(port, *headers, body=b""):
    """The first line and the rest of what a server says to a change by nobody."""
    head = ["POST /queues/1/verdicts HTTP/1.1", "Host: x", "Origin: http://x", "Content-Type: application/json"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, *headers, "", ""]).encode() + body)
        received = b""
        while b"}" not in received:
            received += connection.recv(4096)
    first, _, rest = received.partition(b"\r\n")
    return first.split()[1], rest


@on_sqlite
@pytest.mark.parametrize(
    "headers, body",
    [
        ([f"Content-Length: {200_000_000}"], b""),
        ([f"Content-Length: {MAX_BODY_BYTES + 1}"], b""),
        (["Transfer-Encoding: chunked"], b"5\r\n12345\r\n"),
        ([], b""),
    ],
)
def test_a_body_without_bound_is_refused_before_it_is_read(site, headers, body):
    status, rest = answer_to(site.port, *headers, body=body)  # the body's end never comes
    assert status == b"413", rest
    assert f"at most {MAX_BODY_BYTES} bytes".encode() in rest


@on_sqlite
def test_a_body_within_the_bound_is_read_and_its_sender_asked_for(site):
    body = json.dumps({"person": "x" * (MAX_BODY_BYTES - 14)}).encode()
    assert len(body) == MAX_BODY_BYTES
    assert answer_to(site.port, f"Content-Length: {len(body)}", body=body)[0] == b"401"


@on_sqlite
@pytest.mark.parametrize(
    "came_from, scheme, is_secure",
    [("127.0.0.1", "https", True), ("127.0.0.2", "https", False), ("127.0.0.1", "http", False)],
)
def test_a_proxy_on_this_machine_alone_says_whether_the_cookie_is_for_https(site, came_from, scheme, is_secure):
    connection = HTTPConnection("127.0.0.1", site.port, timeout=20, source_address=(came_from, 0))
    connection.request(
        "GET", f"/sign-in?token={sign_in_token(site.sessions, 'Ana')}", headers={"X-Forwarded-Proto": scheme}
    )
    cookie = connection.getresponse().getheader("set-cookie")
    connection.close()
    assert ("secure" in cookie.lower()) == is_secure


@on_sqlite
def test_no_log_holds_a_links_token(site, capfd):
    token = sign_in_token(site.sessions, "Ana")
    for query in (token, f"{token}&queue=no", "x" * 43):
        connection = HTTPConnection("127.0.0.1", site.port, timeout=20)
        connection.request("GET", f"/sign-in?token={query}")
        connection.getresponse().read()
        connection.close()
    said = "".join(capfd.readouterr())
    assert token not in said and "sign-in" not in said


@on_sqlite
def test_a_connection_stays_open_longer_than_a_person_reads(site):
    assert site.server.config.timeout_keep_alive >= 60


@on_sqlite
def test_a_request_that_does_not_fit_is_told_why_in_one_line_that_repeats_nothing_of_it(sessions):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions)
    wrong = [
        *({"verdict": value} for value in ('"unparsed"', "[" * 20_000, LONE)),
        *({"seconds": value} for value in ("NaN", "1e999", "-Infinity", "-1", "9" * 5_000)),
        *({"person": value} for value in (LONE, '"' + "x" * 101 + '"', "null")),
        *({"left_id": value} for value in (str(2**63), '"1"', "0")),
        *({"shown_at": value} for value in ('"now"', '"2026-01-01T00:00:00"', LONE, "1" * 400)),
        {"\\ud800": "1"},
        {"<b>": "1"},
    ]
    headers = {**HERE, "content-type": "application/json"}
    send = partial(ana.http.post, f"/queues/{queue_id}/verdicts", headers=headers)
    for change in wrong:
        answer = send(content=json_of({**FITS, **change}))
        assert answer.status_code in (400, 422), change
        detail = answer.json()["detail"]
        assert isinstance(detail, str)
        assert "\n" not in detail
        assert not any(word in detail for word in ("\ud800", "ud800", "<b>", "999", "111", "xxx", "Infinity")), detail
    assert send(content=b"\xff").status_code in (400, 422)
    assert stored(sessions) == []
    assert send(content=json_of(FITS)).status_code == 409, "it fits, and was never shown"


def json_of(values):
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


@on_sqlite
def test_a_verdict_on_what_is_not_there_is_refused(sessions):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    elsewhere = ana.judge(queue_id, {**pair, "left_id": 77})
    assert elsewhere.status_code == 404
    assert "not in queue" in elsewhere.json()["detail"]
    assert ana.judge(99, pair).status_code == ana.http.get("/queues/99/pair").status_code == 404
    assert ana.http.get("/queues/99999999999/pair").status_code == 422
    assert stored(sessions) == []


@on_sqlite
@pytest.mark.parametrize("queue", ["99", "99999999999", "0", "x"])
def test_a_person_reads_a_page_where_there_is_no_queue(sessions, queue):
    answer = Visitor(sessions).http.get(f"/queues/{queue}", headers=HTML)
    assert answer.status_code == 404
    assert "<h1>There is nothing here</h1>" in answer.text


def test_a_verdict_with_its_sides_exchanged_is_refused(sessions):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    answer = ana.judge(queue_id, {**pair, "left_id": pair["right_id"], "right_id": pair["left_id"]})
    assert answer.status_code == 409
    assert "look at it again" in answer.json()["detail"]
    assert stored(sessions) == []
    assert ana.judge(queue_id, ana.pair(queue_id)).json()["is_stored"]


def test_a_verdict_that_arrives_once_more_after_an_undo_stays_taken_back(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    ana.judge(queue_id, pair)
    again = ana.post(f"/queues/{queue_id}/undo").json()["pair"]
    assert ana.judge(queue_id, pair).status_code == 409
    assert stored(sessions) == []
    assert ana.judge(queue_id, again, "tie").json()["is_stored"]
    late = ana.judge(queue_id, pair).json()
    assert not late["is_stored"]
    assert [judgement.verdict for judgement in stored(sessions)] == ["tie"]


def test_a_verdict_on_a_pair_that_another_has_taken_over_is_refused_and_before_that_kept(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana, ben = Visitor(sessions), Visitor(sessions, "Ben")
    late = ana.pair(queue_id)
    expire_leases(sessions)
    answer = ana.judge(queue_id, late, seconds=3.0)
    assert answer.json()["is_stored"]
    lost = answer.json()["pair"]
    expire_leases(sessions)
    taken_over = ben.pair(queue_id)
    refused = ana.judge(queue_id, lost)
    assert refused.status_code == 409
    assert "look at it again" in refused.json()["detail"]
    assert ben.judge(queue_id, taken_over).json()["is_stored"]
    assert len(stored(sessions)) == 2


def expire_leases(sessions):
    with sessions.begin() as session:
        session.execute(update(labels.Lease).values(expires_at=labels.Lease.shown_at))


def test_a_verdict_on_a_pair_that_was_never_shown_to_this_person_is_refused(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    other = open_queue(sessions, "e", "f", "g", "h", name="other", prompt="who?")
    ana, ben = Visitor(sessions), Visitor(sessions, "Ben")
    pair, of_ben, elsewhere = ana.pair(queue_id), ben.pair(queue_id), ana.pair(other)
    for queue, forged, status in (
        (queue_id, of_ben, 409),
        (queue_id, {**of_ben, "shown_at": pair["shown_at"]}, 409),
        (queue_id, {**pair, "shown_at": "2026-01-01T00:00:00Z"}, 409),
        (queue_id, {**pair, "shown_at": "2126-01-01T00:00:00Z"}, 409),
        (queue_id, elsewhere, 404),
        (other, pair, 404),
    ):
        assert ana.judge(queue, forged).status_code == status, forged
    assert stored(sessions) == []
    assert ana.judge(queue_id, pair).json()["is_stored"]


def test_what_a_browser_keeps_is_marked_by_the_queue_its_database_and_the_secret(sessions):
    queues = [open_queue(sessions, "a", "b"), open_queue(sessions, "c", "d", name="other", prompt="who?")]
    ana = Visitor(sessions)
    marks = [mark_of(ana.http, queue_id) for queue_id in queues]
    assert mark_of(ana.http, queues[0]) == marks[0] != marks[1]
    elsewhere = TestClient(create_app(sessions, secret=SECRET + b"x", lease_s=600))
    elsewhere.get("/sign-in", params={"token": sign_in_token(sessions, "Ana", SECRET + b"x")})
    assert mark_of(elsewhere, queues[0]) not in marks
    with sessions.begin() as session:
        session.execute(update(labels.Queue).values(created_at=labels.utc_now()))
    assert mark_of(ana.http, queues[0]) not in marks


def mark_of(http, queue_id):
    page = http.get(f"/queues/{queue_id}").text
    return page.partition('data-mark="')[2].partition('"')[0]
