"""A second round from the policy of the first, really trained and sampled: what the first has seen is left out."""

from __future__ import annotations

import pytest
from alignment_world import align_config, chosen_prompts, prefer, tiny_model
from installed import installed

from db import evaluations, policies, prompt_uses
from db.prompts import stored_prompts
from models.records import Prompt
from tasks.alignment.data import is_held_out
from tasks.alignment.estimate import estimate_alignment
from tasks.alignment.opening import open_align_run, open_evaluation_run
from tasks.alignment.training import train_policy
from tasks.config.evaluation import EvaluationConfig
from tasks.errors import NothingToDoError
from tasks.evaluation.comparison import compare_with, evaluate_policy
from tasks.evaluation.held_out import seen_questions
from tasks.evaluation.promotion import gate_verdict
from tasks.reports.policy_queries import policy_contents
from tasks.runs import recorded

TRAIN, HELD_OUT, SHARE = 8, 3, 0.7
RUBRIC = {"annotator": "rubric", "max_tokens": 4, "backend": "transformers", "has_drift": False}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two rounds on the same preferences, of which the second holds out more: settings, sessions, both policies."""
    folder = tmp_path_factory.mktemp("lineage")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=TRAIN, held_out=HELD_OUT)
        first = aligned(align_config(tiny_model(folder / "model")))
        second = aligned(of_second_round(first))
        yield settings, sessions, first, second


def aligned(config):
    """Train and evaluate as the flow does."""
    run_id = open_align_run.fn(config)
    with recorded(run_id):
        policy_id = train_policy.fn(run_id, None)
        evaluate_policy.fn(run_id, policy_id, None)
        return policy_id


def of_second_round(first):
    return align_config(f"policy:{first}", data={"held_out_share": SHARE}, name="second")


def texts_of(session, policy_id, role):
    roles = prompt_uses.uses_of(session, policies.get_policy(session, policy_id).run_id)
    return {one.prompt.text for one in stored_prompts(session, [id_ for id_, found in roles.items() if found == role])}


def compared_texts(session, evaluation):
    ids = {row[0] for row in evaluations.evaluation_pairs(session, evaluation.id)}
    return {one.prompt.text for one in stored_prompts(session, sorted(ids))}


def test_of_what_the_second_policy_is_measured_on_nothing_was_trained_on_in_the_first_round(world):
    _, sessions, first, second = world
    texts = chosen_prompts(train=TRAIN, held_out=HELD_OUT)
    held_out_now = {text for text in texts if is_held_out(Prompt.from_text(text), None, SHARE)}
    with sessions() as session:
        trained = texts_of(session, first, "train")
        assert trained == set(texts[:TRAIN]) and trained & held_out_now, "the larger share takes what was trained on"
        (evaluation,) = evaluations.evaluations_of(session, second)
        assert compared_texts(session, evaluation) == held_out_now - trained == set(texts[TRAIN:])
        assert evaluation.metrics.held_out.rewards is not None
        assert texts_of(session, second, "train").isdisjoint(held_out_now)


def test_the_page_the_summary_and_the_dry_run_say_how_many_are_left(world):
    settings, sessions, first, second = world
    with sessions() as session:
        seen = len(texts_of(session, second, "held_out")) - HELD_OUT
    words = f"{HELD_OUT} prompts that none of the models was trained on; left out {seen} prompts that were trained on"
    assert policy_contents(second, settings).measured_on.startswith(words)
    assert policy_contents(first, settings).measured_on == f"{HELD_OUT} prompts that none of the models was trained on"
    told = {figure.name: figure for figure in estimate_alignment(of_second_round(first), settings).figures}
    assert told["measure on"].value == told["compare on"].value == HELD_OUT
    assert words in told["measure on"].basis


def test_prompts_of_a_source_leave_out_what_either_line_was_trained_on(world):
    _, sessions, first, second = world
    evaluate = {**RUBRIC, "source": {"name": "source"}}
    config = EvaluationConfig.model_validate({"policy": second, "against": f"policy:{first}", "evaluate": evaluate})
    run_id = open_evaluation_run.fn(config)
    with recorded(run_id):
        evaluation_id = compare_with.fn(run_id, second, f"policy:{first}")
    with sessions() as session:
        compared = compared_texts(session, evaluations.get_evaluation(session, evaluation_id))
        assert compared == set(chosen_prompts(train=TRAIN, held_out=HELD_OUT)[TRAIN:])


def test_a_source_of_which_nothing_is_left_is_an_error_that_says_what_to_do(world):
    _, _, _, second = world
    evaluate = {**RUBRIC, "source": {"name": "source", "limit": 1}}
    config = EvaluationConfig.model_validate({"policy": second, "evaluate": evaluate})
    open_evaluation_run.fn(config)  # the limit counts what is left
    nothing = {**RUBRIC, "source": {"name": "source", "split": "no such split"}}
    with pytest.raises(NothingToDoError, match="no prompt is left to measure on"):
        open_evaluation_run.fn(EvaluationConfig.model_validate({"policy": second, "evaluate": nothing}))


def test_a_comparison_on_prompts_that_were_trained_on_does_not_pass_the_gate(world):
    _, sessions, _, second = world
    with sessions() as session:
        evaluation = evaluations.evaluations_of(session, second)[0]
        run_id = policies.get_policy(session, second).run_id
        assert "trained on" not in gate_verdict(session, second).reason
        prompt_id = evaluations.evaluation_pairs(session, evaluation.id)[0][0]
        row = session.get(prompt_uses.PromptUse, (run_id, prompt_id))
        row.role = "train"  # as if an earlier version had measured on it
        session.flush()
        verdict = gate_verdict(session, second)
        assert not verdict.is_passed and verdict.reason.startswith("1 of the prompts of its comparison with ")
        assert verdict.next_step is not None


def test_questions_that_were_trained_on_are_counted(world):
    _, sessions, first, second = world
    texts = chosen_prompts(train=TRAIN, held_out=HELD_OUT)
    with sessions() as session:
        words = seen_questions(session, texts, [second, None])
        assert words is not None and words.startswith(f"the score counts {TRAIN} prompts that were trained on")
        assert words.endswith(f"policies {first}, {second}")
        assert seen_questions(session, texts[TRAIN:], [second]) is None
