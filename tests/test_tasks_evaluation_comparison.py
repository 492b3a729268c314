"""Comparisons on stored responses: verdicts of the rubric, a judge or people become win rates."""

from __future__ import annotations

import json

import pytest
from chat_server import ChatServer, completion, serving
from compared_policies import HELD_OUT, compared_world, poor
from judged_pairs import prefers
from surroundings import on_sqlite

from db import evaluations
from db.labels import judgements
from models.demo.corpus import reference_response
from models.demo.parser import utility
from models.evaluation.measurements import HeldOut, Measurements
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from tasks.alignment.data import alignment_at_work
from tasks.alignment.opening import open_align_run
from tasks.errors import NothingToDoError
from tasks.evaluation.comparison import compare, pair_margins
from tasks.evaluation.promotion import promote
from tasks.reports.policy_queries import evaluation_end
from tasks.run_kinds import load_alignment


@pytest.fixture
def world(preferred, settings, sessions, tmp_path):
    return compared_world(preferred, settings, sessions, tmp_path)


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        yield own


def outcome(evaluation):
    found = evaluation.metrics.comparison
    return found.wins, found.comparison_count - found.wins - found.losses, found.losses


def judged_by(server):
    judge = {"base_url": server.url, "model": "tiny", "max_retries": 0, "parse_retries": 0}
    return {"annotator": "judge", "judge": judge}


def test_good_responses_win_against_poor_ones_and_lose_the_other_way_round(world):
    first, second = world.policy(poor), world.policy(reference_response)
    world.says(str(world.model), poor)
    won = world.compared(second, f"policy:{first}")
    lost = world.compared(first, f"policy:{second}")
    assert outcome(won) == (HELD_OUT, 0, 0) and outcome(lost) == (0, 0, HELD_OUT)
    assert won.metrics.comparison.rate[0] == 1.0 and lost.metrics.comparison.rate[0] == 0.0
    assert (won.baseline_id, won.baseline_model, won.baseline) == (first, None, f"policy:{first}")
    even = world.compared(first)
    assert outcome(even) == (0, HELD_OUT, 0) and even.metrics.comparison.rate[0] == 0.5
    assert (even.baseline_id, even.baseline) == (None, str(world.model))
    assert json.loads(json.dumps(won.metrics.as_dict(), allow_nan=False)) == won.metrics.as_dict()
    with world.sessions() as session:
        pairs = evaluations.evaluation_pairs(session, lost.id)
        ours = {row[1] for row in pairs}
        assert len(pairs) == HELD_OUT and max(ours) < min(row[2] for row in pairs), "the baseline came later here"


def margins(world, evaluation):
    """The texts of both sides of each pair with the annotator's margin, as a study reads them."""
    with alignment_at_work(evaluation.run_id, load_alignment) as run:
        _, pairs = compare(run, evaluation.policy_id, run.model(evaluation.baseline_id))
        return list(zip(pairs, pair_margins(run, pairs, evaluation.annotator_id), strict=True))


def test_margins_are_scores_of_the_policys_response_less_the_baselines_whichever_came_first(world, server):
    first, second = world.policy(poor), world.policy(reference_response)
    won = margins(world, world.compared(second, f"policy:{first}"))
    lost = margins(world, world.compared(first, f"policy:{second}"))
    assert len(won) == len(lost) == HELD_OUT
    for pair, margin in (*won, *lost):
        prompt = pair.policy.prompt.text
        assert margin == utility(prompt, pair.policy.text) - utility(prompt, pair.baseline.text)
    assert all(margin > 0 for _, margin in won) and all(margin < 0 for _, margin in lost)
    server.reply = prefers
    judged = world.compared(second, f"policy:{first}", **judged_by(server))
    assert [margin for _, margin in margins(world, judged)] == [None] * HELD_OUT, "a judge gives no scores"


@on_sqlite
def test_the_same_comparison_is_found_again_and_others_are_not(world):
    first, second = world.policy(poor), world.policy(reference_response)
    found = world.compared(second, f"policy:{first}")
    again = world.compared(second, f"policy:{first}")
    assert again.id == found.id and again.finished_at == found.finished_at
    other = world.compared(second, f"policy:{first}", annotator="rubric", rubric={"temperature": 0, "seed": 1})
    assert other.id != found.id


@on_sqlite
def test_what_changes_no_verdict_makes_no_second_comparison(world, server):
    server.reply = prefers
    first, second = world.policy(poor), world.policy(reference_response)
    found = world.compared(second, f"policy:{first}")
    for unrelated in ({"has_drift": True}, {"reward_beta": 0.5}):
        again = world.compared(second, f"policy:{first}", annotator="rubric", **unrelated)
        assert (again.id, again.finished_at) == (found.id, found.finished_at)
    judge = judged_by(server)
    judged = world.compared(second, f"policy:{first}", **judge)
    asked = len(server.bodies)
    hurried = judge["judge"] | {"timeout_s": 9, "concurrency": 1, "max_retries": 3, "max_requests": 5}
    assert world.compared(second, f"policy:{first}", annotator="judge", judge=hurried).id == judged.id != found.id
    assert len(server.bodies) == asked
    other = world.compared(second, f"policy:{first}", annotator="judge", judge=judge["judge"] | {"temperature": 1})
    assert other.id not in {found.id, judged.id}, "another temperature may give another verdict"


@on_sqlite
def test_a_judge_that_always_takes_the_left_one_finds_nobody_better(world, server):
    server.reply = lambda _body, _number: completion("m")
    first, second = world.policy(poor), world.policy(reference_response)
    for ours, theirs in ((second, first), (first, second)):
        found = world.compared(ours, f"policy:{theirs}", **judged_by(server))
        assert outcome(found) == (0, HELD_OUT, 0) and found.metrics.comparison.rate[0] == 0.5
        assert found.annotator == "tiny (alpaca_eval)"
    assert len(server.bodies) == 2 * HELD_OUT, "the other way round asks nothing again"


@on_sqlite
def test_a_judge_by_content_decides_the_same_whoever_has_the_lower_id(world, server):
    server.reply = prefers
    first, second = world.policy(lambda text: f"wheat, {text}"), world.policy(lambda text: f"rye bread, {text}")
    assert outcome(world.compared(second, f"policy:{first}", **judged_by(server))) == (HELD_OUT, 0, 0)
    assert outcome(world.compared(first, f"policy:{second}", **judged_by(server))) == (0, 0, HELD_OUT)


@on_sqlite
def test_what_was_measured_while_a_judge_compared_is_kept(world, server):
    first, second = world.policy(poor), world.policy(reference_response)
    measured = HeldOut("measured meanwhile", None, None)

    def reply(body, number):
        if number == 1:
            with world.sessions.begin() as session:
                (found,) = evaluations.evaluations_of(session, second)
                evaluations.finish_evaluation(session, found.id, Measurements(held_out=measured))
        return prefers(body)

    server.reply = reply
    found = world.compared(second, f"policy:{first}", **judged_by(server))
    assert outcome(found) == (HELD_OUT, 0, 0) and found.metrics.held_out == measured


@on_sqlite
def test_a_judge_without_a_verdict_is_not_counted(world, server):
    first, second = world.policy(poor), world.policy(reference_response)
    server.reply = lambda body, _number: completion("who knows")
    found = world.compared(second, f"policy:{first}", **judged_by(server))
    assert found.metrics.comparison is None
    assert evaluation_end(found.id, world.settings).figures is None


@on_sqlite
def test_people_compare_at_the_page_and_the_same_command_counts_them(world, capsys):
    first, second = world.policy(poor), world.policy(reference_response)
    world.compared(second, f"policy:{first}")  # a machine has judged the same pairs: that is not people's word
    found = world.compared(second, f"policy:{first}", annotator="people")
    assert found.metrics.comparison is None
    assert evaluation_end(found.id, world.settings).figures is None
    assert f"antipode web --evaluation {found.id}" in capsys.readouterr().err
    with world.sessions.begin() as session:
        rows = evaluations.evaluation_pairs(session, found.id)
        people = [judgements.add_annotator(session, AnnotatorIdentity("person", name)) for name in ("anna", "ben")]
        for at, (_, ours, theirs) in enumerate(rows):
            pair = PairKey(min(ours, theirs), max(ours, theirs))
            mine = "first" if ours == pair.first_response_id else "second"
            other = "second" if mine == "first" else "first"
            said = [mine, mine] if at < 4 else [mine, other] if at < 6 else [other]
            judge(session, people, pair, said)
    counted = world.compared(second, f"policy:{first}", annotator="people")
    assert counted.id == found.id and outcome(counted) == (4, 2, HELD_OUT - 6)
    assert counted.metrics.comparison.unread == 0
    with world.sessions.begin() as session:
        _, ours, theirs = evaluations.evaluation_pairs(session, found.id)[-1]
        pair = PairKey(min(ours, theirs), max(ours, theirs))
        judge(session, people[1:], pair, ["first" if ours == pair.first_response_id else "second"])
    assert outcome(world.compared(second, f"policy:{first}", annotator="people")) == (4, 3, HELD_OUT - 7)


def judge(session, people, pair, verdicts):
    for person, verdict in zip(people, verdicts, strict=False):
        judgements.add_judgements(session, person, [Judgement(pair, pair.first_response_id, verdict)], run_id=None)


@on_sqlite
def test_a_policy_compared_with_itself_says_what_is_wrong(world):
    policy_id = world.policy(poor)
    promote(policy_id, is_forced=True, settings=world.settings)
    for against in (f"policy:{policy_id}", "promoted"):
        with pytest.raises(NothingToDoError, match=f"policy {policy_id} would be compared with itself"):
            world.compared(policy_id, against)


@on_sqlite
def test_people_may_compare_what_a_gated_run_trained(world):
    gated = world.config.model_dump(mode="json") | {"gate": {"promote": True}, "name": "gated"}
    world.run_id = open_align_run.fn(type(world.config).model_validate(gated))
    first, second = world.policy(poor), world.policy(reference_response)
    found = world.compared(second, f"policy:{first}", annotator="people")
    assert found.metrics.comparison is None
