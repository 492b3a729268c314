"""The benchmark of the lead's pages, on a few pairs: every page answers, alone and to people at once."""

from __future__ import annotations

from bench import pairs_page


def test_every_page_is_measured_alone_and_for_people_at_once(database_url, monkeypatch):
    monkeypatch.setattr(pairs_page, "REPEATS", 1)
    monkeypatch.setattr(pairs_page, "LOOKED_AT_S", 0.01)
    monkeypatch.setattr(pairs_page, "PAGES_A_PERSON", 5)
    monkeypatch.setattr(pairs_page, "FILTERS", {"a run": "run=1", "two words": "q=w1+w3"})
    figures = pairs_page.measure(database_url, 60, 2)
    assert set(pairs_page.PAGES) < set(figures["page_ms"])
    assert set(figures["pairs_ms"]) == {"a run", "two words", "a deep page"}
    assert figures["slowest_page_ms"] == max(times["most"] for times in figures["page_ms"].values()) > 0
    for name in ("at_once", "at_once_looking"):
        assert figures[name]["requests"] == 10 and figures[name]["errors"] == []
