"""The lead's first page: what it shows, how it follows, what a server's stop does to those who follow."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from page_site import Site, wait_for
from page_visitor import HERE, HTML, Visitor, open_queue
from planted_service import PlantedService
from surroundings import on_sqlite

from web.people import set_lead


@pytest.fixture
def site(sessions):
    site = Site(sessions)
    yield site
    site.stop()


def lead_at(site):
    """A lead's browser at a real server."""
    browser = httpx.Client(base_url=site.address, timeout=20)
    assert browser.get(site.link("Lea")).status_code == 200
    set_lead(site.sessions, "Lea", is_lead=True)
    return browser


def shows(lines, words):
    """Whether an event puts these words on the page, sooner or later."""
    return any(words in json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


@on_sqlite
def test_without_prefect_nothing_can_be_started_and_the_page_says_what_to_type(sessions):
    page = Visitor(sessions, "Lea", is_lead=True).http.get("/", headers=HTML).text
    assert "antipode up" in page and "/start/" not in page


@on_sqlite
def test_with_prefect_every_place_has_its_button(sessions):
    page = Visitor(sessions, "Lea", is_lead=True, service=PlantedService()).http.get("/", headers=HTML).text
    for what in ("import", "curate", "queue", "label", "export", "align", "evaluate", "ld_align", "promote"):
        assert f'href="/start/{what}"' in page


@on_sqlite
def test_what_was_started_is_shown_with_its_state_and_a_silent_server_is_told(sessions):
    service = PlantedService()
    lea = Visitor(sessions, "Lea", is_lead=True, service=service)
    answer = lea.http.post("/start/curate", json={"name": "mine"}, headers=HERE)
    assert answer.json()["next"] == "/"
    watch = lea.http.app.state.site.watch

    def page():
        watch.forget()
        return lea.http.get("/", headers=HTML).text

    wait_for(lambda: "curate mine" in page())
    assert "At work: curate mine" in page()
    service.trouble = "Prefect is away"
    wait_for(lambda: "Prefect is away" in page())
    assert "curate mine" in page(), "what was known stays"


@on_sqlite
def test_a_change_is_shown_to_all_who_follow_by_one_reading(sessions, site):
    reads = []
    watch = site.app.state.site.watch
    read = watch._read
    watch._read = lambda: (reads.append(1), read())[1]
    lea = lead_at(site)
    with lea.stream("GET", "/events") as one, lea.stream("GET", "/events") as other:
        assert one.headers["content-type"].startswith("text/event-stream")
        followed = [one.iter_lines(), other.iter_lines()]
        assert all(shows(lines, "There are no prompts yet") for lines in followed)
        began, before = time.monotonic(), len(reads)
        open_queue(sessions, "a", "b", name="breads")
        assert all(shows(lines, "1 of 1 pairs of “breads”") for lines in followed)
        assert len(reads) - before <= 1 + (time.monotonic() - began) / 2
        # Neither holds one of the four threads that answer requests.
        assert lea.get("/health").status_code == 200
        assert watch.follower_count == 2
    wait_for(lambda: watch.follower_count == 0)


@on_sqlite
def test_a_stop_of_the_server_ends_it_at_once_and_a_reconnection_goes_on(sessions, site):
    lea = lead_at(site)
    with lea.stream("GET", "/events") as followed:
        lines = followed.iter_lines()
        assert shows(lines, "no prompts")
        began = time.monotonic()
        site.stop()
        assert time.monotonic() - began < 3
        assert not [line for line in lines if line.startswith("data")]
    open_queue(sessions, "a", "b", name="meanwhile")
    site.start()
    with lea.stream("GET", "/events") as again:
        assert shows(again.iter_lines(), "meanwhile")


@on_sqlite
def test_a_connection_ends_after_minutes_so_that_a_lead_of_before_sees_no_more(sessions, site, monkeypatch):
    monkeypatch.setattr("web.workbench.home.LONGEST_S", 1.0)
    lea = lead_at(site)
    assert "data: " in lea.get("/events").text
    set_lead(sessions, "Lea", is_lead=False)
    assert lea.get("/events").status_code == 403
