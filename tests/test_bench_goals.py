"""The table of goals: made of what the programs wrote, and the page has the one that they make now."""

from __future__ import annotations

import json

import pytest
from surroundings import ROOT

from bench import goals
from bench.goals import PROGRAMS, Goal, Result, machines, results, table, with_table


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(goals, "FOLDER", tmp_path)
    return tmp_path


def test_a_figure_is_found_by_names_and_by_the_values_of_an_element(folder, monkeypatch):
    rows = [{"size": 4, "half": True, "times": 2.0}, {"size": 4, "half": False, "times": 3.14159}]
    machine = {"processor": "Intel(R) Xeon(R) Processor, AVX2, 2 cores"}
    (folder / "one.json").write_text(
        json.dumps({"sqlite": {"machine": machine}, "rows": rows, "share": 0.256, "s": 7, "size": 9})
    )
    monkeypatch.setattr(goals, "PROGRAMS", ("one", "none"))
    wanted = (
        Goal("a", "b", "one", ("rows", {"size": 4, "half": False}, "times"), 3),
        Goal("c", "d", "one", ("share",), 30, " %"),
        Goal("e", "f", "one", ("s",), 6, " s", is_most=True),
        Goal("g", "h", "one", ("rows", {"size": 5}, "times"), 1),
        Goal("i", "j", "none", ("s",), 1),
        Goal("k", "l", "one", ("s",), 6, size=("rows of it", 9)),
        Goal("m", "n", "one", ("s",), 6, size=("size", 9)),
    )
    monkeypatch.setattr(goals, "GOALS", wanted)
    found = results()
    assert [row.figure for row in found] == [3.14159, 25.6, 7.0, None, None, None, 7.0]
    assert [row.is_met for row in found] == [True, False, False, False, False, False, True]
    assert table(found).splitlines()[2:5] == [
        "| a | b | 3.14 × | ≥ 3 × | yes | Intel Xeon |",
        "| c | d | 25.6 % | ≥ 30 % | no | Intel Xeon |",
        "| e | f | 7 s | ≤ 6 s | no | Intel Xeon |",
    ]
    assert "| g | h | not measured | ≥ 1 × | open | Intel Xeon |" in table(found)
    assert "| i | j | not measured | ≥ 1 × | open | – |" in table(found)
    assert machines() == {"one": machine["processor"]}


def test_only_what_stands_between_the_marks_changes():
    page = f"before\n{goals.BEGIN}\nold\n{goals.END}\nafter\n"
    row = Result("a", "b", "one", 1.0, 1.0, " ×", is_most=False)
    made = with_table(page, [row])
    assert made.startswith(f"before\n{goals.BEGIN}\n") and made.endswith(f"{goals.END}\nafter\n")
    assert "old" not in made and with_table(made, [row]) == made


def test_the_page_and_the_results_are_those_of_the_programs_files():
    page = (ROOT / "docs" / "performance.md").read_text()
    assert with_table(page, results()) == page, "python -m bench --only ''"
    kept = json.loads((ROOT / "bench" / "results.json").read_text())
    assert [row["figure"] for row in kept["rows"]] == [row.figure for row in results()]
    assert kept["machines"] == machines() and set(machines()) == set(PROGRAMS) and all(machines().values())
