"""The labelling steps in this process: what annotators leave in the database, resuming, budgets."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from chat_server import ChatServer, completion, refusal, serving
from curation_steps import configured, curate
from judged_pairs import prefers
from labelling_steps import OWN, curate_breads, judge_config, label, pair_keys
from queued_pairs import open_queue, person, places
from reward_models import make_reward_model
from sqlalchemy import select as query
from sqlalchemy import text
from stored_labels import ANNA, BEN, judge, stored
from stored_rows import add
from surroundings import on_sqlite

from db.labels import judgements, queues
from db.labels.queueing import adjudication
from db.schema import labels
from models.judging.errors import JudgeServerError
from models.labelling.records import PairKey
from models.records import ImportedPair, ImportedResponse, ImportedRow, Prompt
from tasks.config.exchange import ExportConfig
from tasks.config.labels import LabelConfig
from tasks.curation.ingestion import import_demo_prompts
from tasks.errors import MuteJudgeError, NoPreferencesError, NothingToDoError, RunBusyError
from tasks.labels import labelling
from tasks.labels.exchange import export_preferences
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run
from tasks.labels.quality import quality_of_run
from tasks.reports.run_ends import label_end
from tasks.reports.run_publishing import publish_labels
from tasks.runs import alone_on


@pytest.fixture
def run_id(sessions):
    return curate_breads(sessions)


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        own.reply = prefers
        yield own


def outcomes(sessions):
    with sessions() as session:
        return Counter(session.scalars(query(labels.Preference.outcome)))


def test_a_judge_is_asked_in_both_orders_and_its_verdicts_become_preferences(settings, sessions, run_id, server):
    labelled = label(**judge_config(server))
    found = stored(sessions)
    assert len(server.bodies) == 12 and len(found) == 12
    assert {row.left_response_id == row.first_response_id for row in found} == {True, False}
    assert outcomes(sessions) == {"first": 6}, "the longer response came first"
    end = label_end(labelled, settings)
    assert (end.annotator, end.pairs, end.judged, end.requests) == ("tiny (alpaca_eval)", 6, 6, 12)
    assert end.verdicts == {"first": 12} and end.outcomes == {"first": 6}


def test_a_judge_that_always_takes_the_left_one_yields_ties_alone(settings, sessions, run_id, server):
    server.reply = lambda _body, _number: completion("m")
    label(**judge_config(server))
    assert outcomes(sessions) == {"tie": 6}
    quality = quality_of_run(run_id, strategies=(), settings=settings)
    (annotator,) = quality.annotators
    assert annotator.left.value == 1.0 and annotator.flips.value == 1.0
    with pytest.raises(NoPreferencesError, match="there are: 6 tie"):
        export_preferences(settings.artifact_root / "x.jsonl", ExportConfig(), settings)


def test_what_a_judge_says_brings_contradictions_to_those_who_settle_them_and_takes_others_away(
    settings, sessions, run_id, server
):
    one, other, *_ = pairs = pair_keys(sessions, run_id)
    queue = open_queue(sessions, pairs)
    lea = person(sessions, "lea")
    with sessions.begin() as session:
        settling = adjudication.open_adjudication(session, queue, [lea])
    for identity, pair, verdict in ((ANNA, one, "second"), (ANNA, other, "first"), (BEN, other, "second")):
        judge(sessions, identity, pair, verdict)
    with sessions.begin() as session:
        queues.labels_came(session, pairs)
    assert [pair for pair, *_ in places(sessions, settling)] == [other]
    label(**judge_config(server))
    assert [pair for pair, *_ in places(sessions, settling)] == [one]


def test_the_same_labelling_again_asks_nobody(settings, sessions, run_id, server):
    label(**judge_config(server))
    before = stored(sessions)
    label(**judge_config(server))
    assert len(server.bodies) == 12
    assert [row.id for row in stored(sessions)] == [row.id for row in before]


def test_the_budget_ends_a_run_and_the_next_one_goes_on(settings, sessions, run_id, server):
    first = label(**judge_config(server, max_requests=5, concurrency=1))
    assert len(server.bodies) == 5 and len(stored(sessions)) == 5
    assert label_end(first, settings).requests == 5
    label(**judge_config(server, max_requests=5, concurrency=1))
    assert len(server.bodies) == 10 and len(stored(sessions)) == 10
    label(**judge_config(server, max_requests=5, concurrency=1))
    assert len(server.bodies) == 12 and outcomes(sessions) == {"first": 6}


def test_a_server_that_fails_midway_loses_no_reply(settings, sessions, run_id, server):
    server.reply = lambda body, number: prefers(body) if number <= 5 else refusal(401, "no")
    with pytest.raises(JudgeServerError):
        label(**judge_config(server, concurrency=1))
    assert len(stored(sessions)) == 5
    asked = len(server.bodies)
    server.reply = prefers
    label(**judge_config(server, concurrency=1))
    assert len(server.bodies) == asked + 7 and outcomes(sessions) == {"first": 6}


def test_what_a_killed_run_spent_counts_when_it_is_taken_up(settings, sessions, run_id, server):
    config = LabelConfig.model_validate(judge_config(server, max_requests=7, concurrency=1))
    taken = open_label_run.fn(config)
    server.reply = lambda body, number: prefers(body) if number <= 4 else refusal(401, "no")
    with pytest.raises(JudgeServerError):
        judge_pairs.fn(taken)
    server.reply = prefers
    assert open_label_run.fn(config) == taken
    judge_pairs.fn(taken)
    assert len(server.bodies) == 7
    assert len(stored(sessions)) == 6, "4 replies and a refusal before, 2 replies after"


def test_a_run_never_sends_more_than_its_budget_however_often_it_fails(settings, sessions, run_id, server):
    server.reply = lambda _body, _number: refusal(500, "broken")
    config = LabelConfig.model_validate(judge_config(server, max_requests=6))
    for _ in range(4):
        taken = open_label_run.fn(config)
        with suppress(JudgeServerError):
            judge_pairs.fn(taken)
    assert len(server.bodies) == 6
    with sessions() as session:
        assert session.execute(text("SELECT id, requests FROM runs WHERE kind = 'label'")).all() == [(taken, 6)]


def test_two_processes_do_not_label_for_the_same_run(settings, sessions, run_id, server):
    taken = open_label_run.fn(LabelConfig.model_validate(judge_config(server)))
    with alone_on(taken):
        with pytest.raises(RunBusyError, match=f"run {taken} is being worked on by another process"), alone_on(taken):
            pass
        with alone_on(taken + 1):
            pass


def test_a_pair_the_server_refuses_is_no_label_and_asked_about_again(settings, sessions, run_id, server, capsys):
    server.reply = lambda body, _number: refusal(400, "content policy") if "rye bread 1" in str(body) else prefers(body)
    end = label_end(label(**judge_config(server, concurrency=1)), settings)
    assert end.verdicts == {"first": 10} and end.outcomes == {"first": 5} and end.judged == 5
    assert "1 pairs are skipped: the server refused the request (HTTP 400: content policy)" in capsys.readouterr().err
    assert len(server.bodies) == 12
    label(**judge_config(server, concurrency=1))
    assert len(server.bodies) == 12 + 2 + 1, "both orders, and something harmless"
    server.reply = prefers
    label(**judge_config(server, concurrency=1))
    assert len(server.bodies) == 15 + 2 and outcomes(sessions) == {"first": 6}


def test_a_server_that_begins_to_refuse_everything_leaves_no_skip(settings, sessions, run_id, server):
    server.reply = lambda body, number: prefers(body) if number <= 5 else refusal(400, "no such field")
    with pytest.raises(JudgeServerError, match=r"no such field.* refuses whatever it is asked"):
        label(**judge_config(server, concurrency=1))
    assert len(stored(sessions)) == 5
    asked = len(server.bodies)
    server.reply = prefers
    label(**judge_config(server, concurrency=1))
    assert len(server.bodies) == asked + 7 and outcomes(sessions) == {"first": 6}


@on_sqlite
def test_an_answer_without_a_verdict_is_shown(settings, sessions, run_id, server):
    server.reply = lambda _body, _number: completion("I like turtles")
    end = label_end(label(**judge_config(server)), settings)
    assert end.verdicts == {"unparsed": 12} and end.unparsed_reply == "I like turtles" and end.outcomes == {}
    again = label_end(label(**judge_config(server)), settings)
    assert again.verdicts == {} and (again.unparsed, again.unparsed_reply) == (12, "I like turtles")


@on_sqlite
def test_a_judge_that_never_gives_a_verdict_is_not_asked_about_every_pair(monkeypatch, sessions, run_id, server):
    monkeypatch.setattr(labelling, "MUTE", 4)
    server.reply = lambda _body, _number: completion("I like turtles")
    asked_of = judge_config(server)
    with pytest.raises(MuteJudgeError, match="none of the first 4 replies has a verdict, such as 'I like turtles'"):
        label(**asked_of)
    assert [one.verdict for one in stored(sessions)] == ["unparsed"] * 4
    server.reply = prefers  # what it is asked next it answers
    label(**asked_of)
    assert Counter(one.verdict for one in stored(sessions)) == {"unparsed": 4, "first": 8}


@on_sqlite
def test_a_judge_that_gave_one_verdict_is_asked_on(monkeypatch, sessions, run_id, server):
    monkeypatch.setattr(labelling, "MUTE", 2)
    server.reply = lambda body, number: prefers(body, number) if number == 1 else completion("I like turtles")
    label(**judge_config(server, concurrency=1))
    assert len(stored(sessions)) == 12


def test_the_end_of_a_run_that_found_all_judged_names_its_annotator(settings, sessions, run_id, server):
    label(**judge_config(server))
    end = label_end(label(**judge_config(server)), settings)
    assert (end.annotator, end.judged, end.verdicts) == ("tiny (alpaca_eval)", 6, {})
    half = label_end(label(**judge_config(server, model="other", max_requests=3, concurrency=1)), settings)
    assert half.judged == 1, "a pair that was asked in one order alone is not judged"


def test_gold_scores_and_sources_label_what_they_know_and_skip_the_rest(settings, sessions):
    reference = (ImportedResponse("good", is_reference=True), ImportedResponse("bad"))
    scored = (ImportedResponse("many", score=9.0), ImportedResponse("few", score=3.0))
    close = (ImportedResponse("close", score=9.0), ImportedResponse("near", score=8.0))
    rows = [ImportedRow(n, Prompt.from_text(f"p{n}"), both) for n, both in enumerate((reference, scored, close), 1)]
    rows.append(
        ImportedRow(
            4,
            Prompt.from_text("p4"),
            (ImportedResponse("left"), ImportedResponse("right")),
            (ImportedPair(0, 1, "second"),),
        )
    )
    add(sessions, *rows)
    curate(configured(**OWN, source={"has_references": True}))
    for annotator, verdicts in (("gold", {"first": 1}), ("source", {"second": 1}), ("scores", {"first": 1, "tie": 1})):
        end = label_end(label(annotator=annotator), settings)
        assert end.verdicts == verdicts and end.judged == sum(verdicts.values())
    assert outcomes(sessions) == {"first": 2, "second": 1, "tie": 1}


@on_sqlite
def test_two_rubric_annotators_disagree_more_where_responses_are_alike(settings, sessions):
    import_demo_prompts(settings)
    run_id = curate(configured(generate={"backend": "scripted"}, source={"name": "demo", "limit": 20}))
    for seed in (0, 1):
        label(annotator="rubric", rubric={"seed": seed}, pairs={"strategies": ["easy", "random"]})
    quality = quality_of_run(run_id, strategies=(), settings=settings)
    assert [annotator.judgement_count for annotator in quality.annotators] == [quality.labelled_count] * 2
    assert {group.group for group in quality.by_strategy} >= {"easy", "random"}


def test_people_get_a_queue_and_the_same_pairs_are_the_same_queue(settings, sessions, run_id):
    for _ in range(2):
        end = label_end(label(annotator="people", people={"judgements_per_pair": 2}), settings)
    assert end.annotator is None and end.pairs == 6 and end.judged == 0
    with sessions() as session:
        (queue,) = session.scalars(query(labels.Queue)).all()
    assert (queue.pair_count, queue.judgements_per_pair) == (6, 2)


@on_sqlite
def test_labelling_needs_a_run_with_pairs(settings, sessions, run_id):
    with pytest.raises(NothingToDoError, match=f"run {run_id} has no pair of hard or easy"):
        with sessions.begin() as session:
            session.execute(text("DELETE FROM pairs WHERE strategy IN ('hard', 'easy')"))
        label(annotator="gold", pairs={"strategies": ["hard", "easy"]})
    with pytest.raises(LookupError, match="there is no run 'nothing'"):
        label(annotator="gold", pairs={"run": "nothing"})


@on_sqlite
def test_the_report_page_shows_the_labels(settings, sessions, run_id, server):
    publish_labels.fn(label(**judge_config(server)))
    page = (settings.artifact_root / "reports" / f"run-{run_id}.html").read_text()
    assert "tiny (alpaca_eval)" in page


@on_sqlite
def test_a_reward_model_labels(settings, sessions, run_id, demo_model, tmp_path):
    folder = make_reward_model(demo_model, tmp_path / "classifier")
    end = label_end(label(annotator="reward_model", reward_model={"name": folder}), settings)
    assert end.judged == 6
    with sessions() as session:
        found = judgements.judgements_on(session, [PairKey(*pair) for pair in pair_keys(sessions, run_id)])
    assert all(judgement.margin is not None for judgement in found)
