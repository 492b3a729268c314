"""Who gets what: every page and action of the application, for everybody who may come."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from page_visitor import HERE, HTML, SECRET, Visitor, open_queue
from sqlalchemy import update
from starlette.routing import Mount
from stored_labels import stored
from surroundings import on_sqlite

from db.labels import sign_ins
from db.labels.judgements import find_person
from db.schema.labels import SignIn
from web.app import create_app
from web.people import new_token, set_lead, sign_out

OPEN_TO_ALL = {("GET", "/health"), ("GET", "/ready"), ("GET", "/sign-in"), ("GET", "/static")}
ASKS_FOR_A_TOKEN = {("GET", "/metrics")}
ASK_WHO = {
    ("GET", "/docs/{path:path}"),
    ("GET", "/"),
    ("GET", "/queues/{queue_id}"),
    ("GET", "/queues/{queue_id}/guidelines"),
    ("GET", "/queues/{queue_id}/pair"),
    ("GET", "/queues/{queue_id}/texts"),
    ("POST", "/queues/{queue_id}/edits"),
    ("POST", "/queues/{queue_id}/pause"),
    ("POST", "/queues/{queue_id}/verdicts"),
    ("POST", "/queues/{queue_id}/undo"),
}
FOR_LEADS = {
    ("GET", address)
    for address in (
        "/sources",
        "/sources/{item_id}",
        "/runs",
        "/runs/compare",
        "/runs/compare.svg",
        "/runs/{item_id}",
        "/runs/{item_id}/similarities.svg",
        "/snapshots",
        "/snapshots/{item_id}",
        "/snapshots/{item_id}/card",
        "/snapshots/{item_id}/preferences.jsonl",
        "/policies",
        "/policies/compare",
        "/policies/compare.svg",
        "/policies/{item_id}",
        "/policies/{item_id}/curves.svg",
        "/reports/{kind}-{number}.html",
        "/events",
        "/start/{what}",
        "/exports/{name}",
        "/pairs",
        "/pairs/{first}-{second}",
        "/pairs/file",
        "/queues",
        "/queues/{queue_id}/settings",
        "/people",
    )
} | {
    ("POST", address)
    for address in (
        "/start/{what}",
        "/queues/{queue_id}/settings",
        "/queues/{queue_id}/first",
        "/pairs/queue",
        "/uploads",
        "/people/link",
        "/people/revoke",
        "/people/lead",
    )
}
SHOWING = {"left_id": 1, "right_id": 2, "shown_at": "2026-01-01T00:00:00Z"}
SAID = {
    "verdicts": SHOWING | {"verdict": "tie", "seconds": 1},
    "edits": SHOWING | {"side": "left", "text": "better"},
}


def routes(app):
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", route.path
        else:
            yield from ((method, route.path) for method in route.methods - {"HEAD"})


def ask(http, method, path, queue_id, **headers):
    address = path.replace(":path", "").format(
        queue_id=queue_id,
        item_id=1,
        kind="run",
        number=1,
        what="curate",
        name="a.jsonl",
        first=1,
        second=2,
        path="index.html",
    )
    if method == "GET":
        return http.get(address, headers=HTML | headers)
    if path == "/uploads":
        of_file = {"content-type": "application/octet-stream"}
        return http.post(f"{address}?name=a.jsonl", content=b"{}", headers=HERE | of_file | headers)
    if (method, path) in FOR_LEADS:
        body = {"name": "Bo"} | ({"is_lead": True} if path.endswith("lead") else {})
    else:
        body = {"person": "Ana"} | SAID.get(path.rpartition("/")[2], {})
    return http.post(address, json=body, headers=HERE | headers)


def stranger(sessions):
    return TestClient(create_app(sessions, secret=SECRET, lease_s=600))


def revoked(sessions):
    ana = Visitor(sessions)
    with sessions.begin() as session:
        sign_ins.revoke(session, find_person(session, "Ana"))
    return ana.http


def expired(sessions):
    ana = Visitor(sessions)
    with sessions.begin() as session:
        session.execute(update(SignIn).values(expires_at=datetime.now(UTC)))
    return ana.http


def with_a_forged_cookie(sessions):
    http = stranger(sessions)
    http.cookies["antipode"] = f"{'0' * 64}.{'0' * 64}"
    return http


@on_sqlite
def test_every_route_is_open_to_all_or_asks_who_comes(sessions):
    assert set(routes(stranger(sessions).app)) == OPEN_TO_ALL | ASKS_FOR_A_TOKEN | ASK_WHO | FOR_LEADS


@on_sqlite
@pytest.mark.parametrize("visitor", [stranger, revoked, expired, with_a_forged_cookie])
@pytest.mark.parametrize("method, path", sorted(ASK_WHO | FOR_LEADS))
def test_who_is_not_signed_in_gets_nothing(sessions, visitor, method, path):
    queue_id = open_queue(sessions, "a secret text", "another secret text")
    http = visitor(sessions)
    answer = ask(http, method, path, queue_id)
    assert answer.status_code == 401
    assert "secret" not in answer.text
    assert "a queue" not in answer.text
    assert stored(sessions) == []


@on_sqlite
@pytest.mark.parametrize("method, path", sorted(route for route in ASK_WHO | FOR_LEADS if route[0] == "POST"))
def test_no_change_is_taken_from_another_site_whoever_is_signed_in(sessions, method, path):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions, is_lead=True)
    ana.pair(queue_id)
    for site in ("cross-site", "same-site", "none"):
        assert ask(ana.http, method, path, queue_id, **{"sec-fetch-site": site}).status_code == 403
    assert stored(sessions) == []


@on_sqlite
@pytest.mark.parametrize("method, path", sorted(FOR_LEADS))
def test_who_only_labels_gets_nothing_that_is_for_leads(sessions, method, path):
    queue_id = open_queue(sessions, "a secret text", "another secret text")
    answer = ask(Visitor(sessions, "Ana").http, method, path, queue_id)
    assert answer.status_code == 403
    assert "secret" not in answer.text and "a queue" not in answer.text and "a.jsonl" not in answer.text
    with sessions() as session:
        assert find_person(session, "Bo") is None


@on_sqlite
@pytest.mark.parametrize("method, path", sorted(FOR_LEADS - {("GET", "/events")}))
def test_a_lead_is_let_in_everywhere(sessions, method, path, tmp_path):
    lea = Visitor(sessions, "Lea", is_lead=True, artifacts=tmp_path)
    assert ask(lea.http, method, path, 1).status_code not in (401, 403)


@on_sqlite
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_no_other_method_does_anything(sessions, method):
    ana = Visitor(sessions)
    queue_id = open_queue(sessions)
    for path in ("/", f"/queues/{queue_id}", f"/queues/{queue_id}/verdicts", "/sign-in"):
        assert ana.http.request(method, path, headers=HERE).status_code in (405, 413, 415)


@on_sqlite
def test_a_person_of_one_queue_may_label_in_every_other(sessions):
    first, second = open_queue(sessions, "a", "b"), open_queue(sessions, "c", "d", name="other", prompt="who?")
    ana = Visitor(sessions)
    assert [ana.judge(queue, ana.pair(queue)).json()["is_stored"] for queue in (first, second)] == [True, True]


@on_sqlite
def test_a_lead_sees_the_workbench_and_a_labeller_the_queues(sessions):
    open_queue(sessions, "a", "b"), open_queue(sessions, "c", "d", name="other", prompt="who?")
    assert "The loop" in Visitor(sessions, "Lea", is_lead=True).http.get("/", headers=HTML).text
    assert "Choose a queue" in Visitor(sessions, "Ana").http.get("/", headers=HTML).text


@on_sqlite
def test_a_new_link_keeps_who_leads_and_taking_it_back_ends_it(sessions):
    lea = Visitor(sessions, "Lea", is_lead=True)
    new_token(sessions, SECRET, "Lea", days=1)
    assert lea.http.get("/", headers=HTML).status_code == 401, "the old link's cookie ends"
    with sessions() as session:
        assert sign_ins.of_annotator(session, find_person(session, "Lea")).is_lead
    set_lead(sessions, "Lea", is_lead=False)
    assert "The loop" not in Visitor(sessions, "Lea").http.get("/", headers=HTML).text
    set_lead(sessions, "Lea", is_lead=True)
    sign_out(sessions, "Lea")
    new_token(sessions, SECRET, "Lea", days=1)
    with sessions() as session:
        assert not sign_ins.of_annotator(session, find_person(session, "Lea")).is_lead, (
            "who was signed out leads no more"
        )
    with pytest.raises(LookupError, match="nobody called 'Bo' was given a link; there are: 'Lea'"):
        set_lead(sessions, "Bo", is_lead=True)
