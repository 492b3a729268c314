"""The lead's page of queues."""

from __future__ import annotations

from page_visitor import HTML, Visitor, open_queue
from planted_service import PlantedService
from surroundings import on_sqlite

pytestmark = on_sqlite


def test_every_queue_is_shown_with_how_far_it_is_and_the_way_to_another(sessions):
    first = open_queue(sessions, "a", "b", "c", "d", name="<b>breads")
    ana = Visitor(sessions)
    ana.judge(first, ana.pair(first))
    page = Visitor(sessions, "Lea", is_lead=True, service=PlantedService()).http.get("/queues", headers=HTML).text
    assert "&lt;b&gt;breads" in page and 'max="2" value="1"' in page and 'href="/start/queue"' in page


def test_an_empty_page_says_what_to_do(sessions):
    page = Visitor(sessions, "Lea", is_lead=True).http.get("/queues", headers=HTML).text
    assert "There is no queue yet" in page and "antipode web --run" in page and "/start/queue" not in page
