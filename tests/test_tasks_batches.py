"""Curating and labelling in batches: what is stored and what is paid, also where the process dies on the way."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter

import pytest
from batch_server import BatchApi
from chat_server import completion, echo, refusal, serving
from curation_steps import configured, curate, row
from judged_pairs import prefers
from labelling_steps import curate_breads, judge_config, label
from sqlalchemy import select as query
from stored_labels import stored
from stored_rows import add
from surroundings import on_sqlite

from db import runs
from db.schema import curation, labels
from models.chat.batch_server import BatchServer
from models.judging.errors import JudgeServerError
from tasks.labels.labelling import DatabaseReplies

KEY = "sk-3f9c/77aa21b0+planted"
PRICES = {"input_price": 2.0, "output_price": 4.0}


@pytest.fixture
def server():
    with serving(BatchApi()) as own:
        yield own


def batch_states(sessions):
    with sessions() as session:
        return [batch.state for batch in session.scalars(query(labels.Batch).order_by(labels.Batch.created_at))]


def cost_of(sessions, run_id):
    with sessions() as session:
        run = runs.get_run(session, run_id)
        return run.requests, run.cost


def generating(server, **changes):
    section = {"backend": "openai", "base_url": server.url, "responses_per_prompt": 2, "mode": "batch"}
    return configured(model={"name": "tiny"}, generate=section | {"batch_poll_s": 0.01} | changes)


def judging(server, **changes):
    return judge_config(server, mode="batch", batch_poll_s=0.01, **changes)


def test_a_curation_samples_in_one_batch_at_half_the_price(settings, sessions, server):
    server.reply = echo
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 5)))
    run_id = curate(generating(server, **PRICES))
    with sessions() as session:
        responses = session.scalars(query(curation.Response)).all()
        assert all(response.text == f"{prompt.text} {response.seed}" for response, prompt in _with_prompts(session))
        assert runs.summaries(session, run_id)[0].pairs == 4 * 4
    assert len(responses) == len(server.paid) == 8 and len(server.batches) == 1
    assert batch_states(sessions) == ["taken"]
    assert cost_of(sessions, run_id) == (8, pytest.approx(0.5 * 8 * (2.0 + 3 * 4.0) / 1e6))


def _with_prompts(session):
    joined = query(curation.Response, curation.Prompt).join(
        curation.Prompt, curation.Prompt.id == curation.Response.prompt_id
    )
    return session.execute(joined).all()


def test_a_prompt_that_a_batch_refuses_is_left_out(settings, sessions, server):
    server.reply = lambda body, n: (
        refusal(400, "content policy") if body["messages"][-1]["content"] == "Prompt 2?" else echo(body, n)
    )
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 5)))
    run_id = curate(generating(server))
    with sessions() as session:
        reason = "refused for tiny: the server refused the request (HTTP 400: content policy)"
        assert runs.skip_counts(session, run_id) == {reason: 1}
    assert len(server.paid) == 6


@pytest.mark.parametrize("call", ["upload", "create", "look", "results"])
@pytest.mark.parametrize("is_after", [False, True])
@on_sqlite
def test_a_kill_pays_no_sample_twice(settings, sessions, server, monkeypatch, call, is_after):
    server.reply = echo
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 5)))
    own = getattr(BatchServer, call)

    def killed(self, *arguments):
        if is_after:
            own(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BatchServer, call, killed)
        with pytest.raises(KeyboardInterrupt):
            curate(generating(server, **PRICES))
    run_id = curate(generating(server, **PRICES))
    with sessions() as session:
        assert len(session.scalars(query(curation.Response)).all()) == 8
    assert len(server.paid) == len(set(server.paid)) == 8
    assert cost_of(sessions, run_id) == (8, pytest.approx(0.5 * 8 * (2.0 + 3 * 4.0) / 1e6))


def test_a_judge_in_batches_says_what_a_judge_says(settings, sessions, server, capsys):
    server.reply = prefers
    run_id = curate_breads(sessions)
    labelled = label(**judging(server, **PRICES))
    found = stored(sessions)
    assert len(found) == 12 == len(server.paid) and run_id != labelled
    assert Counter(judgement.verdict for judgement in found) == {"first": 12}
    assert cost_of(sessions, labelled) == (12, pytest.approx(0.5 * 12 * (2.0 + 3 * 4.0) / 1e6))
    assert sum(judgement.cost for judgement in found) == pytest.approx(cost_of(sessions, labelled)[1])
    assert "batch batch_0: 12 questions, which the server answers within a day" in capsys.readouterr().err
    assert label(**judging(server, seed=1)) and len(server.paid) == 24


def test_replies_that_cannot_be_read_are_asked_again_together(settings, sessions, server):
    server.reply = lambda body, _: prefers(body) if body["seed"] else completion("Hm.")
    curate_breads(sessions)
    label(**judging(server, parse_retries=1))
    assert Counter(judgement.verdict for judgement in stored(sessions)) == {"first": 12}
    assert [len(content.splitlines()) for content in server.uploads.values()] == [12, 12]


@on_sqlite
def test_a_server_that_refuses_the_form_itself_leaves_nothing_out(settings, sessions, server):
    words = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
    server.reply = lambda body, _: refusal(400, words) if body["messages"][0]["role"] == "system" else prefers(body)
    curate_breads(sessions)
    with pytest.raises(JudgeServerError, match=r"set system_role to developer or user; it refuses whatever"):
        label(**judging(server))
    assert stored(sessions) == []
    label(**judging(server, system_role="user"))
    assert len(stored(sessions)) == 12


@on_sqlite
def test_replies_that_are_cut_before_a_verdict_are_told_with_what_to_do(settings, sessions, server, capsys):
    server.reply = lambda *_: completion("<think>The left one", "length")
    curate_breads(sessions)
    label(**judging(server, max_tokens=9))
    assert {(row.verdict, row.raw_reply) for row in stored(sessions)} == {("unparsed", "")}
    told = "12 replies of the judge have no verdict: cut off before a verdict, at judge.max_tokens 9; raise it"
    assert told in capsys.readouterr().err
    label(**judging(server, max_tokens=9, has_rationale=True))
    with sessions() as session:
        assert {reply.is_cut for reply in session.scalars(query(labels.Reply))} == {True}


@on_sqlite
def test_a_judge_that_is_killed_while_it_stores_replies_asks_none_again(settings, sessions, server, monkeypatch):
    server.reply = prefers
    curate_breads(sessions)
    put, count = DatabaseReplies.put, []

    def killed(self, key, reply):
        count.append(key)
        if len(count) == 5:
            raise KeyboardInterrupt
        put(self, key, reply)

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseReplies, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            label(**judging(server))
    label(**judging(server))
    assert len(stored(sessions)) == 12 and len(server.paid) == 12 and len(server.batches) == 1


@on_sqlite
def test_no_key_of_a_batch_server_is_stored_or_shown(settings, sessions, server, monkeypatch):
    monkeypatch.setenv("ANTIPODE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf_planted12345678")
    server.reply = lambda *_: refusal(401, f"bad key {KEY} hf_planted12345678")
    curate_breads(sessions)
    with pytest.raises(JudgeServerError) as caught:
        label(**judging(server))
    server.failure = f"{KEY} has no credit, nor has hf_planted12345678"
    with pytest.raises(JudgeServerError, match="has no credit") as failed:
        label(**judging(server))
    with sessions() as session:
        errors = "".join(str(run.error) for run in session.scalars(query(curation.Run)))
    for words in (str(caught.value), str(failed.value), errors):
        assert "planted" not in words


@pytest.mark.parametrize("mode", ["batch", "live"])
@on_sqlite
def test_no_reply_is_stored_with_a_key_in_it(settings, sessions, server, monkeypatch, mode):
    monkeypatch.setenv("ANTIPODE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf_planted12345678")
    escaped = json.dumps(KEY).replace("-", "\\u002d").replace("/", "\\/")
    basic = b64encode(f"me:{KEY}".encode()).decode()
    words = f"Told {KEY}, {escaped}, Basic {basic}, hf_planted12345678.\nVerdict: m"
    server.reply = lambda *_: completion(words)
    curate_breads(sessions)
    label(**judge_config(server, has_rationale=True, mode=mode, batch_poll_s=0.01))
    with sessions() as session:
        told = [reply.text for reply in session.scalars(query(labels.Reply))]
    told += [f"{row.raw_reply} {row.rationale}" for row in stored(sessions)]
    assert len(told) == 24 and all(text.count("[key]") >= 4 for text in told)
    assert not any("planted" in text or basic[8:24] in text for text in told)
