"""The examples run as their pages say, at a reduced size, and again without making anything twice."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from documented_commands import commands_of, shell_blocks
from surroundings import ROOT

pytestmark = pytest.mark.slow

COUNTS = """SELECT (SELECT COUNT(*) FROM responses), (SELECT COUNT(*) FROM judged_pairs),
    (SELECT COUNT(*) FROM policy_summary), (SELECT COUNT(*) FROM policy_evaluations)"""


class Example:
    """An example in a folder of the test's own; `folder` is where it leaves its files."""

    def __init__(self, script, size, *, at, prefect_server):
        self.script, self.size, self.at = ROOT / "examples" / script, str(size), at
        self.folder = at / f"example-{self.script.stem}-{size}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPODE_")}
        self.environment |= {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(self):
        """Run it to its end; what it printed."""
        program = {".sh": "bash", ".py": sys.executable}[self.script.suffix]
        ended = subprocess.run(
            [program, self.script, self.size],
            cwd=self.at, env=self.environment, capture_output=True, text=True, check=False, timeout=800,
        )  # fmt: skip
        assert ended.returncode == 0, (ended.stdout[-2000:], ended.stderr[-4000:])
        assert "Next: " in ended.stdout.splitlines()[-1]
        return ended.stdout

    def sql(self, query):
        """The rows that the example's database answers with."""
        with closing(sqlite3.connect(self.folder / ".antipode" / "antipode.db")) as database:
            return database.execute(query).fetchall()


@pytest.fixture
def example(tmp_path, prefect_server):
    def make(script, size):
        return Example(script, size, at=tmp_path, prefect_server=prefect_server)

    return make


def documented(page):
    """The words of each command that an example's page shows."""
    path = ROOT / "docs" / "examples" / page
    return [found.words for block in shell_blocks(path) for found in commands_of(block, path)]


@pytest.mark.parametrize("name", ["scores", "rounds"])
def test_a_page_shows_the_commands_of_its_script(name):
    script = ROOT / "examples" / f"{name}.sh"
    own = [found.words for found in commands_of(script.read_text("utf-8"), script)]
    shown = documented(f"{name}.md")
    assert len(shown) >= 8
    assert sorted(shown) == sorted(own)


def test_a_data_set_with_scores_becomes_a_policy_that_is_compared(example):
    scores = example("scores.sh", 20)
    scores.run()
    outcomes = dict(scores.sql("SELECT outcome, COUNT(*) FROM labelled_pairs WHERE run = 'scores' GROUP BY 1"))
    assert set(outcomes) == {"first", "second", "tie"} and sum(outcomes.values()) == 40
    preferences = [json.loads(line) for line in (scores.folder / "preferences.jsonl").read_text().splitlines()]
    assert 10 <= len(preferences) <= outcomes["first"] + outcomes["second"], "pairs of both strategies come once"
    given = scored_texts(scores.folder / "scored.jsonl")
    for row in preferences:
        better, worse = (given[row[side][-1]["content"]] for side in ("chosen", "rejected"))
        assert better >= 1.2 * worse
    assert scores.sql("SELECT method FROM policy_summary ORDER BY policy_id") == [("sft",), ("dpo",)]
    compared = scores.sql("SELECT policy_id, wins + ties + losses FROM policy_evaluations WHERE wins IS NOT NULL")
    assert (2, 64) in compared
    before = scores.sql(COUNTS)
    scores.run()
    assert scores.sql(COUNTS) == before


def test_two_people_label_and_a_third_settles_what_they_contradict_each_other_on(example):
    team = example("team.py", 8)
    printed = team.run()
    ran = [found.words for found in commands_of(printed, team.script)]
    for words in documented("team.md"):
        assert words in [one[: len(words)] for one in ran], words
    votes = dict(team.sql("SELECT annotator, COUNT(*) FROM judged_pairs WHERE kind = 'person' GROUP BY 1"))
    assert votes["lea"] == 1 and votes["anna"] + votes["ben"] == 8 + 4, "half of the pairs are judged by both"
    settled = team.sql("SELECT outcome FROM labelled_pairs WHERE vote_count = 3")
    assert len(settled) == 1 and settled[0][0] in ("first", "second")
    assert {outcome for (outcome,) in team.sql("SELECT outcome FROM labelled_pairs")} <= {"first", "second"}
    assert len((team.folder / "preferences.jsonl").read_text().splitlines()) == 8
    before = team.sql(COUNTS)
    assert "labelled 0 pairs" in team.run()
    assert team.sql(COUNTS) == before


def test_a_policy_passes_the_gate_and_answers_in_the_second_round(example):
    rounds = example("rounds.sh", 48)
    printed = rounds.run()
    assert "policy 1 is in use" in printed and "above 0.5" in printed
    models = rounds.sql("SELECT DISTINCT run, first_model FROM selected_pairs ORDER BY run")
    assert [run for run, _ in models] == ["round-1", "round-2"] and models[0][1] != models[1][1]
    assert rounds.sql("SELECT policy_id, method FROM policy_summary ORDER BY 1") == [(1, "dpo"), (2, "dpo")]
    compared = rounds.sql("SELECT policy_id, wins + ties + losses FROM policy_evaluations WHERE wins + losses > 0")
    assert sorted(compared) == [(1, 260), (2, 260)]
    before = rounds.sql(COUNTS)
    rounds.run()
    assert rounds.sql(COUNTS) == before


def scored_texts(path):
    """The score of each completion of a file."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {one["response"]: one["overall_score"] for row in rows for one in row["completions"]}
