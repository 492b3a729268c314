"""The commands that list, compare and show records, with texts and names that try to take the terminal over."""

from __future__ import annotations

import json
import sys

import pytest
from curation_steps import configured, curate
from hostile_texts import HOSTILE, RAW_CONTROL
from labelling_steps import pair_keys
from sqlalchemy import text
from surroundings import on_sqlite

from db.labels import judgements, preferences
from flows.__main__ import main
from models.labelling.records import AnnotatorIdentity, Judgement

WORDS = "".join(HOSTILE)


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["antipode", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capsys.readouterr()
        for stream in (out, err):
            assert not RAW_CONTROL.search(stream) and "\r" not in stream and "Traceback" not in stream, stream
        return status, out

    return run


@pytest.fixture
def stored(settings, sessions, tmp_path, run):
    """A folder imported as a source, a run, labels of two hostile people who contradict each other."""
    rows = [{"prompt": f"{words} {at}", "responses": [f"{words} a", f"b {words}"]} for at, words in enumerate(HOSTILE)]
    folder = tmp_path / "folder\u202eright"
    folder.mkdir()
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "train\u202e.jsonl").write_text(lines)
    (folder / "note\x1b[31m.md").write_text("x")
    assert "not read" in run("import", str(folder))[1]
    curate(configured(generate={"when": "never"}, select={"strategies": ("random",)}))
    with sessions.begin() as session:
        for number, verdicts in enumerate((("first", "first"), ("second", "first"))):
            id_ = judgements.add_annotator(session, AnnotatorIdentity("person", f"{WORDS} {number}"))
            keys = pair_keys(sessions, 1)
            said = [Judgement(key, key[0], verdict) for key, verdict in zip(keys, verdicts, strict=False)]
            judgements.add_judgements(session, id_, said)
            preferences.recompute(session, keys)
    return tmp_path


@on_sqlite
def test_lists_records_and_comparisons_escape_what_they_show(sessions, stored, run):
    assert run("quality", "--queue", "second look")[0] == 0
    assert run("export", str(stored / "out.jsonl"))[0] == 0
    with sessions.begin() as session:
        for table in ("sources", "queues"):
            session.execute(text(f"UPDATE {table} SET name = :name"), {"name": f"name {WORDS}"})
    for name in ("sources", "queue", "snapshots"):
        for format in ("table", "json"):
            status, out = run(name, "--format", format)
            assert status == 0 and (name == "snapshots" or "\\u001b]0;owned\\u0007" in out)
    assert run("sources", "nowhere")[0] == run("snapshots", "nowhere")[0] == 1
    status, out = run("sql", "SELECT text, text AS '\u202e' FROM prompts", "--format", "record")
    assert status == 0 and "left\\u202eright" in out
    status, out = run("calibrate", "--annotator", "gold", "--against", f"{WORDS} 1")
    assert status == 2, "an argument holds no control character"
    status, out = run("calibrate", "--annotator", "gold")
    assert status == 0 and "beside people" in out
    assert run("calibrate", "--annotator", "gold", "--against", "nobody")[0] == 1
    assert run("calibrate", "--annotator", "gold", "--format", "json")[0] == 0
