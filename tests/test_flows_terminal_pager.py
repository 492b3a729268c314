"""Long output: through the pager of PAGER on a terminal, as it is elsewhere. On real pseudo-terminals."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pseudo_terminals import shown_on_terminal
from surroundings import ROOT

PAGER = "tr a-z A-Z"  # what went through it is in capitals
PRINT = """
import sys
sys.path.insert(0, sys.argv[1])
from flows.terminal.pager import paged
with paged():
    print("some words\\n" * int(sys.argv[2]))
"""


def printed(lines, *, is_terminal=True, **environment):
    """What a process prints of so many lines on a terminal of 24, or into a pipe."""
    command = [sys.executable, "-c", PRINT, str(ROOT), str(lines)]
    variables = {**os.environ, "LINES": "24", "COLUMNS": "80", **environment}
    if not is_terminal:
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    return shown_on_terminal(command, variables)


def test_what_is_longer_than_the_terminal_goes_through_the_pager():
    assert printed(100, PAGER=PAGER).count("SOME WORDS\n") == 100


def test_what_fits_is_printed_as_it_is():
    assert printed(5, PAGER=PAGER) == "some words\n" * 5 + "\n"


@pytest.mark.parametrize("pager", ["", "cat", "/nowhere/pager", "it's"])
def test_without_a_pager_that_there_is_everything_is_printed(pager):
    assert printed(100, PAGER=pager).count("some words\n") == 100


def test_a_pipe_gets_no_pager():
    assert printed(100, is_terminal=False, PAGER=PAGER) == "some words\n" * 100 + "\n"


def test_a_pager_that_ends_early_is_no_fault():
    assert printed(50_000, PAGER="head -1").count("some words\n") == 1
