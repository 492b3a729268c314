"""What goes into use: promotion through the gate or by force, the way back, what `promoted` means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from compared_policies import compared_world, poor
from curation_steps import configured
from sqlalchemy import event
from surroundings import on_sqlite

from db import evaluations, policies, promotions, runs
from models.demo.corpus import reference_response
from models.evaluation.measurements import ComparisonSummary, Measurements
from models.intervals import share
from tasks.config.curation import ModelConfig
from tasks.curation.opening import open_run
from tasks.errors import GateError
from tasks.evaluation.promotion import gate_verdict, promote, roll_back
from tasks.named_models import chosen_model
from tasks.reports.policy_queries import policy_lines


@pytest.fixture
def world(preferred, settings, sessions, tmp_path):
    return compared_world(preferred, settings, sessions, tmp_path)


@on_sqlite
def test_the_gate_lets_in_what_is_better_by_more_than_the_noise(world):
    better, other = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    with pytest.raises(GateError, match=f"it was never compared with {world.model}.*evaluate {better} --against start"):
        promote(better, is_forced=False, settings=world.settings)
    world.compared(better)
    reason = promote(better, is_forced=False, settings=world.settings)
    assert reason.startswith(f"its win rate against {world.model} is 1.000") and "above 0.5" in reason
    assert promote(better, is_forced=False, settings=world.settings) == f"it is in use ({reason})"
    with pytest.raises(GateError, match=f"never compared with policy:{better}"):
        promote(other, is_forced=False, settings=world.settings)
    world.compared(other, "promoted")
    with pytest.raises(GateError, match=r"is 0\.000; look 1 of 1 at it is judged at 2\.5 % .*, below 0\.5"):
        promote(other, is_forced=False, settings=world.settings)
    with world.sessions() as session:
        assert promotions.in_use(session) == better
        (row,) = promotions.history(session)
    assert row.evaluation_id is not None and not row.is_forced


@on_sqlite
def test_looks_are_counted_over_all_candidates_and_none_is_forgotten(world):
    better, even = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    for seed in range(4):
        world.compared(even, annotator="rubric", rubric={"temperature": 0, "seed": seed})
        world.compared(even, annotator="rubric", rubric={"temperature": 0, "seed": seed})
    with pytest.raises(
        GateError, match=r"look 4 of 4 at it is judged at 0\.25 % \(5 % over all looks\), gate interval"
    ):
        promote(even, is_forced=False, settings=world.settings)
    world.compared(better)
    reason = promote(better, is_forced=False, settings=world.settings)
    assert "look 5 of 5 at it is judged at 0.17 % (5 % over all looks), gate interval 0.5" in reason
    with world.sessions() as session:
        assert promotions.history(session)[-1].reason == reason


@on_sqlite
def test_neither_a_later_look_nor_an_earlier_one_simply_counts_instead(world):
    policy_id = world.policy(reference_response)
    world.says(str(world.model), poor)
    found = world.compared(policy_id)

    def looked_at(key, wins, losses):
        prompts = wins + losses
        rate = share([1.0] * wins + [0.0] * losses, range(prompts))
        summary = ComparisonSummary(0, 0, 0, rate, prompts, prompts, wins, losses, length_controlled=None, unread=0)
        with world.sessions.begin() as session:
            evaluation_id = evaluations.open_evaluation(
                session, key=key, run_id=None, policy_id=policy_id, baseline_id=None, baseline_model=str(world.model),
                settings={},
            )  # fmt: skip
            evaluations.finish_evaluation(session, evaluation_id, Measurements(summary))
            return gate_verdict(session, policy_id)

    open_still = looked_at("open", 6, 6)
    assert open_still.is_passed and open_still.evaluation_id == found.id, "the first look proved it"
    worse = looked_at("worse", 2, 38)
    assert not worse.is_passed and "look 3 of 3" in worse.reason and worse.reason.endswith("below 0.5")


@on_sqlite
def test_many_looks_at_one_comparison_ask_no_more_than_one(world):
    policy_id = world.policy(reference_response)
    world.says(str(world.model), poor)
    found = world.compared(policy_id)
    statements = []
    with world.sessions() as session:
        event.listen(session.get_bind(), "before_cursor_execute", lambda *given: statements.append(given[2]))
        gate_verdict(session, policy_id)
        of_one_look = len(statements)
        for losses in (1, 2, 3):
            seen = replace(found.metrics.comparison, losses=losses)
            evaluations.finish_evaluation(session, found.id, Measurements(seen))
        statements.clear()
        assert "look 4 of 4" in gate_verdict(session, policy_id).reason
        assert len(statements) == of_one_look
        session.rollback()


@on_sqlite
def test_a_forced_promotion_says_so_and_rolling_back_goes_the_way_back(world):
    ids = [world.policy(poor) for _ in range(3)]
    for policy_id in ids:
        assert promote(policy_id, is_forced=True, settings=world.settings).startswith("forced, although ")
    lines = policy_lines(world.settings)
    assert [line.policy.id for line in lines if line.is_in_use] == [ids[2]]
    assert [roll_back(world.settings) for _ in ids] == [(ids[2], ids[1]), (ids[1], ids[0]), (ids[0], None)]
    with pytest.raises(LookupError, match="no policy is in use"):
        roll_back(world.settings)
    with world.sessions() as session:
        assert all(row.is_forced for row in promotions.history(session)[:3])


@on_sqlite
def test_a_policy_that_is_not_there_or_not_trained_is_not_promoted(world):
    with pytest.raises(LookupError, match="there is no policy 99"):
        promote(99, is_forced=True, settings=world.settings)
    policy_id = world.policy(poor)
    with world.sessions.begin() as session:
        policies.fail_policy(session, policy_id, "the disk is full")
    with pytest.raises(GateError, match=f"policy {policy_id} is not trained: it is failed"):
        promote(policy_id, is_forced=True, settings=world.settings)


@on_sqlite
def test_promoted_means_the_policy_in_use_when_the_run_was_opened(world):
    first, second = world.policy(poor), world.policy(poor)
    with world.sessions() as session, pytest.raises(LookupError, match="no policy is in use; promote one"):
        chosen_model(session, ModelConfig(name="promoted"))
    promote(first, is_forced=True, settings=world.settings)
    config = configured(model={"name": "promoted"}, source={"has_references": True}, generate={"when": "never"})
    run_id = open_run.fn(config)
    promote(second, is_forced=True, settings=world.settings)
    other = open_run.fn(config)
    with world.sessions() as session:
        assert runs.get_run(session, run_id).config["model"]["name"] == f"policy:{first}"
        assert runs.get_run(session, other).config["model"]["name"] == f"policy:{second}" and other != run_id
        assert chosen_model(session, ModelConfig(name="demo")).name == "demo"
