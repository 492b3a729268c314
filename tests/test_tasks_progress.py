"""What a stage tells of itself: plain lines where nobody watches a terminal, a live bar where somebody does."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time

import pytest
from surroundings import ROOT

from tasks import progress
from tasks.progress import stage_progress, step_progress


@pytest.fixture
def lines(capsys, monkeypatch):
    """Read the lines that were printed, at once or when one is among them; further ones come twenty times a second.

    Whatever seconds they tell read 0 s.
    """
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.05)

    def read(until=None):
        text = ""
        while True:
            text += capsys.readouterr().err
            found = re.sub(r"\b\d+ s\b", "0 s", text).splitlines()
            if until is None or until in found:
                return found
            time.sleep(0.01)

    return read


def test_a_log_gets_a_line_at_the_beginning_while_it_lasts_and_at_the_end(lines):
    with stage_progress("generate", 2_048, "responses, demo") as advance:
        begun = lines(until="generate: 0 of 2,048 responses, demo, 0 s")
        lines(until="generate: 0 of 2,048 responses, demo, 0 s")
        advance(512)
        lines(until="generate: 512 of 2,048 responses, demo, 0 s")
        advance(1_536)

    assert begun[0] == "generate begins" and set(begun[1:]) == {"generate: 0 of 2,048 responses, demo, 0 s"}
    assert lines()[-1] == "generate: 2,048 of 2,048 responses, demo, done after 0 s"


def test_work_that_does_not_know_its_length_yet_tells_that_it_lasts(lines):
    with step_progress("train dpo", "steps, policy 3") as on_step:
        lines(until="train dpo, 0 s")
        on_step(2, 40)
        lines(until="train dpo: 2 of 40 steps, policy 3, 0 s")


def test_what_stops_a_stage_is_told_with_how_far_it_came(lines):
    with pytest.raises(KeyboardInterrupt), stage_progress("embed", 10, "responses") as advance:
        advance(3)
        raise KeyboardInterrupt

    assert lines()[-1] == "embed: 3 of 10 responses, stopped after 0 s"
    time.sleep(0.2)
    assert lines() == [], "it has ended"


def test_a_line_says_what_was_done_last_where_that_is_told(lines):
    with stage_progress("trials", 4, "trials") as advance:
        advance(1, "easy, 50 labels, seed 0")
        lines(until="trials: 1 of 4 trials, 0 s (last: easy, 50 labels, seed 0)")
        advance(1)
        lines(until="trials: 2 of 4 trials, 0 s")


def test_a_line_comes_at_least_every_fifteen_seconds():
    assert progress.LINE_INTERVAL_S <= 15


def test_a_reader_that_has_gone_stops_no_stage():
    code = (
        "import os, sys, time; os.close(2); os.open(os.devnull, os.O_RDONLY)\n"
        "from tasks.progress import stage_progress\n"
        "with stage_progress('embed', 1, 'responses') as advance: advance(1)\n"
        "print('whole')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)

    assert ended.stdout == "whole\n"


def test_a_terminal_gets_one_live_bar_and_no_lines():
    code = (
        "from tasks.progress import step_progress\n"
        "with step_progress('train', 'steps') as on_step: on_step(1, 2); on_step(2, 2)"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", code], env=environment, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode(errors="replace")
    os.close(ours)

    assert "2/2" in shown and "train" in shown
    assert "begins" not in shown and "done after" not in shown


def test_a_bar_shows_a_name_of_a_model_as_it_is_and_moves_no_terminal():
    code = (
        "from tasks.progress import stage_progress\n"
        "unit = 'of [red]m[/red] {0} [/] \\x1b]0;owned\\x07 \\u202e'\n"
        "with stage_progress('embed [/]', 2, unit) as advance: advance(2)"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"}
    subprocess.run([sys.executable, "-c", code], env=environment, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode(errors="replace")
    os.close(ours)

    assert "of [red]m[/red] {0} [/] \\u001b]0;owned\\u0007 \\u202e" in shown and "embed [/]" in shown
    assert "\x1b]0;" not in shown and "\u202e" not in shown
