"""Uploads and exports: whole or not there, in their own folder alone."""

from __future__ import annotations

import pytest
from page_visitor import HERE, HTML, Visitor
from planted_service import PlantedService
from surroundings import on_sqlite

import web.workbench.files

pytestmark = on_sqlite
FILE = HERE | {"content-type": "application/octet-stream"}


@pytest.fixture
def lea(sessions, tmp_path):
    return Visitor(sessions, "Lea", is_lead=True, service=PlantedService(), artifacts=tmp_path / "artifacts")


def upload(visitor, name, content, **headers):
    return visitor.http.post("/uploads", params={"name": name}, content=content, headers=FILE | headers)


def test_an_upload_is_kept_as_it_came_and_the_form_of_imports_offers_it(lea, tmp_path):
    content = bytes(range(256)) * 4_000
    answer = upload(lea, "my questions (2).jsonl", content)
    path = tmp_path / "artifacts" / "uploads" / "my questions (2).jsonl"
    assert answer.json() == {"path": str(path), "name": path.name}
    assert path.read_bytes() == content
    assert f'<option value="{path}">' in lea.http.get("/start/import", headers=HTML).text
    upload(lea, path.name, b"other")
    assert path.read_bytes() == b"other" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["..", ".hidden", "", "a\nb.jsonl", "x" * 201, "/", "a/.b"])
def test_a_name_that_is_none_is_refused(lea, name, tmp_path):
    assert upload(lea, name, b"{}").status_code == 400
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("name", ["../../a.jsonl", "C:\\Users\\a.jsonl", "/etc/a.jsonl"])
def test_folders_of_a_name_are_left_out(lea, name, tmp_path):
    assert upload(lea, name, b"{}").json()["path"] == str(tmp_path / "artifacts" / "uploads" / "a.jsonl")


def test_what_is_empty_or_too_large_leaves_nothing(lea, tmp_path, monkeypatch):
    monkeypatch.setattr(web.workbench.files, "MAX_UPLOAD_BYTES", 1_000)
    assert upload(lea, "a.jsonl", b"").status_code == 400
    assert upload(lea, "a.jsonl", b"x" * 1_001).status_code == 413
    assert list((tmp_path / "artifacts" / "uploads").iterdir()) == []


def test_a_file_is_taken_from_the_page_itself_alone_and_as_a_file(lea):
    assert upload(lea, "a.jsonl", b"{}", **{"sec-fetch-site": "cross-site"}).status_code == 403
    for other in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        assert upload(lea, "a.jsonl", b"{}", **{"content-type": other}).status_code == 415


@pytest.mark.parametrize("ending", ["jsonl", "zip"])
def test_an_export_is_handed_out_and_nothing_beside_it(lea, tmp_path, ending):
    folder = tmp_path / "artifacts" / "exports"
    folder.mkdir(parents=True)
    (folder / f"mine.conversational.{ending}").write_text("rows")
    (folder.parent / "page-secret").write_text("secret")
    (folder / "link").symlink_to(folder.parent / "page-secret")
    answer = lea.http.get(f"/exports/mine.conversational.{ending}")
    assert answer.text == "rows" and "attachment" in answer.headers["content-disposition"]
    assert f'href="/exports/mine.conversational.{ending}"' in lea.http.get("/start/export", headers=HTML).text
    for name in ("link", "..%2Fpage-secret", "%2e%2e%2fpage-secret", "none"):
        assert lea.http.get(f"/exports/{name}").status_code in (400, 404)
