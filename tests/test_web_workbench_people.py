"""The lead's page of people: links given and taken back, leads made."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from page_visitor import HERE, HTML, Visitor, open_queue
from surroundings import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def lea(sessions):
    return Visitor(sessions, "Lea", is_lead=True, link_days=7)


def post(visitor, path, **body):
    return visitor.http.post(f"/people/{path}", json=body, headers=HERE)


def guest(lea, link):
    """A browser that has opened a link."""
    browser = TestClient(lea.http.app)
    browser.get(link.replace("http://testserver", ""))
    return browser


def test_a_link_lets_its_person_label_until_it_is_replaced_or_taken_back(lea, sessions):
    open_queue(sessions)
    given = post(lea, "link", name="  Ana \t Lia ").json()
    assert given["name"] == "Ana Lia" and given["link"].startswith("http://testserver/sign-in?token=")
    ana = guest(lea, given["link"])
    assert ana.get("/queues/1", headers=HTML).status_code == 200
    assert "works until" in lea.http.get("/people", headers=HTML).text
    again = post(lea, "link", name="Ana Lia").json()["link"]
    assert again != given["link"] and ana.get("/queues/1").status_code == 401
    ana = guest(lea, again)
    assert post(lea, "revoke", name="Ana Lia").json()["next"] == "/people"
    assert ana.get("/queues/1").status_code == 401
    assert "taken back" in lea.http.get("/people", headers=HTML).text


def test_a_lead_is_made_and_unmade(lea):
    ana = guest(lea, post(lea, "link", name="Ana").json()["link"])
    assert ana.get("/people").status_code == 403
    assert post(lea, "lead", name="Ana", is_lead=True).status_code == 200
    assert ana.get("/people").status_code == 200
    assert post(lea, "lead", name="Ana", is_lead=False).status_code == 200
    assert ana.get("/people").status_code == 403


@pytest.mark.parametrize("path, more", [("link", {}), ("revoke", {}), ("lead", {"is_lead": False})])
def test_no_lead_can_lock_themselves_out(lea, path, more):
    assert post(lea, path, name="Lea", **more).status_code == 409
    assert lea.http.get("/people").status_code == 200


def test_what_is_no_name_or_nobodys_is_told(lea):
    assert "1 to 100 characters" in post(lea, "link", name="  ").json()["detail"]
    assert "nobody called 'Bo'" in post(lea, "revoke", name="Bo").json()["detail"]
    assert post(lea, "lead", name="Bo", is_lead="yes").status_code == 422


def test_a_name_is_shown_as_text(lea):
    post(lea, "link", name="<script>alert(1)</script>")
    page = lea.http.get("/people", headers=HTML).text
    assert "<script>alert" not in page and "&lt;script&gt;" in page
