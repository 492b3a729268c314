"""`antipode import --preview`: what would be read, stored and refused, harmless and within the terminal's width."""

from __future__ import annotations

import json

import pytest
from hostile_texts import HOSTILE, RAW_CONTROL
from labelling_steps import write_lines

from flows.terminal.imports import show_import, show_preview
from tasks.config.exchange import ImportConfig
from tasks.curation.ingestion import import_source, preview_source


@pytest.fixture
def shown(tmp_path, capsys, monkeypatch):
    """What a preview of these rows prints."""
    monkeypatch.setenv("COLUMNS", "80")

    def show(*rows, **config):
        path = tmp_path / "rows.jsonl"
        write_lines(path, rows)
        show_preview(preview_source(str(path), ImportConfig(**config)))
        assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"], "nothing is stored, nowhere"
        return capsys.readouterr().out

    return show


def test_a_preview_shows_columns_rows_and_verdicts(shown):
    row = {"prompt": "Hi", "response_0": "a", "response_1": "b", "better_response_id": 0, "safer_response_id": 1}
    out = shown({"id": 1, "system": "Be short."} | row)
    assert "rows.jsonl: would be read as comparison; nothing is stored" in out
    assert "  columns: system → system message, prompt → prompt, response_0 → response" in out
    assert "  not read: id\n" in out
    assert (
        "row 1\n  system: Be short.\n  user: Hi\n  response 1: a\n  response 2: b\n"
        "  1 is preferred to 2 (better)\n  2 is preferred to 1 (safer)\n"
    ) in out
    assert "Of the first 1 rows 0 would be refused\n" in out


def test_a_preview_shows_five_rows_and_the_reasons_of_what_would_be_refused(shown):
    rows = [{"prompt": f"Hi {number}"} for number in range(9)] + [{"prompt": ""}] * 3 + [{"prompt": 4}]
    out = shown(*rows)
    assert out.count("\n  user: Hi ") == 5
    assert "Of the first 13 rows 4 would be refused:\n" in out
    assert "  3 (row 10 …): column 'prompt': the prompt is empty\n" in out
    assert "  1 (row 13): column 'prompt': expected text, got number 4\n" in out
    assert "Of the first 2 rows" in shown(*rows, limit=2)


def test_a_preview_says_what_would_stop_the_import_and_how_to_go_on(shown):
    row = {"prompt": "Hi", "gold": "a"}
    assert "The import would stop: " in shown(row) and "--ignore_columns gold" in shown(row)
    assert "would stop" not in shown(row, ignore_columns=("gold",))
    assert "  response 1 (reference): a\n" in shown(row, map=("response=gold",))


def test_after_an_import_of_yes_and_no_it_is_said_how_they_leave(settings, tmp_path, capsys):
    path = tmp_path / "my thumbs.jsonl"
    write_lines(path, [{"prompt": "Hi", "completion": "Yes.", "label": True}])
    show_import(import_source(str(path), ImportConfig(), settings))
    assert "--shape kto --feedback only --feedback_source 'my thumbs'\n" in capsys.readouterr().out


def test_nothing_of_the_data_moves_the_terminal_and_no_line_of_a_row_is_longer_than_it(shown):
    rows = [{"prompt": text + " x" * 200, "responses": [{"text": text, "model": "m", "score": 2}]} for text in HOSTILE]
    out = shown(*rows, {"prompt": "\x1b]0;x", json.dumps("\x1b"): "y"}, {"prompt": "Hi\x00"})
    assert not RAW_CONTROL.search(out.replace("\n", ""))
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith("  user") or line.startswith("  resp"))


def test_an_import_says_which_columns_it_read_which_not_and_what_it_changed(settings, tmp_path, capsys):
    path = tmp_path / "mine.jsonl"
    write_lines(path, [{"id": 1, "prompt": "Hi", "responses": [{"text": "a", "score": "good"}, {"text": "b"}]}])
    show_import(import_source(str(path), ImportConfig(), settings))
    out = capsys.readouterr().out
    assert "  columns: prompt → prompt, responses → responses\n  not read: id\n" in out
    assert "  a score that is no number on its scale is left out (1 ×)\n" in out


def test_a_preview_parts_a_thought_from_its_answer_as_the_import_does(shown):
    out = shown({"prompt": "Hi", "response": "<think>\nLet me see.\n</think>\n\nHello."})
    assert "  response 1 (reference): Hello.\n  its thought: Let me see.\n" in out
