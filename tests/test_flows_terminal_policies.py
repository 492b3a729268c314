"""Policies on the terminal: figures, comparisons, and what to do next."""

from __future__ import annotations

import pytest
from compared_policies import compared_world, poor
from sqlalchemy import update
from surroundings import on_sqlite

from db import evaluations
from db.schema.policies import Policy
from flows.terminal.policies import show_evaluation, show_policies, show_policy
from models.demo.corpus import reference_response
from models.evaluation.measurements import HeldOut, Measurements
from models.evaluation.rewards import reward_summary
from tasks.config.exchange import PreferencesConfig
from tasks.errors import GateError
from tasks.evaluation.promotion import promote
from tasks.labels.exchange import take_snapshot
from tasks.reports.policy_queries import policy_lines


@pytest.fixture
def world(preferred, settings, sessions, tmp_path):
    return compared_world(preferred, settings, sessions, tmp_path)


@on_sqlite
def test_what_to_do_next_is_what_the_gate_waits_for(world, capsys):
    better, even = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    ask = f"antipode evaluate {better} --against start --evaluate.annotator"
    judge = "judge --evaluate.judge.base_url URL --evaluate.judge.model NAME"
    assert next_lines(better, world, capsys) == [f"{ask} {judge}   # a comparison decides", sample(better)]
    compared = {id_: world.compared(id_) for id_ in (better, even)}
    assert next_lines(better, world, capsys) == [f"antipode promote {better}", sample(better)]
    more = f"antipode evaluate {even} --against start --evaluate.annotator rubric --evaluate.source.name SOURCE"
    assert next_lines(even, world, capsys) == [
        f"{more}   # more prompts would decide, in look 3, judged at 0.42 %", sample(even),
    ]  # fmt: skip
    for id_, said in ((better, f"Next: antipode promote {better}\n"), (even, f"Next: {more}   # ")):
        show_evaluation(compared[id_].id, world.settings)
        printed = capsys.readouterr().out
        assert said in printed and "on 12 prompts (seed 0, " in printed
        assert ("promote" in printed) == (id_ == better)
    with pytest.raises(
        GateError, match=f"decide, in look 3, judged at 0.42 %: antipode evaluate {even} --against start"
    ):
        promote(even, is_forced=False, settings=world.settings)
    promote(better, is_forced=False, settings=world.settings)
    assert next_lines(better, world, capsys) == [sample(better)]
    assert next_lines(even, world, capsys)[0].startswith(f"antipode evaluate {even} --against policy:{better} ")
    world.compared(even, "promoted")
    assert next_lines(even, world, capsys)[0].startswith("antipode align --help   # it is worse")


@on_sqlite
def test_win_rates_of_other_prompts_are_told_apart_with_what_compares_two_policies(world, capsys):
    better, other, third = (world.policy(reference_response), world.policy(poor), world.policy(poor))
    world.says(str(world.model), poor)
    for policy_id in (better, other):
        world.compared(policy_id)
    show_policies(policy_lines(world.settings))
    assert "Win rates are of the same prompts" not in capsys.readouterr().out, "both are of the same twelve"
    world.compared(third, annotator="rubric", source={"limit": 5})
    show_policies(policy_lines(world.settings))
    told = f"within a group only: {third} | {other}, {better}. Two on the same: antipode evaluate {third} --against"
    assert f"{told} policy:{other}\n" in capsys.readouterr().out


@on_sqlite
def test_a_policy_of_one_strategy_says_that_its_figures_are_of_other_pairs(world, capsys):
    policy_id = world.policy(poor)
    show_policy(policy_id, world.settings)
    assert "not those of a policy of other pairs" not in capsys.readouterr().out
    taken = take_snapshot(world.sessions, PreferencesConfig(strategies=("easy",)), name="an arm")
    with world.sessions.begin() as session:
        session.execute(update(Policy).filter_by(id=policy_id).values(snapshot_id=taken.snapshot.id))
    show_policy(policy_id, world.settings)
    told = "; pairs of easy alone, so that margin, loss and accuracy are not those of a policy of other pairs\n"
    assert told in capsys.readouterr().out


@on_sqlite
def test_of_a_single_held_out_prompt_the_figures_are_printed_without_intervals(world, capsys):
    policy_id = world.policy(poor)
    with world.sessions.begin() as session:
        evaluation_id = evaluations.open_evaluation(
            session, key="0" * 64, run_id=None, policy_id=policy_id, baseline_id=None, baseline_model="demo",
            settings={},
        )  # fmt: skip
        rewards = reward_summary([-8], [-9], [-9], [-8], beta=1, chosen_token_counts=[4], clusters=[1])
        evaluations.finish_evaluation(session, evaluation_id, Measurements(held_out=HeldOut("key", rewards, None)))
    show_policy(policy_id, world.settings)
    printed = capsys.readouterr().out
    assert "mean over prompts: margin 2.000, loss 0.127, accuracy 1.000 [" in printed
    assert "per token: perplexity 7.389\n" in printed, "its lower bound is known, its upper one is infinite"


def sample(policy_id):
    return f"antipode curate --model.name policy:{policy_id}"


def next_lines(policy_id, world, capsys):
    show_policy(policy_id, world.settings)
    _, _, told = capsys.readouterr().out.partition("Next: ")
    return [line.strip() for line in told.splitlines()]


@on_sqlite
def test_the_list_of_policies_says_what_was_compared_on_what(world, capsys):
    better, other = world.policy(reference_response), world.policy(poor)
    world.says(str(world.model), poor)
    found = world.compared(better)
    show_policies(policy_lines(world.settings))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (header,) = [line for line in lines if line[:1] == ["policy"]]
    rows = {line[0]: line for line in lines if line[1:2] == ["test"]}
    assert header[-7:] == ["against", "win", "rate", "prompts", "seed", "compared", "look"]
    assert rows[str(better)][-7] == "1.000" and rows[str(better)][-4:] == ["12", "0", str(found.finished_at)[:10], "1"]
    assert rows[str(other)][-2] == "1", "its snapshot, before the day it was made: nobody compared it"
