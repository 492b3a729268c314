"""The commands sources and snapshots, as a user calls them."""

from __future__ import annotations

import json
import sys

import pytest
from overviewed import compared
from queued_pairs import judged, open_queue, person, store_pairs
from surroundings import on_sqlite

from flows.__main__ import main


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["antipode", *arguments])
        try:
            main()
        except SystemExit as stop:
            return stop.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


@on_sqlite
def test_where_nothing_is_stored_each_says_what_makes_some(settings, sessions, run):
    for name, advice in (
        ("sources", "antipode import FILE"),
        ("snapshots", "antipode export"),
        ("people", "antipode web --annotators NAME"),
        ("runs", None),
        ("policies", None),
    ):
        status, out, _ = run(name)
        assert status == 0 and (advice is None or f"Next: {advice}" in out)
        assert json.loads(run(name, "--format", "json")[1]) == []


@on_sqlite
def test_a_source_tells_of_its_rows_and_of_what_was_refused(settings, sessions, run, tmp_path):
    path = tmp_path / "breads.jsonl"
    path.write_text('{"prompt": "Which bread?", "responses": ["rye", "wheat"]}\n{"prompt": 7}\n{"prompt": "Why?"}\n')
    assert run("import", str(path))[0] == 0
    (source,) = json.loads(run("sources", "breads", "--format", "json")[1])
    assert (source["name"], source["rows"], source["responses"], source["rejects"]) == ("breads", 1, 2, 2)
    assert source["near_duplicates"] is None and source["imported_at"].endswith("+00:00")
    words = run("sources")[1].split()
    assert "breads" in words and "–" in words
    assert run("sources", "bread")[2] == (
        "antipode: there is no source 'bread'; did you mean breads? see: antipode sources\n"
    )


def test_runs_and_policies_are_there_as_json_with_their_times_in_utc(settings, sessions, run):
    first, second, third = compared(sessions, None)
    lines = json.loads(run("policies", "--format", "json")[1])
    assert [line["id"] for line in lines] == [third, second, first]
    assert lines[1]["comparison"]["rate"].keys() == {"value", "low", "high"} and "prompt_ids" not in lines[1]
    assert lines[1]["is_in_use"] and lines[1]["created_at"].endswith("+00:00")
    (line,) = json.loads(run("runs", "--format", "json")[1])
    assert (line["run_id"], line["kind"]) == (1, "align") and line["started_at"].endswith("+00:00")
    assert line["started_at"][:16].replace("T", " ") in run("runs")[1]


@on_sqlite
def test_people_are_there_as_json_and_so_are_their_figures_queue_by_queue(settings, sessions, run):
    queue = open_queue(sessions, store_pairs(sessions, 2), name="breads")
    judged(sessions, queue, person(sessions, "Ana"))
    (line,) = json.loads(run("people", "--format", "json")[1])
    assert (line["name"], line["link"], line["judgement_count"], line["is_lead"]) == ("Ana", "none", 1, False)
    (of_queue,) = json.loads(run("people", "--details", "--format", "json")[1])
    assert (of_queue["name"], of_queue["people"][0]["name"]) == ("breads", "Ana")
    refused = run("people", "--renew", "Ana", "--format", "json")
    assert refused[0] and "--format is of the list" in refused[2]
