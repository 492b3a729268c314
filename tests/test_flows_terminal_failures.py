"""Bad input through the command line: one clear line, a non-zero exit, nothing stored before is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from chat_server import ChatServer, echo, serving
from refusals import SCRIPTED, assert_one_line
from service_parts import eventually
from sqlalchemy.exc import DBAPIError
from surroundings import ROOT, on_sqlite

from flows.terminal.failures import error_line
from models.errors import is_interrupt

# Where the database plays no part, one kind of it is enough.


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Tell me about number {n}."}) + "\n" for n in range(20)))
    return path


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        yield own


@on_sqlite
def test_what_cannot_be_read_is_one_line(antipode, tmp_path):
    (tmp_path / "table.csv").write_text("question_text,answer\nwhy?,so\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    (tmp_path / "empty.jsonl").write_text("")
    assert_one_line(antipode("import", "missing.jsonl"), 1, "missing.jsonl", "no such file")
    assert_one_line(antipode("import", "table.csv", "--map", "prompt=prompt"), 1, "question_text", "answer")
    assert_one_line(antipode("import", "table.csv", "--map", "prompt"), 2, "--map", "expected NAME=COLUMN")
    assert_one_line(antipode("import", "broken.parquet"), 1, "broken.parquet")
    assert_one_line(antipode("import", "empty.jsonl"), 1, "empty.jsonl")
    assert_one_line(antipode("import", "table.csv", "--limit", "0"), 2, "antipode: --limit: ", "got '0'")
    assert_one_line(antipode("import", "table.csv", "--name", "demo"), 1, "the demo's own prompts", "--name NAME")


@on_sqlite
def test_settings_that_make_no_sense_are_one_line_that_names_the_option(antipode):
    assert_one_line(antipode("curate", "--generate.responses_per_prompt", "1"), 2, "responses_per_prompt 1 give 1")
    assert_one_line(
        antipode("curate", "--generate.temperature", "5"), 2, "antipode: --generate.temperature: ", "got '5'"
    )
    assert_one_line(antipode("pairs", "--strategy", "b est"), 2, "--strategy", "expected the name of a strategy")
    assert_one_line(antipode("demo", "--seed", "-1"), 2, "--seed: ", "got '-1'")
    unknown = antipode("curate", "--generate.temprature", "1")
    assert unknown.returncode == 2 and "unrecognized arguments: --generate.temprature" in unknown.stderr


@on_sqlite
def test_no_prompts_and_unknown_names_say_what_there_is(antipode, prompts_file):
    assert_one_line(antipode("curate"), 1, "there are no prompts yet", "antipode import FILE")
    assert_one_line(antipode("pairs"), 1, "there is no run yet", "antipode curate")
    assert_one_line(antipode("pairs", "--run", "lst"), 1, "there is no run 'lst'; did you mean last?")
    antipode("import", str(prompts_file), "--name", "mine")
    assert_one_line(antipode("curate", "--source.name", "yours"), 1, "there is no source 'yours'; there are: mine")
    assert_one_line(antipode("curate", "--source.split", "test"), 1, "no prompt of split 'test'")


@on_sqlite
def test_a_model_that_does_not_load_is_one_line_and_the_run_goes_on_with_another(antipode, prompts_file, tmp_path):
    antipode("import", str(prompts_file))
    (tmp_path / "no-model").mkdir()
    (tmp_path / "no-model" / "config.json").write_text("{}")
    assert_one_line(antipode("curate", "--model.name", str(tmp_path / "nowhere")), 1, "nowhere", "no such folder")
    for backend in ("transformers", "vllm") if _has_vllm() else ("transformers",):
        broken = antipode("curate", "--model.name", str(tmp_path / "no-model"), "--generate.backend", backend)
        assert_one_line(broken, 1, "no-model", "could not be loaded")
    assert antipode("curate", *SCRIPTED).returncode == 0
    statuses = [line.split()[2] for line in antipode("runs").stdout.splitlines() if "curation" in line]
    assert statuses.count("completed") == 1 and set(statuses) == {"completed", "failed"}


@on_sqlite
def test_an_unreachable_server_is_one_line(antipode, prompts_file):
    antipode("import", str(prompts_file))
    server = ("--generate.backend", "openai", "--generate.base_url", "http://127.0.0.1:9/v1", "--model.name", "m")
    assert_one_line(antipode("curate", *server), 1, "http://127.0.0.1:9/v1", "cannot be reached")


@on_sqlite
def test_an_unreachable_database_is_one_line_without_its_password(antipode):
    url = "postgresql://antipode:secret@127.0.0.1:1/antipode"
    result = antipode("runs", ANTIPODE_DATABASE_URL=url)
    assert_one_line(result, 1, "127.0.0.1:1", "ANTIPODE_DATABASE_URL")
    assert "secret" not in result.stderr
    assert_one_line(antipode("runs", ANTIPODE_DATABASE_URL="nonsense"), 1, "sqlite:/// or postgresql://", "nonsense")


@on_sqlite
@pytest.mark.parametrize("end", ["already exists", "does not exist"])
def test_a_pooler_of_transactions_is_named_with_what_to_set(settings, end):
    error = DBAPIError("SELECT 1", None, RuntimeError(f'prepared statement "_pg3_0" {end}'))
    assert "pool sessions (PgBouncer: pool_mode = session)" in error_line(error)


@on_sqlite
def test_a_read_only_disk_is_one_line_and_loses_nothing(antipode, prompts_file, tmp_path):
    antipode("import", str(prompts_file))
    assert antipode("curate", *SCRIPTED).returncode == 0
    before = antipode("pairs", "--format", "jsonl").stdout
    artifacts = tmp_path / "artifacts" / "vectors"
    # The superuser ignores permissions, so the folder is made one that nobody can write to: a file.
    kept = artifacts.rename(tmp_path / "kept")
    artifacts.write_text("")
    assert_one_line(antipode("curate", *SCRIPTED, "--seed", "1"), 1, str(artifacts))
    artifacts.unlink()
    kept.rename(artifacts)
    assert antipode("pairs", "--format", "jsonl", "--run", "1").stdout == before
    assert antipode("curate", *SCRIPTED, "--seed", "1").returncode == 0


def test_a_really_read_only_file_system_is_one_line(tmp_path):
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"', str(folder)]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system needs the superuser")
    result = subprocess.run(
        [*mount, sys.executable, "-m", "flows", "runs"],
        cwd=ROOT,
        env=os.environ | {"ANTIPODE_ARTIFACT_ROOT": str(folder / "artifacts")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line(result, 1, "Read-only file system")


def test_interrupted_by_the_user_it_says_so_and_goes_on_later(antipode, prompts_file, server, prefect_server, tmp_path):
    antipode("import", str(prompts_file))
    goes_on = threading.Event()

    def stuck(body, number):
        if number > 3:
            goes_on.wait()
        return echo(body, number)

    server.reply = stuck
    command = ["curate", "--generate.backend", "openai", "--generate.base_url", server.url, "--model.name", "tiny"]
    command += ["--generate.prompts_per_shard", "1", "--embed.backend", "hashed"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", *command],
        cwd=tmp_path,
        env=os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        eventually(lambda: len(server.bodies) > 3, "a request that is not answered")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    finally:
        process.kill()
        goes_on.set()
    assert process.returncode == 130, errors
    assert "stopped; the same command again goes on where it was" in errors and "Traceback" not in errors
    assert [line.split()[2] for line in antipode("runs").stdout.splitlines() if "curation" in line] == ["stopped"]
    flow_runs = httpx.post(
        f"{prefect_server}/flow_runs/filter", json={"limit": 1, "sort": "START_TIME_DESC"}, timeout=60
    ).json()
    assert [run["state"]["name"] for run in flow_runs] == ["Stopped"]
    assert antipode(*command).returncode == 0


def _has_vllm():
    import importlib.util

    return importlib.util.find_spec("vllm") is not None


def test_what_a_library_raises_on_the_way_out_from_ctrl_c_is_ctrl_c():
    def told(error):
        try:
            try:
                raise error
            finally:
                raise RuntimeError("Task run is not set")
        except RuntimeError as raised:
            return is_interrupt(raised)

    assert told(KeyboardInterrupt()) and not told(ValueError()) and is_interrupt(KeyboardInterrupt())
