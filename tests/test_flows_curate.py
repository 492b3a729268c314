"""The main job through the command line, on a real Prefect server, SQLite and PostgreSQL, with shipped stand-ins."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pandas
import pytest
from sqlalchemy import func, select
from surroundings import REAL_DATA, ROOT

from db.engine import make_engine, make_session_factory
from db.schema import curation

SCRIPTED = ("--generate.backend", "scripted", "--embed.backend", "hashed")


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Tell me about number {n}."}) + "\n" for n in range(40)))
    return path


def counts(settings):
    engine = make_engine(settings.database)
    with make_session_factory(engine)() as session:
        tables = (
            curation.Prompt,
            curation.Response,
            curation.Candidate,
            curation.Embedding,
            curation.Pair,
            curation.Run,
        )
        found = [session.scalar(select(func.count()).select_from(table)) for table in tables]
    engine.dispose()
    return found


def all_pairs(antipode, *arguments, **environment):
    result = antipode("pairs", "--format", "jsonl", *arguments, **environment)
    assert result.returncode == 0, result.stderr
    pairs = [json.loads(line) for line in result.stdout.splitlines()]
    return [{name: value for name, value in pair.items() if name not in {"pair_id", "run_id"}} for pair in pairs]


def test_prompts_go_in_and_selected_pairs_come_out(antipode, prompts_file, settings, prefect_server, tmp_path):
    imported = antipode("import", str(prompts_file))
    assert "40 rows read as prompts; new: 40 prompts" in imported.stdout

    curated = antipode("curate", "--source.name", "prompts", *SCRIPTED, "--generate.responses_per_prompt", "6")
    assert curated.returncode == 0, curated.stderr
    assert "40 prompts, 240 responses" in curated.stdout
    for stage in ("generate", "embed", "index", "select"):
        assert stage in curated.stderr
    report = tmp_path / "artifacts" / "reports" / "run-1.html"
    assert str(report) in curated.stdout and report.read_text().startswith("<!DOCTYPE html>")

    pairs = all_pairs(antipode)
    assert {pair["strategy"] for pair in pairs} == {"easy", "hard", "centroid", "random"}
    assert all(pair["first_response"] != pair["second_response"] for pair in pairs)
    assert all(pair["first_response_id"] < pair["second_response_id"] for pair in pairs)
    by_strategy = {name: [p for p in pairs if p["strategy"] == name] for name in ("easy", "hard")}
    for easy, hard in zip(by_strategy["easy"], by_strategy["hard"], strict=True):
        assert easy["prompt_id"] == hard["prompt_id"] and easy["similarity"] <= hard["similarity"]
        assert easy["rank"] == 1

    artifacts = httpx.post(f"{prefect_server}/artifacts/latest/filter", json={}, timeout=60).json()
    keys = {artifact["key"]: artifact for artifact in artifacts}
    assert {"run-1", "run-1-pairs", "run-1-similarities", "generate", "embed", "index-responses", "select"} <= set(keys)
    assert len(json.loads(keys["run-1-pairs"]["data"])) == 80


def test_the_same_command_again_generates_nothing_and_selects_the_same(antipode, prompts_file, settings):
    antipode("import", str(prompts_file))
    command = ("curate", *SCRIPTED, "--generate.extra_tries", "2")
    assert antipode(*command).returncode == 0
    first, stored = all_pairs(antipode, "--run", "1"), counts(settings)
    again = antipode(*command)
    assert again.returncode == 0 and "generate" not in again.stderr and "embed" not in again.stderr
    assert all_pairs(antipode, "--run", "2") == first
    prompts, responses, candidates, embeddings, pairs, runs = stored
    assert counts(settings) == [prompts, responses, 2 * candidates, embeddings, 2 * pairs, 2 * runs]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_responses_are_added_to_those_that_are_stored(antipode, prompts_file, settings):
    antipode("import", str(prompts_file))
    assert antipode("curate", *SCRIPTED, "--generate.responses_per_prompt", "3").returncode == 0
    assert counts(settings)[1] == 120
    assert antipode("curate", *SCRIPTED, "--generate.responses_per_prompt", "5").returncode == 0
    assert counts(settings)[1] == 200
    assert antipode("curate", *SCRIPTED, "--generate.responses_per_prompt", "3").returncode == 0
    assert counts(settings)[1:3] == [200, 120 + 200 + 120]


def test_a_run_killed_at_any_stage_goes_on_and_ends_as_if_it_had_not_been(
    antipode, prompts_file, settings, prefect_server, fork_server, tmp_path
):
    antipode("import", str(prompts_file))
    command = (*SCRIPTED, "--generate.prompts_per_shard", "1", "--embed.responses_per_shard", "5", "--name", "killed")
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT)}
    for table_number, enough in ((1, 30), (3, 40), (3, 120), (4, 1)):
        with (tmp_path / "killed.log").open("ab") as log:
            streams = {"output": log.fileno(), "errors": log.fileno()}
            killed = fork_server.start(("curate", *command), cwd=tmp_path, env=environment, **streams)
        deadline = time.monotonic() + 240
        while counts(settings)[table_number] < enough and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(killed.process_id, signal.SIGKILL)
        killed.wait(timeout_s=30)
        assert counts(settings)[table_number] >= enough
    assert counts(settings)[5] == 1, "the killed run is taken up, not doubled"
    assert antipode("curate", *command).returncode == 0
    assert counts(settings)[1] == 40 * 8
    assert counts(settings)[4] == 4 * 40 * counts(settings)[5]

    # The twin that nobody killed, with a database and vectors of its own.
    elsewhere = {
        "ANTIPODE_DATABASE_URL": f"sqlite:///{tmp_path}/elsewhere.db",
        "ANTIPODE_ARTIFACT_ROOT": str(tmp_path / "elsewhere"),
    }
    assert antipode("import", str(prompts_file), **elsewhere).returncode == 0
    assert antipode("curate", *command, **elsewhere).returncode == 0
    assert texts_of(all_pairs(antipode)) == texts_of(all_pairs(antipode, **elsewhere))


def texts_of(pairs):
    return [(p["strategy"], p["prompt"], p["first_response"], p["second_response"]) for p in pairs]


def test_four_starts_at_once_on_an_empty_database_make_one_run(antipode, prompts_file, settings):
    with ThreadPoolExecutor(4) as at_once:
        imports = list(at_once.map(lambda _: antipode("import", str(prompts_file)), range(4)))
        assert [done.returncode for done in imports] == [0] * 4, [done.stderr for done in imports]
        runs = list(at_once.map(lambda _: antipode("curate", *SCRIPTED, "--name", "at once"), range(4)))
    # One may find the run at work, and says so; whoever comes after its end makes a run of the same responses.
    assert all(done.returncode == 0 or "being worked on by another process" in done.stderr for done in runs)
    assert any(done.returncode == 0 for done in runs)
    prompts, responses, candidates, embeddings, pairs, run_count = counts(settings)
    assert (prompts, responses) == (40, 320)
    assert embeddings <= 320 and candidates == 320 * run_count and pairs == 160 * run_count


def test_an_export_that_fails_leaves_the_old_file(antipode, prompts_file, tmp_path):
    antipode("import", str(prompts_file))
    antipode("curate", *SCRIPTED)
    output = tmp_path / "pairs.jsonl"
    assert antipode("pairs", "--format", "jsonl", "--output", str(output)).returncode == 0
    before = output.read_text()
    assert antipode("pairs", "--run", "typo", "--format", "jsonl", "--output", str(output)).returncode == 1
    assert output.read_text() == before and list(tmp_path.glob(".*partial")) == []


def test_pairs_are_exported_in_every_format(antipode, prompts_file, tmp_path):
    antipode("import", str(prompts_file))
    antipode("curate", *SCRIPTED, "--name", "nightly")
    pairs = all_pairs(antipode, "--strategy", "centroid", "--run", "nightly")
    csv, parquet = tmp_path / "pairs.csv", tmp_path / "pairs.parquet"
    assert antipode("pairs", "--strategy", "centroid", "--format", "csv", "--output", str(csv)).returncode == 0
    assert antipode("pairs", "--strategy", "centroid", "--format", "parquet", "--output", str(parquet)).returncode == 0
    texts = [pair["first_response"] for pair in pairs]
    assert list(pandas.read_csv(csv)["first_response"]) == texts
    assert list(pandas.read_parquet(parquet)["first_response"]) == texts
    table = antipode("pairs", "--strategy", "centroid", "--limit", "3")
    assert table.stdout.count("centroid") == 3
    assert "output file" in antipode("pairs", "--format", "parquet").stderr
    assert "nightly" in antipode("runs").stdout


def test_similar_shows_the_response_itself_and_then_its_nearest(antipode, prompts_file):
    antipode("import", str(prompts_file))
    antipode("curate", *SCRIPTED)
    shown = antipode("similar", "1", "--count", "4")
    assert shown.returncode == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip().startswith(("0.", "1."))]
    assert rows[0][:2] == ["1.0000", "1"]
    similarities = [float(row[0]) for row in rows]
    assert len(rows) == 5 and similarities == sorted(similarities, reverse=True)
    prompts = antipode("similar", "--prompt", "1", "--count", "2")
    assert [line.split()[:2] for line in prompts.stdout.splitlines() if "1.0000" in line] == [["1.0000", "1"]]
    assert len(antipode("similar", "--text", "a word", "--count", "2").stdout.strip().splitlines()) == 4
    both = antipode("similar", "1", "--text", "a word")
    assert both.returncode == 2 and "give one thing to compare with: antipode similar 42" in both.stderr
    missing = antipode("similar", "99999")
    assert missing.returncode == 1 and missing.stderr.count("\n") == 1 and "no response 99999" in missing.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_two_generators_give_each_prompt_their_own_responses(antipode, prompts_file):
    antipode("import", str(prompts_file))
    models = ("--generate.models", "small,large", "--generate.responses_per_prompt", "2")
    assert antipode("curate", *SCRIPTED, *models).returncode == 0
    used = {model for pair in all_pairs(antipode) for model in (pair["first_model"], pair["second_model"])}
    assert used == {"small", "large"}


@pytest.mark.real_data
def test_real_responses_of_eight_models_are_curated_without_generation(antipode):
    imported = antipode("import", str(REAL_DATA / "self_instruct_user_252.jsonl.gz"), "--name", "self-instruct")
    assert "252 rows read as responses; new: 252 prompts, 2,268 responses" in imported.stdout
    curated = antipode("curate", "--source.name", "self-instruct", "--embed.backend", "hashed")
    assert curated.returncode == 0, curated.stderr
    assert "generate" not in curated.stderr
    counts = "(199 duplicates, 50 empty)"
    assert f"252 prompts, 2,016 responses {counts}" in curated.stdout
    pairs = all_pairs(antipode)
    assert len(pairs) == 4 * 252
    assert all(pair["first_response"].strip() and pair["second_response"].strip() for pair in pairs)
    assert all(pair["first_model"] != pair["second_model"] for pair in pairs)


@pytest.mark.real_data
def test_real_source_pairs_are_ranked_over_the_whole_set(antipode):
    imported = antipode("import", str(REAL_DATA / "hh_rlhf_harmless_base_test.jsonl.gz"), "--name", "hh")
    assert "5 rows rejected" in imported.stdout
    budget = ("--select.scope", "source_pairs", "--select.strategies", "easy,hard,random", "--select.share", "0.25")
    curated = antipode("curate", "--source.name", "hh", "--embed.backend", "hashed", *budget)
    assert curated.returncode == 0, curated.stderr
    pairs = all_pairs(antipode)
    similarities = {
        name: [p["similarity"] for p in pairs if p["strategy"] == name] for name in ("easy", "hard", "random")
    }
    assert len({len(values) for values in similarities.values()}) == 1
    assert max(similarities["easy"]) < min(similarities["hard"])
    assert 550 < len(similarities["easy"]) <= 577
