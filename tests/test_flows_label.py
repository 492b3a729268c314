"""Labelling through the command line: kill -9, the event, the page, what is said when something is missing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from chat_server import ChatServer, serving
from judged_pairs import prefers, sides
from refusals import assert_one_line
from service_parts import eventually
from sqlalchemy import text
from surroundings import ROOT, on_sqlite

PAIRS = 60


@pytest.fixture
def judge():
    """A judge by content that takes its time; what is asked after `answers` requests waits until it may go on."""
    server = ChatServer()
    server.answers, server.goes_on = float("inf"), threading.Event()

    def slow(body, number):
        time.sleep(0.02)
        if number > server.answers:
            server.goes_on.wait()
        return prefers(body)

    server.reply = slow
    with serving(server):
        yield server
        server.goes_on.set()


@pytest.fixture
def curated(antipode, tmp_path):
    """A run of sixty pairs of responses of their own."""
    rows = [{"prompt": f"Bread {n}?", "responses": [f"rye number {n}", f"wheat {n}"]} for n in range(PAIRS)]
    path = tmp_path / "bread.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    antipode("import", str(path))
    made = antipode(
        "curate", "--generate.when", "never", "--embed.backend", "hashed", "--select.strategies", "easy,random"
    )
    assert made.returncode == 0, made.stderr


def environment_of(prefect_server):
    return os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT)}


def judged_texts(sessions):
    """The two texts of every stored judgement, left one first."""
    with sessions() as session:
        rows = session.execute(
            text(
                "SELECT l.text, r.text FROM judgements j JOIN responses l ON l.id = j.left_response_id "
                "JOIN responses r ON r.id = j.first_response_id + j.second_response_id - j.left_response_id"
            )
        )
        return [tuple(row) for row in rows]


def test_a_judge_run_killed_midway_asks_nothing_twice_and_loses_nothing(
    antipode, curated, judge, sessions, fork_server, prefect_server, tmp_path
):
    command = ("label", "--judge.base_url", judge.url, "--judge.model", "tiny", "--pairs_per_shard", "4")
    judge.answers = 100
    for enough in (12, 40):
        with Path(os.devnull).open("w") as nowhere:
            streams = {"output": nowhere.fileno(), "errors": nowhere.fileno()}
            process = fork_server.start(command, cwd=tmp_path, env=environment_of(prefect_server), **streams)
        eventually(lambda enough=enough: len(judged_texts(sessions)) >= enough, f"{enough} judgements")
        os.kill(process.process_id, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    judge.goes_on.set()
    before, asked = judged_texts(sessions), len(judge.bodies)
    assert 40 <= len(before) < 2 * PAIRS
    ended = antipode(*command)
    assert ended.returncode == 0, ended.stderr
    assert "60 of 60 different pairs of run 1 judged" in ended.stdout
    after = judged_texts(sessions)
    assert len(after) == len(set(after)) == 2 * PAIRS
    assert not {sides(body) for body in judge.bodies[asked:]} & set(before), "a stored verdict was paid for again"
    # What was under way at a kill is all that may have been asked twice: eight requests each time.
    assert len(judge.bodies) <= 2 * PAIRS + 16
    with sessions() as session:
        outcomes = session.execute(text("SELECT outcome, count(*) FROM preferences GROUP BY outcome")).all()
        runs = session.execute(text("SELECT status FROM runs WHERE kind = 'label'")).all()
    assert [tuple(row) for row in outcomes] == [("first", PAIRS)] and [row.status for row in runs] == ["completed"]


@on_sqlite
def test_ctrl_c_in_a_terminal_stops_a_judge_at_once_and_its_run_is_not_running(
    antipode, curated, judge, sessions, tmp_path
):
    """A terminal sends it to every process, the temporary Prefect server's too."""
    command = ("label", "--judge.base_url", judge.url, "--judge.model", "tiny", "--judge.concurrency", "1")
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    judge.answers = 3
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", *command],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    eventually(lambda: len(judge.bodies) >= 4, "four requests")
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "antipode: stopped; the same command again goes on" in said
    with sessions() as session:
        assert session.execute(text("SELECT status, error FROM runs WHERE kind = 'label'")).all() == [("stopped", None)]


@on_sqlite
def test_stored_preferences_are_told_as_an_event_and_shown_as_artifacts(antipode, curated, judge, prefect_server):
    done = antipode("label", "--judge.base_url", judge.url, "--judge.model", "tiny", "--pairs.limit", "10")
    assert done.returncode == 0 and "20 requests" in done.stdout, done.stderr
    wanted = {"filter": {"event": {"name": ["antipode.preferences.added"]}, "resource": {"id": ["antipode.run.1"]}}}

    def found():
        events = httpx.post(f"{prefect_server}/events/filter", json=wanted, timeout=60).json()["events"]
        return [event for event in events if event["payload"]["judgements"] == 20]

    (event,) = eventually(found, "the event")
    assert event["payload"] == {"label_run_id": 2, "run_id": 1, "judgements": 20, "preferences": {"first": 10}}
    artifacts = httpx.post(f"{prefect_server}/artifacts/latest/filter", json={}, timeout=60).json()
    shown = {artifact["key"]: artifact for artifact in artifacts}
    assert "20 judgements by 1 annotator" in shown["labels-of-run-1"]["data"]
    assert shown["labels-of-run-1-picture"]["data"].startswith("data:image/svg+xml")


@on_sqlite
def test_the_page_is_served_until_ctrl_c_and_its_labels_are_exported(antipode, curated, prefect_server, tmp_path):
    command = ("web", "--annotators", "anna,ben", "--strategies", "easy", "--port", "4377")
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", *command],
        cwd=tmp_path,
        env=environment_of(prefect_server),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        links = re.findall(r"(\w+): (http://127\.0\.0\.1:4377/sign-in\?token=\S+)", "".join(lines))
        assert [name for name, _ in links] == ["anna", "ben"]
        origin = "http://127.0.0.1:4377"
        with httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=60) as anna:
            eventually(lambda: answers(anna, "/health"), "the page")
            assert anna.get("/queues/1/pair").status_code == 401
            assert anna.get(links[0][1]).status_code == 200
            pair = anna.get("/queues/1/pair").json()["pair"]
            verdict = {name: pair[name] for name in ("left_id", "right_id", "shown_at")} | {"person": "anna"}
            posted = anna.post("/queues/1/verdicts", json=verdict | {"verdict": "left", "seconds": 2.0})
            assert posted.status_code == 200 and posted.json()["progress"]["done_count"] == 1
        assert_one_line(antipode(*command), 1, "cannot listen on 127.0.0.1, port 4377", "--port")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 0
        assert "Next: antipode quality --run 1\n" in process.stdout.read()
    finally:
        process.kill()
        process.stdout.close()
    exported = antipode("export", "out.jsonl")
    assert exported.returncode == 0 and "1 of 60 pairs in out.jsonl (snapshot 1)" in exported.stdout, exported.stderr
    (row,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert row["chosen_response_id"] == pair["left_id"]


def answers(client, path):
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


@on_sqlite
def test_what_is_missing_is_one_line_that_says_what_to_do(antipode, curated, tmp_path):
    assert_one_line(antipode("label"), 2, "a judge needs an address and a model", "--annotator people")
    assert_one_line(antipode("label", "--annotator", "gold", "--rubric.seed", "1"), 2, "the annotator is gold")
    assert_one_line(antipode("label", "--annotator", "best"), 2, "--annotator", "'best'")
    assert_one_line(antipode("web", "--run", "7"), 1, "there is no run '7'")
    assert_one_line(antipode("web", "--annotators", " "), 1, "1 to 100 characters")
    assert_one_line(antipode("export", "out.jsonl"), 1, "no pair is labelled yet")
    assert_one_line(antipode("import-labels", "nowhere.jsonl"), 1, "nowhere.jsonl")
    assert_one_line(antipode("export-pairs", "pairs.csv"), 1, ".jsonl")
    unreachable = ("--judge.base_url", "http://127.0.0.1:9/v1", "--judge.model", "m", "--judge.max_retries", "0")
    assert_one_line(antipode("label", *unreachable), 1, "http://127.0.0.1:9/v1", "cannot be reached")
    said = antipode("quality")
    assert said.returncode == 0 and "no judgements yet; make some: antipode web --run 1" in said.stdout
    assert antipode("label", "--annotator", "gold").stdout.count("Next:") == 1
