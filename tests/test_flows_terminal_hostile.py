"""Every command that shows what is stored, with prompts, names and rationales that try to take the terminal over."""

from __future__ import annotations

import io
import json
import sys

import pytest
from batch_server import BatchApi
from chat_server import completion, refusal, serving
from curation_steps import configured, curate
from hostile_texts import HOSTILE, RAW_CONTROL
from judged_pairs import prefers
from labelling_steps import curate_breads, judge_config, label
from sqlalchemy import text
from surroundings import on_sqlite

from flows.__main__ import main
from flows.terminal.failures import error_line, fail
from flows.terminal.labelling.labels import show_labels
from flows.terminal.table_files import TableRows, write_table
from models.judging.errors import JudgeServerError


def run(capsys, monkeypatch, *arguments):
    """The command line in this process; its exit status, and what it printed."""
    monkeypatch.setattr(sys, "argv", ["antipode", *arguments])
    status = 0
    try:
        main()
    except SystemExit as stop:
        status = stop.code or 0
    return status, *capsys.readouterr()


@pytest.fixture
def store(tmp_path):
    """Store a run with pairs of hostile texts, and labels of hostile annotators; what was said on the way."""
    rows = [
        {"prompt": f"{words} prompt {number}", "responses": [f"{words} one {number}", f"two {words}", "\x1b[31m three"]}
        for number, words in enumerate(HOSTILE)
    ]
    rejected = [{"prompt": "\x1b]0;owned\x07", "responses": "\x1b]0;owned\x07"}, {"\x1b[2J": 1}]
    path = tmp_path / "left\u202eright.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows + rejected))
    labels = [
        {"pair_id": pair_id, "verdict": "first", "annotator": f"\x1b[31manna {number}", "rationale": HOSTILE[0]}
        for number in (1, 2)
        for pair_id in range(1, len(HOSTILE) + 1)
    ]
    labels.append({"pair_id": 1, "verdict": "\x1b[2J", "annotator": "ben"})
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return path, tmp_path / "labels.json"


@on_sqlite
def test_no_command_lets_a_control_character_through(settings, sessions, store, tmp_path, capsys, monkeypatch):
    rows, labels = store
    said = [run(capsys, monkeypatch, "import", str(rows))]
    curate(configured(generate={"when": "never"}, select={"strategies": ("easy",)}, name="run [/]"))
    with sessions.begin() as session:
        session.execute(text("UPDATE runs SET name = 'run \u202e[/]'"))
    said += [run(capsys, monkeypatch, "import-labels", str(labels))]
    said += [run(capsys, monkeypatch, name) for name in ("runs", "pairs", "quality", "report", "policies")]
    statement = "SELECT text, text AS '\x09a', '\u202e' FROM prompts"
    told = [
        *said,
        run(capsys, monkeypatch, "similar", "1"),
        run(capsys, monkeypatch, "quality", "--json"),
        run(capsys, monkeypatch, "sql", statement),
        run(capsys, monkeypatch, "sql", "SELECT * FROM nowhere\u202e"),
        run(capsys, monkeypatch, "export", str(tmp_path / "out\u202e.jsonl")),
        run(capsys, monkeypatch, "import", "left\u202enowhere.jsonl"),
        run(capsys, monkeypatch, "import", str(rows), "--name", "left\u202eright"),
        run(capsys, monkeypatch, "curate", "--nothing\u2066"),
        run(capsys, monkeypatch, "runs\u202e"),
        run(capsys, monkeypatch, "runs", "left\u202eright.jsonl"),
        run(capsys, monkeypatch, "import", str(rows), "--map", "\u202e=prompt"),
        run(capsys, monkeypatch, "import", str(rows), "--preview"),
        run(capsys, monkeypatch, "import", str(rows), "--name", "other", "--ignore_columns", "note\u202e"),
        run(capsys, monkeypatch, "people", "--renew", "\u202ebob"),
        run(capsys, monkeypatch, "policies", "--nothing"),
    ]
    for status, *streams in told:
        for stream in streams:
            assert not RAW_CONTROL.search(stream) and "\r" not in stream, stream
            assert "Traceback" not in stream and status in (0, 1, 2), stream
    assert [status for status, *_ in said] == [0] * len(said), said
    assert "\\u001b]0;owned\\u0007 prompt 0" in said[3][1] and "run \\u202e[/]" in said[2][1]


def test_a_table_that_is_piped_is_faithful_and_one_on_a_terminal_escaped(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return self.is_terminal

    for format in ("csv", "jsonl"):
        for is_terminal in (True, False):
            terminal = Terminal()
            terminal.is_terminal = is_terminal
            monkeypatch.setattr(sys, "stdout", terminal)
            write_table(TableRows(("text",), iter([(words,) for words in HOSTILE])), format, None)
            told = terminal.getvalue()
            assert bool(RAW_CONTROL.search(told)) is not is_terminal
            if format == "jsonl":
                assert [json.loads(line)["text"] for line in told.split("\n")[:-1]] == list(HOSTILE)


@pytest.mark.parametrize("mode", ["live", "batch"])
@on_sqlite
def test_what_a_judge_and_its_server_say_is_escaped(settings, sessions, capsys, monkeypatch, mode):
    words = "".join(HOSTILE)
    with serving(BatchApi()) as server:
        curate_breads(sessions)
        config = judge_config(server, model=f"tiny {words}", mode=mode, batch_poll_s=0.01, has_rationale=True)
        for reply in (completion(words), completion(words, "length"), completion(f"{words}\nVerdict: m")):
            server.reply = lambda *_, reply=reply: reply
            config["judge"]["seed"] = config["judge"].get("seed", 0) + 1
            show_labels(label(**config), settings)
        config["judge"]["seed"] += 1
        server.reply = lambda body, number: (
            refusal(400, words) if "bread 1" in str(body["messages"]) else prefers(body, number)
        )
        show_labels(label(**config), settings)
        for status in (400, 401, 429, 500):
            server.reply = lambda *_, status=status: refusal(status, words)
            config["judge"]["seed"] += 1
            with pytest.raises(JudgeServerError) as caught:
                label(**config)
            fail(error_line(caught.value), status=1)
    told = "".join(capsys.readouterr())
    told += "".join(
        "".join(streams) for _, *streams in [run(capsys, monkeypatch, name) for name in ("quality", "runs")]
    )
    assert not RAW_CONTROL.search(told) and "\r" not in told
    assert "replies of the judge have no verdict" in told and "owned" in told and "pairs are skipped" in told
