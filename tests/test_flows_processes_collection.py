"""How often a command's process looks for garbage."""

from __future__ import annotations

import subprocess
import sys

from surroundings import ROOT

from flows.processes.collection import ALLOCATIONS

AT_THE_END = """
import atexit, gc
atexit.register(lambda: print(gc.get_threshold()[0]))
from flows.__main__ import main
main()
"""


def test_the_process_of_a_command_looks_for_garbage_rarely_until_it_ends():
    ended = subprocess.run(
        (sys.executable, "-c", AT_THE_END, "runs", "--unknown"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert int(ended.stdout.split()[-1]) == ALLOCATIONS
