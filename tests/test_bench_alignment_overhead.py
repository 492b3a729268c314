"""What an alignment's seconds are counted as: work, or overhead by kind."""

from __future__ import annotations

import json
import sys
import time

import pytest

from bench.alignment_overhead import command_kind, engine_kind, summary
from bench.sampling import Sampler
from models.processes.isolated_host import Build, Call, _Host


class Seen:
    """Says what it is counted for while it is built and while it is asked."""

    def __init__(self) -> None:
        self.built_as = engine_kind(sys._getframe())

    def asked_as(self) -> tuple[str, str]:
        return self.built_as, engine_kind(sys._getframe())


LogpScorer = type("LogpScorer", (Seen,), {})


def test_an_engine_works_where_it_is_asked_and_loads_where_it_is_built():
    host = _Host()
    host._do(Build(LogpScorer, {}, None))
    assert host._do(Call("asked_as", ())) == ("model loads", "log-probabilities")
    assert engine_kind(sys._getframe()) == "idle"


def test_a_file_that_is_imported_counts_as_an_import_whatever_it_does(tmp_path, monkeypatch):
    (tmp_path / "asks_its_kind.py").write_text(
        "import sys\nfrom bench.alignment_overhead import command_kind, engine_kind\n"
        "kinds = [of(sys._getframe()) for of in (command_kind, engine_kind)]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import asks_its_kind

    assert asks_its_kind.kinds == ["imports", "imports"]
    assert command_kind(None) == "rest"


def test_what_is_waited_for_and_no_engine_was_at_is_the_starts():
    command = {"waiting for engines": [60.0, 1.0], "database": [4.0, 2.0], "verdicts": [6.0, 5.0]}
    engines = [
        {"imports": [10.0, 9.0], "training": [20.0, 20.0], "idle": [50.0, 0.0]},
        {"imports": [5.0, 5.0], "generation": [20.0, 19.0]},
    ]
    found = summary(70.0, 8.0, command, engines)
    assert found["engine_processes"] == 2
    assert found["wall_by_kind"] == {
        "training": 20, "generation": 20, "imports": 15, "verdicts": 6, "process starts": 5, "database": 4,
    }  # fmt: skip
    assert found["wall_overhead"] == pytest.approx(24 / 70)
    assert found["cpu_s"] == 61
    assert found["cpu_overhead"] == pytest.approx(1 - 44 / 61)


def test_the_seconds_of_a_process_are_its_main_threads(tmp_path):
    path = tmp_path / "counted.json"
    sampler = Sampler(lambda frame: frame.f_code.co_name, path)
    begun = time.perf_counter()
    while time.perf_counter() - begun < 0.5:
        pass
    sampler.end()
    wall, cpu = json.loads(path.read_text())["test_the_seconds_of_a_process_are_its_main_threads"]
    assert 0.3 < wall < 10
    assert 0 < cpu <= wall
