"""What the benchmark of the database measures of a command is the command's own."""

from __future__ import annotations

from bench.database import World

BALLAST = 2**28


def test_the_peak_of_a_command_is_not_that_of_the_process_which_measures_it(tmp_path):
    held = b"x" * BALLAST
    used = World(tmp_path).run("runs")
    assert 0 < used["peak_mb"] < len(held) / 2**20
    assert used["cpu_s"] > 0
