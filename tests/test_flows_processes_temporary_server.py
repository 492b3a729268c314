"""Prefect's temporary server: waited for as long as it works, gone in every way out, one line where it cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from refusals import SCRIPTED, assert_one_line
from service_parts import eventually
from sqlalchemy import create_engine, text
from surroundings import ROOT, free_port, on_sqlite

from flows.processes import child_process
from flows.processes.child_process import StalledError, wait_while_working
from flows.processes.engine import FolderError, require_folder, require_home
from flows.processes.temporary_server import TemporaryServer

CURATE = ("curate", *SCRIPTED, "--generate.prompts_per_shard", "1")
NOWHERE = "/dev/null/nowhere"  # below a file: not even the superuser can make it


@pytest.fixture
def start(settings, tmp_path):
    """Start a command without a lasting Prefect server; what it leaves is killed."""
    started = []

    def start_command(*arguments, **environment):
        command = [sys.executable, "-m", "flows", *arguments]
        variables = os.environ | {"PREFECT_API_URL": None, "PYTHONPATH": str(ROOT)} | environment
        started.append(
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env={name: value for name, value in variables.items() if value is not None},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start_command
    for process in started:
        process.kill()
        process.wait()
    for left in children_of_nobody(tmp_path):
        left.kill()


def children_of_nobody(folder, but=None):
    """Processes that work in this folder, one aside."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != but and process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def child_of(process):
    return eventually(lambda: psutil.Process(process.pid).children(), "a server")[0]


def ended(process):
    """How it ended, as soon as nobody holds its streams any more."""
    said, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def import_prompts(antipode, tmp_path, count):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Tell me about number {n}."}) + "\n" for n in range(count)))
    assert antipode("import", str(path)).returncode == 0


def stored_responses(settings):
    engine = create_engine(settings.database)
    with engine.connect() as connection:
        count = connection.scalar(text("SELECT count(*) FROM responses"))
    engine.dispose()
    return count


@on_sqlite
def test_a_slow_start_is_waited_for_and_said_and_neither_sigterm_nor_the_end_leaves_a_server(
    antipode, start, settings, tmp_path
):
    """Without a home folder, as a container's user: Prefect's own is named."""
    import_prompts(antipode, tmp_path, 120)
    homeless = {"HOME": NOWHERE, "PREFECT_HOME": str(tmp_path / "prefect")}
    stopped = start(*CURATE, **homeless)
    server = child_of(stopped)
    server.suspend()
    assert any("Prefect's temporary server is still starting, " in line for line in stopped.stderr)
    server.resume()
    eventually(lambda: stored_responses(settings), "some responses")
    stopped.send_signal(signal.SIGTERM)
    result = ended(stopped)
    assert result.returncode == -signal.SIGTERM
    eventually(lambda: not children_of_nobody(tmp_path), "the server's end")

    whole = ended(start(*CURATE, **homeless))
    assert whole.returncode == 0 and "taking up run 1" in whole.stderr, whole.stderr
    for word in ("Traceback", "Warning", "WARN", NOWHERE):
        assert word not in result.stderr + whole.stderr
    assert not children_of_nobody(tmp_path)


@on_sqlite
def test_a_killed_command_leaves_no_server_and_nobody_waits_for_its_output(antipode, start, tmp_path):
    import_prompts(antipode, tmp_path, 3)
    up = ("up", "--prefect_port", str(free_port()), "--page_port", str(free_port()))
    for killed in (start(*CURATE), start(*up)):
        child_of(killed)
        killed.kill()
        assert ended(killed).returncode == -signal.SIGKILL
    eventually(lambda: not children_of_nobody(tmp_path), "the server's end")


@on_sqlite
def test_a_server_that_dies_is_one_line_with_the_end_of_its_log(antipode, start, tmp_path):
    import_prompts(antipode, tmp_path, 3)
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "prefect.db").write_text("This is no database. " * 100)
    result = ended(start(*CURATE, PREFECT_HOME=str(tmp_path / "prefect")))
    assert_one_line(result, 1, "server ended while it started (exit status 3)", "file is not a database")


@on_sqlite
def test_a_server_that_is_killed_under_a_run_is_one_line_and_the_stage_is_done_all_the_same(
    antipode, start, settings, tmp_path
):
    import_prompts(antipode, tmp_path, 200)
    # Prefect asks a server that is gone for a minute; here not once more.
    running = start(*CURATE, PREFECT_CLIENT_MAX_RETRIES="0")
    server = child_of(running)
    eventually(lambda: stored_responses(settings) > 20, "some responses")
    server.kill()
    said = []
    for line in running.stderr:
        said.append(line)
        if line.startswith("antipode: "):
            break
    running.kill()  # it would try for a minute more to tell its last events
    assert stored_responses(settings) == 8 * 200
    assert any("the work goes on" in line for line in said) and not any("Traceback" in line for line in said)
    assert "Prefect's server at http://127.0.0.1:" in said[-1] and "give the same command again" in said[-1]
    assert antipode(*CURATE).returncode == 0
    assert stored_responses(settings) == 8 * 200 and antipode("runs").stdout.count("completed") == 1


@on_sqlite
def test_a_folder_that_prefect_cannot_write_is_one_line_that_says_what_to_set(antipode, start, tmp_path):
    import_prompts(antipode, tmp_path, 3)
    variables = {"HOME": NOWHERE, "PREFECT_HOME": None}
    assert_one_line(ended(start(*CURATE, **variables)), 1, f"{NOWHERE}/.prefect", "set PREFECT_HOME to one, such as")
    assert_one_line(ended(start("deploy", **variables)), 1, "PREFECT_API_URL names no server")
    up = ("up", "--prefect_port", str(free_port()), "--page_port", str(free_port()))
    assert_one_line(antipode(*up, ANTIPODE_ARTIFACT_ROOT=NOWHERE), 1, f"{NOWHERE}/prefect", "ANTIPODE_ARTIFACT_ROOT")


def test_a_folder_is_made_and_one_that_is_a_file_is_refused(tmp_path):
    require_folder(tmp_path / "one" / "two", "advice")
    assert list((tmp_path / "one" / "two").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"/file is none \(File exists\); set this"):
        require_folder(tmp_path / "file", "set this")


def test_a_user_without_a_home_is_told_to_set_one(monkeypatch):
    require_home()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)  # nobody has this number
    with pytest.raises(FolderError, match=r"user 4000000000 has no entry .* set HOME to a folder"):
        require_home()


def test_a_process_that_does_nothing_is_not_waited_for(monkeypatch, capsys):
    monkeypatch.setattr(child_process, "STALLED_S", 1.5)
    monkeypatch.setattr(child_process, "SAY_EVERY_S", 0.5)
    with (
        subprocess.Popen(["sleep", "60"]) as process,
        pytest.raises(
            StalledError, match=rf"^the sleeper \(process {process.pid}\) does not answer and has done nothing"
        ),
    ):
        try:
            wait_while_working("the sleeper", process.pid, lambda: False, require_alive=lambda: None)
        finally:
            process.kill()
    assert "the sleeper is still starting, 1 s\n" in capsys.readouterr().err


def test_who_interrupts_again_waits_for_no_server(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = TemporaryServer(os.environ)
    server.wait()
    (process,) = children_of_nobody(tmp_path, but=os.getpid())
    process.suspend()  # so that it does not end when it is asked to
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        server.end()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert not process.is_running()


def test_a_process_that_becomes_another_program_still_ends_with_the_one_that_started_it(tmp_path):
    become = "os.execv(sys.executable, module_command(('second',), parent_id=watched_parent()))"
    (tmp_path / "first.py").write_text(
        f"import os, sys\nfrom flows.processes.child_process import module_command, watched_parent\n{become}\n"
    )
    (tmp_path / "second.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    starter = (
        "import os, sys, time; from flows.processes.child_process import start_module; "
        "start_module(('first',), environment=os.environ, log=sys.stdout.buffer); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "here\n"
        process.kill()
        assert process.stdout.read() == "", "its end"
    eventually(lambda: not children_of_nobody(tmp_path), "the end of what it had started")
