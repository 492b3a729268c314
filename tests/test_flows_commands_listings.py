"""The commands sources and snapshots, as a user calls them."""

from __future__ import annotations

import json
import sys

import pytest
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
    ):
        status, out, _ = run(name)
        assert status == 0 and f"Next: {advice}" in out
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
