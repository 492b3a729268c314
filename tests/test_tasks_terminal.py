"""What reaches a terminal: no character of data moves, hides or colours anything, in a line, a table or a log."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hostile_texts import HOSTILE, RAW_CONTROL
from rich.table import Table
from surroundings import ROOT

from flows.terminal.tables import print_rows
from tasks.console import PlainConsole, cell
from tasks.terminal import EscapingStream, guard_logs, printable, show

SEQUENCE = "\x1b"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_as_escapes_and_json_stays_what_it_is(text: str) -> None:
    shown = printable(text)
    assert not RAW_CONTROL.search(shown) and "\r" not in shown
    assert printable(shown) == shown
    assert json.loads(printable(json.dumps({"text": text}, ensure_ascii=False))) == {"text": text}


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("Tabs\tand\nlines\r\n", "naïve 日本 🙂 👩‍👩‍👧", "می‌خواهم", "שלום", "\\x1b"):
        assert printable(text) == text


def test_a_line_is_escaped_whatever_the_streams_encoding() -> None:
    for encoding in ("utf-8", "latin-1", "ascii"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        show("a\x1b[31m “ä” \udcff", file=stream, flush=True)
        assert SEQUENCE.encode() not in raw.getvalue() and raw.getvalue().startswith(b"a\\u001b[31m ")
        EscapingStream(stream).write("\x9bx")
        stream.flush()
        assert raw.getvalue().endswith(b"\\u009bx")


def test_a_table_on_a_terminal_holds_no_sequence_but_the_consoles_own() -> None:
    output = io.StringIO()
    console = PlainConsole(file=output, force_terminal=True, width=200)
    table = Table(title="\x1b]0;t\x07")
    table.add_column("\x1b[2J", no_wrap=True)
    for text in HOSTILE:
        table.add_row(cell(text))
        table.add_row(text)
        console.print(text)
    console.print(table)
    print_rows(console, ["n", "\x1b]0;c\x07"], [["1", text] for text in HOSTILE], text_columns=2, title="\x1b]0;x\x07")
    told = output.getvalue()
    assert "\x1b]" not in told and "\x1b[2J" not in told and "\u202e" not in told and "\x9b" not in told
    assert "\\u001b]0;owned\\u0007" in told and "[link=http://127.0.0.1]x[/link] [/] [bold]" in told
    lines = [line for line in told.splitlines() if line.startswith("│")]
    assert len({len(line) for line in lines}) == 1, "the columns stand under each other"


@pytest.fixture
def guarded() -> Iterator[io.StringIO]:
    """A log whose handler writes here."""
    factory = logging.getLogRecordFactory()
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    logging.getLogger("tasks.hostile").addHandler(handler)
    guard_logs()
    guard_logs()
    yield output
    logging.setLogRecordFactory(factory)
    logging.getLogger("tasks.hostile").removeHandler(handler)


def test_a_log_is_escaped_with_its_traceback_and_fits_its_arguments(guarded: io.StringIO) -> None:
    log = logging.getLogger("tasks.hostile")
    for text in HOSTILE:
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("%s of %d", text, 3)
    log.error("%s", "as it was")
    assert not RAW_CONTROL.search(guarded.getvalue()) and "\r" not in guarded.getvalue()
    assert "ValueError: \\u001b]0;owned\\u0007" in guarded.getvalue() and "as it was" in guarded.getvalue()


def test_arguments_that_nobody_types_are_refused() -> None:
    for argument in (b"\x1b]0;owned\x07", b"caf\xe9.jsonl", b"\x9b".decode("latin-1").encode()):
        command = [sys.executable, "-m", "flows", "import", argument]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert result.returncode == 2 and result.stderr.startswith(b"antipode: argument 2 holds a control character")
        assert result.stderr.isascii() and b"\x1b" not in result.stderr


def test_a_warning_and_the_traceback_of_a_failure_are_escaped_too() -> None:
    code = (
        "import warnings\nfrom tasks.terminal import guard_logs\nguard_logs()\n"
        "warnings.warn('\\x1b]0;owned\\x07')\nraise ValueError('\\u202eover\\rthere')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "\\u001b]0;owned\\u0007" in ended.stderr
    assert "ValueError: \\u202eover\\rthere" in ended.stderr and not RAW_CONTROL.search(ended.stderr)
