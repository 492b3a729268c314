"""The documentation at the page: for who is signed in, under rules of its own, and not there where it was not built."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from page_visitor import HTML, SECRET, Visitor
from surroundings import on_sqlite

from web.app import create_app
from web.documents import built_documents


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "site"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Antipode</h1>")
    (folder / "assets" / "site.css").write_text("p {}")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@on_sqlite
@pytest.mark.parametrize("is_lead", [True, False])
def test_whoever_is_signed_in_reads_it(sessions, documents, is_lead):
    visitor = Visitor(sessions, is_lead=is_lead, documents=documents)
    for address in ("/docs/", "/docs/index.html"):
        page = visitor.http.get(address)
        assert (page.status_code, page.text) == (200, "<h1>Antipode</h1>")
    assert "img-src 'self' data:" in page.headers["content-security-policy"]
    assert "'unsafe" not in page.headers["content-security-policy"]
    assert visitor.http.get("/docs/assets/site.css").headers["content-type"].startswith("text/css")


@on_sqlite
def test_a_stranger_reads_nothing(sessions, documents):
    stranger = TestClient(create_app(sessions, secret=SECRET, lease_s=600, documents=documents))
    assert stranger.get("/docs/index.html").status_code == 401


@on_sqlite
@pytest.mark.parametrize(
    "path", ["../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "assets/../../secret.txt", "no.html"]
)
def test_nothing_beside_it_is_served(sessions, documents, path):
    visitor = Visitor(sessions, documents=documents)
    answer = visitor.http.get(f"/docs/{path}")
    assert answer.status_code == 404 and "secret" not in answer.text


@on_sqlite
def test_the_workbench_links_to_it_where_it_was_built(sessions, documents):
    for folder, is_linked in ((documents, True), (None, False)):
        lead = Visitor(sessions, is_lead=True, documents=folder)
        assert ('href="/docs/"' in lead.http.get("/sources", headers=HTML).text) is is_linked
    missing = lead.http.get("/docs/", headers=HTML)
    assert missing.status_code == 404


def test_a_site_counts_as_built_once_it_has_a_first_page(tmp_path, monkeypatch):
    monkeypatch.setattr("web.documents.__file__", str(tmp_path / "documents.py"))
    assert built_documents() is None
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("")
    assert built_documents() == tmp_path / "site"
