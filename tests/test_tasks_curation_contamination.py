"""Benchmarks that are named: found among prompts and responses, told, left out if told to, a part of the run's key."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from curation_steps import configured, row
from sqlalchemy import text
from stored_rows import add
from surroundings import on_sqlite

from db import pairs, runs
from flows.terminal.runs import show_pairs_of
from models.ingestion.rows import SourceError
from models.records import ImportedPair
from tasks.curation.choices import check_curation
from tasks.curation.embedding import embed
from tasks.curation.estimate import estimate_curation
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.curation.prompt_checks import check_prompts
from tasks.curation.selection import select
from tasks.reports.run_page import write_run_report
from tasks.runs import recorded

CLIPS = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
SOLUTION = "She sold 48 / 2 = 24 clips in May and so 48 + 24 = 72 clips altogether in April and May"
ROWS = (
    row(1, f"Please solve: {CLIPS.upper()} How many in all?", "72", "Some 70 or so"),
    row(2, "Name a river in France", "The Seine", "The Rhine"),
    row(3, "How many clips were it, with the way there?", f"Well: {SOLUTION}.", "No idea at all"),
    row(4, "What grows on a northern field in a short summer?", "Rye", "Oats and barley"),
)
BENCHMARK = [
    {"question": "An unrelated question about rockets", "answer": "None"},
    {"question": CLIPS, "answer": SOLUTION},
    {"question": "Name a river in France.", "answer": "Rye"},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "benchmark.jsonl"
    path.write_text("\n".join(map(json.dumps, BENCHMARK)))
    return path


def config(file, **contamination):
    own = {"generate": {"when": "never"}, "select": {"strategies": ["easy"]}}
    return configured(**own, contamination={"files": [str(file)], **contamination})


def checked(configuration):
    run_id = open_run.fn(configuration)
    with recorded(run_id):
        for step in (generate, embed, check_prompts, select):
            step.fn(run_id)
    return run_id


def found(sessions, run_id):
    sql = "SELECT prompt_id, kind, line, value, shared_text, response_id FROM contaminated_prompts"
    with sessions() as session:
        return session.execute(text(f"{sql} WHERE run_id = {run_id} ORDER BY prompt_id, kind")).all()


def selected(sessions, run_id):
    with sessions() as session:
        return {pair.prompt_id for pair in pairs.selected_pairs(session, run_id)}


def test_what_is_in_a_benchmark_is_told_by_kind_and_used_all_the_same(settings, sessions, file, capsys):
    add(sessions, *ROWS)
    run_id = checked(config(file))
    rows = {
        (prompt_id, kind): (line, value, shared) for prompt_id, kind, line, value, shared, _ in found(sessions, run_id)
    }
    assert set(rows) == {(1, "prompt"), (2, "prompt"), (2, "similar"), (3, "response")}
    assert rows[1, "prompt"][::2] == (2, CLIPS.upper().rstrip("."))
    assert rows[1, "prompt"][1] == pytest.approx(8 / 14)  # of 26 words, 20 shared in a row
    assert rows[2, "prompt"] == (3, 1.0, "Name a river in France")
    assert rows[2, "similar"][0] == 3 and rows[2, "similar"][1] > 0.95
    assert rows[3, "response"][::2] == (2, SOLUTION)
    assert [one.response_id is None for one in found(sessions, run_id)] == [True, True, True, False]
    assert selected(sessions, run_id) == {1, 2, 3, 4}
    show_pairs_of(run_id, settings)
    words = f"3 prompts are in the benchmark {file} (2 by shared words, 1 by words in a response, 1 by embedding)"
    assert f"{words}, used all the same" in capsys.readouterr().out
    assert "3 prompts are in the benchmark" in write_run_report(run_id, settings).read_text()


def test_what_is_in_a_benchmark_is_left_out_if_told_to(settings, sessions, file):
    add(sessions, *ROWS)
    run_id = checked(config(file, are_left_out=True))
    assert selected(sessions, run_id) == {4}
    with sessions() as session:
        assert runs.skip_reasons(session, run_id, [1, 2, 3, 4]) == {
            1: f"is in the benchmark {file}, line 2",
            2: f"is in the benchmark {file}, line 3",
            3: f"has a response in the benchmark {file}, line 2",
        }
        assert runs.skip_counts(session, run_id)[f"is in the benchmark {file}"] == 2


@on_sqlite
def test_of_a_group_the_first_that_is_in_no_benchmark_stands_for_it(settings, sessions, file):
    twins = ("Name a river in France", "Name a river in France, quickly!", "Name a river in France - quickly")
    add(sessions, *(row(number, prompt, "a", "b c") for number, prompt in enumerate(twins, 1)))
    wanted = config(file, are_left_out=True, similarity=1.0).model_dump(mode="json")
    wanted["select"] |= {"one_prompt_a_group": True, "prompt_similarity": 0.5}
    assert selected(sessions, checked(configured(**wanted))) == {2}


@on_sqlite
def test_pairs_of_sources_are_left_out_too(settings, sessions, file):
    add(sessions, *(replace(one, pairs=(ImportedPair(0, 1),)) for one in ROWS))
    wanted = config(file, are_left_out=True).model_dump(mode="json")
    wanted["select"] |= {"scope": "source_pairs", "share": 1.0}
    run_id = checked(configured(**wanted))
    assert selected(sessions, run_id) == {4}
    with sessions() as session:
        assert runs.skip_reasons(session, run_id, [2])[2] == f"is in the benchmark {file}, line 3"


@on_sqlite
def test_a_run_that_was_stopped_after_its_checks_is_taken_up_and_another_content_is_another_run(
    settings, sessions, file
):
    add(sessions, *ROWS)
    run_id = open_run.fn(config(file))
    assert open_run.fn(config(file)) == run_id
    file.write_text(json.dumps({"question": "Something else"}))
    assert open_run.fn(config(file)) != run_id
    assert config(file).key != configured(generate={"when": "never"}, select={"strategies": ["easy"]}).key


@on_sqlite
def test_nothing_found_is_said_too(settings, sessions, tmp_path, capsys):
    add(sessions, *ROWS)
    (tmp_path / "other.txt").write_text("What is the airspeed of an unladen swallow?\n")
    run_id = checked(config(tmp_path / "other.txt"))
    show_pairs_of(run_id, settings)
    assert f"nothing of the benchmark {tmp_path / 'other.txt'} is in the run" in capsys.readouterr().out


@on_sqlite
def test_a_file_that_cannot_be_read_is_refused_before_a_run_is_made(settings, sessions, tmp_path):
    add(sessions, *ROWS)
    (tmp_path / "empty.jsonl").touch()
    for name, reason in (("missing.jsonl", "there is no such file"), ("empty.jsonl", "holds no text")):
        for begin in (open_run.fn, lambda wanted: check_curation(wanted, settings)):
            with pytest.raises(SourceError, match=reason):
                begin(config(tmp_path / name))
    with sessions() as session:
        assert runs.summaries(session) == []


@on_sqlite
def test_an_estimate_counts_the_benchmarks_prompts(settings, sessions, file):
    add(sessions, *ROWS)
    figures = {figure.name: figure.value for figure in estimate_curation(config(file), settings).figures}
    assert figures["benchmark prompts to embed"] == 3
    assert "benchmark prompts to embed" not in {
        figure.name for figure in estimate_curation(configured(), settings).figures
    }
