"""Sampling from a real HTTP server that refuses, fails and is killed in the middle: what is stored, what is paid."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from chat_server import ChatServer, completion, echo, refusal, serving
from curation_steps import configured, curate, row
from labelling_steps import curate_breads, judge_config, label
from sqlalchemy import func
from sqlalchemy import select as query
from stored_rows import add
from surroundings import ROOT, on_sqlite, wait_for

from db import runs
from db.schema import curation
from models.generation.openai_server import GenerationStoppedError
from models.judging.errors import JudgeServerError
from tasks.curation.generation import OUT_OF_BUDGET, generate
from tasks.curation.opening import open_run
from tasks.runs import recorded

KEY = "sk-3f9c/77aa21b0+planted"


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        yield own


def served(server, **changes):
    section = {"backend": "openai", "base_url": server.url, "responses_per_prompt": 2, "concurrency": 1}
    return configured(model={"name": "tiny"}, generate=section | changes)


def add_prompts(sessions, count):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, count + 1)))


def response_count(sessions):
    with sessions() as session:
        return session.scalar(query(func.count()).select_from(curation.Response))


def of_prompt(body):
    return body["messages"][-1]["content"]


def generated(config):
    run_id = open_run.fn(config)
    with recorded(run_id):
        generate.fn(run_id)
    return run_id


@on_sqlite
def test_a_refused_prompt_is_left_out_with_its_reason_and_all_others_are_stored(settings, sessions, server):
    server.reply = lambda body, n: refusal(400, "content policy") if of_prompt(body) == "Prompt 7?" else echo(body, n)
    add_prompts(sessions, 24)
    run_id = curate(served(server, concurrency=4))
    assert response_count(sessions) == 46
    assert len(server.bodies) in {47, 48}, "the second sample may have been under way"
    with sessions() as session:
        reason = "refused for tiny: the server refused the request (HTTP 400: content policy)"
        assert runs.skip_counts(session, run_id) == {reason: 1}
        assert runs.summaries(session, run_id)[0].pairs == 4 * 23


@on_sqlite
def test_what_came_before_a_failure_is_not_paid_for_again(settings, sessions, server):
    def reply(body, number):
        if of_prompt(body) == "Prompt 3?":
            return refusal(422, "too rude")
        return echo(body, number) if number <= 21 else refusal(401, "no")

    server.reply = reply
    add_prompts(sessions, 16)
    with pytest.raises(GenerationStoppedError, match="refuses the API key"):
        curate(served(server, output_price=1.0))
    assert (response_count(sessions), len(server.bodies)) == (20, 22)
    with sessions() as session:
        run = runs.get_run(session, 1)
        assert (run.status, run.requests, run.cost) == ("failed", 22, pytest.approx(20 * 3 / 1e6))
        assert run.error.startswith("GenerationStoppedError: some responses of tiny are missing (those that came ")
    server.reply = echo
    assert curate(served(server, output_price=1.0)) == 1
    assert (response_count(sessions), len(server.bodies)) == (30, 22 + 10), "what was refused is not asked again"


@on_sqlite
def test_a_server_that_refuses_everything_leaves_out_nothing(settings, sessions, server):
    server.reply = lambda body, number: echo(body, number) if number <= 20 else refusal(400, "no such field")
    add_prompts(sessions, 20)
    with pytest.raises(GenerationStoppedError, match="refuses whatever it is asked"):
        curate(served(server))
    assert (response_count(sessions), len(server.bodies)) == (20, 20 + 5 + 1)
    server.reply = echo
    run_id = curate(served(server))
    assert (response_count(sessions), len(server.bodies)) == (40, 26 + 20)
    with sessions() as session:
        assert runs.skip_counts(session, run_id) == {}


@on_sqlite
def test_a_kill_in_the_middle_of_a_shard_loses_what_was_under_way_alone(settings, sessions, server):
    def slow(body, number):
        time.sleep(0.01)
        return echo(body, number)

    server.reply = slow
    add_prompts(sessions, 60)
    run_id = open_run.fn(served(server, concurrency=4))
    script = f"from tasks.curation.generation import generate; generate.fn({run_id})"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: len(server.bodies) >= 40, "the sampling")
        os.kill(process.pid, signal.SIGKILL)
    asked, kept = len(server.bodies), response_count(sessions)
    assert 40 <= asked < 120
    assert asked - 4 <= kept <= asked
    assert generated(served(server)) == run_id
    assert response_count(sessions) == 120
    assert len(server.bodies) == asked + 120 - kept
    seeds = [(of_prompt(body), body["seed"]) for body in server.bodies]
    assert len(seeds) - len(set(seeds)) == asked - kept, "only what was under way was asked twice"


@on_sqlite
def test_a_budget_ends_the_sampling_and_the_next_run_goes_on(settings, sessions, server, capsys):
    add_prompts(sessions, 8)
    first = curate(served(server, max_requests=9))
    assert (response_count(sessions), len(server.bodies)) == (9, 9)
    assert "the budget is used up" in capsys.readouterr().err
    with sessions() as session:
        assert runs.skip_counts(session, first) == {OUT_OF_BUDGET: 4}
        summary = runs.summaries(session, first)[0]
        assert (summary.status, summary.requests, summary.pairs) == ("completed", 9, 4 * 4)
    second = curate(served(server, max_requests=9))
    assert (response_count(sessions), len(server.bodies)) == (16, 16)
    with sessions() as session:
        assert second != first and runs.skip_counts(session, second) == {}


@on_sqlite
def test_a_run_never_sends_more_than_its_budget_however_often_it_fails(settings, sessions, server):
    server.reply = lambda *_: refusal(401, "no")
    add_prompts(sessions, 8)
    config = served(server, max_cost=1.0, max_requests=3, input_price=1.0)
    for _ in range(3):
        with pytest.raises(GenerationStoppedError, match="refuses the API key"):
            generated(config)
    server.reply = echo
    generated(config)
    assert len(server.bodies) == 3 and response_count(sessions) == 0
    with sessions() as session:
        assert (runs.get_run(session, 1).requests, runs.get_run(session, 1).cost) == (3, 0.0)


@on_sqlite
@pytest.mark.parametrize("status", [200, 400, 500, 404])
def test_no_secret_that_a_server_echoes_is_stored_or_shown(
    settings, sessions, server, status, monkeypatch, capsys, caplog, tmp_path
):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ANTIPODE_OPENAI_API_KEY", KEY)
    monkeypatch.setattr("tasks.curation.engines.REQUEST_RETRIES", 0)
    run_id = curate_breads(sessions)

    def echoes(body, number):
        words = f"m, {server.keys} {body['messages'][0]['content'][:5]}"
        return completion(words) if status == 200 else refusal(status, words)

    server.reply = echoes
    shown = ""
    for work in (
        lambda: label(**judge_config(server)),
        lambda: curate(served(server, when="always", responses_per_prompt=2)),
    ):
        try:
            work()
        except (GenerationStoppedError, JudgeServerError) as error:
            shown += f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert server.keys == {f"Bearer {KEY}"}
    assert run_id and (status != 200 or response_count(sessions) > 12)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.endswith(".db") for path in files)
    stored = b"".join(path.read_bytes() for path in files)
    assert b"[key]" in stored
    for text in (shown, caplog.text, *capsys.readouterr()):
        assert KEY not in text
    assert KEY.encode() not in stored and b"planted" not in stored
