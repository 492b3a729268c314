"""How much memory an index takes while it is made and grown: in a process of its own, where nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from surroundings import ROOT


def test_an_index_of_200_000_vectors_takes_less_than_1_3_times_its_size_and_is_mapped_when_it_is_opened(
    tmp_path: Path,
) -> None:
    output = tmp_path / "figures.json"
    size = ["--count", "200000", "--dimension", "256", "--rounds", "0"]
    command = [sys.executable, "-m", "bench.index", *size, "--output", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    figures = json.loads(output.read_text())
    assert figures["size_bytes"] > 200_000 * 256 * 4
    assert figures["peak_over_size"] < 1.3
    assert figures["open_peak_bytes"] < 0.1 * figures["size_bytes"]
