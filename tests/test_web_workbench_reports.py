"""Report pages as they are served: whole, to who leads alone, and unable to run or to reach anything."""

from __future__ import annotations

import pytest
from page_browser import visits
from page_site import Site
from page_visitor import HTML, Visitor
from real_browser import chromium
from report_pages import report
from surroundings import on_sqlite

from models.files import report_file
from models.report import render_report
from web.people import set_lead

pytestmark = on_sqlite


def write(folder, kind="run", number=1, text="<!doctype html><p>the report"):
    path = report_file(folder, kind, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def get(sessions, address, folder):
    return Visitor(sessions, "Lea", is_lead=True, artifacts=folder).http.get(address, headers=HTML)


@pytest.mark.parametrize("kind", ["run", "policy", "study"])
def test_a_report_is_served_as_it_was_written(sessions, tmp_path, kind):
    path = write(tmp_path, kind, 12)
    answer = get(sessions, f"/reports/{kind}-12.html", tmp_path)
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    assert answer.headers["content-type"].startswith("text/html")


def test_a_report_may_bring_its_style_and_nothing_else(sessions, tmp_path):
    write(tmp_path)
    headers = get(sessions, "/reports/run-1.html", tmp_path).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "style-src 'unsafe-inline'", "frame-ancestors 'none'", "sandbox"} <= set(policy)
    assert not any(part.startswith(("script-src", "connect-src", "img-src")) for part in policy)
    assert headers["cache-control"] == "no-store"
    assert "unsafe-inline" not in get(sessions, "/runs", tmp_path).headers["content-security-policy"]


@pytest.mark.parametrize(
    "kind, command", [("run", "report --run 3"), ("policy", "report --policy 3"), ("study", "report --run 3")]
)
def test_a_report_that_is_gone_says_how_it_is_made_again(sessions, tmp_path, kind, command):
    for folder in (tmp_path, None):
        answer = get(sessions, f"/reports/{kind}-3.html", folder)
        assert answer.status_code == 404
        assert f"antipode {command}" in answer.text


@pytest.mark.parametrize(
    "name",
    ["run-0.html", "run-x.html", "other-1.html", "run-1.md", "..%2Fsecret.html", "run-..%2f..%2fsecret-1.html",
     "run-1%00.html", "run-99999999999.html", "%2e%2e/page-secret"],
)  # fmt: skip
def test_no_other_file_is_served(sessions, tmp_path, name):
    write(tmp_path)
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "page-secret").write_text("secret")
    answer = get(sessions, f"/reports/{name}", tmp_path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_link_is_not_followed_nor_a_folder_that_is_one(sessions, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "run-1.html").write_text("secret")
    linked, behind = tmp_path / "linked", tmp_path / "behind"
    (linked / "reports").mkdir(parents=True)
    (linked / "reports" / "run-1.html").symlink_to(outside / "run-1.html")
    behind.mkdir()
    (behind / "reports").symlink_to(outside)
    for folder in (linked, behind):
        assert get(sessions, "/reports/run-1.html", folder).status_code == 404
    root = tmp_path / "root"  # the folder of artifacts itself may be one, onto a larger disk
    write(outside)
    root.symlink_to(outside)
    assert get(sessions, "/reports/run-1.html", root).status_code == 200


@pytest.mark.browser
def test_in_a_browser_a_report_looks_as_it_was_written_and_runs_nothing(sessions, tmp_path):
    evil = "<script>document.title = 'taken'</script><p id=was style='color: rgb(1, 2, 3)'>was</p></body>"
    write(tmp_path, text=render_report(report()).replace("</body>", evil))
    site = Site(sessions, artifacts=tmp_path)
    try:
        with chromium() as browser, visits(browser, site) as open_page:
            site.link("Lea")
            set_lead(sessions, "Lea", is_lead=True)
            shown = open_page("Lea")
            shown.goto(f"{site.address}/reports/run-1.html")
            assert shown.title() != "taken"
            colour = "getComputedStyle(document.querySelector('#was')).color"
            assert shown.evaluate(colour) == "rgb(1, 2, 3)", "its own style holds"
            assert shown.evaluate("origin") == "null", "it is not the page's origin, and sees none of its cookies"
            family = "getComputedStyle(document.body).fontFamily"
            assert "system-ui" in shown.evaluate(family), "its own sheet holds"
    finally:
        site.stop()
