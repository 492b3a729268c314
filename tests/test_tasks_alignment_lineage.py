"""A second round from the policy of the first, really trained and sampled: what the first has seen is left out."""

from __future__ import annotations

import shutil

import pytest
from alignment_world import align_config, chosen_prompts, prefer, tiny_model
from installed import installed

from db import evaluations, policies, prompt_uses
from db.prompts import run_prompt_ids, stored_prompts
from models.records import Prompt
from tasks.alignment.data import is_held_out, read_data
from tasks.alignment.estimate import estimate_alignment
from tasks.alignment.lineage import lineage_of
from tasks.alignment.opening import open_align_run, open_evaluation_run
from tasks.alignment.training import train_policy
from tasks.config.alignment import DataConfig
from tasks.config.evaluation import EvaluationConfig
from tasks.errors import NothingToDoError
from tasks.evaluation.comparison import compare_with, evaluate_policy
from tasks.evaluation.held_out import seen_in_comparisons, seen_questions
from tasks.evaluation.promotion import gate_verdict
from tasks.named_models import policy_id_of
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


@pytest.fixture(scope="module")
def copied(world, tmp_path_factory):
    """The folder of a copy of the first policy."""
    settings, sessions, first, _ = world
    with sessions() as session:
        folder = settings.artifact_root / policies.get_policy(session, first).folder
    return str(shutil.copytree(folder, tmp_path_factory.mktemp("copied") / "model"))


def test_a_start_model_that_is_a_policy_by_its_content_is_that_policy(world, copied):
    _, sessions, first, _ = world
    config = align_config(copied, data={"held_out_share": SHARE}, name="of a copy", seed=7)
    third = aligned(config)
    with sessions() as session:
        assert policy_id_of(session, copied) == policy_id_of(session, f"policy:{first}") == first
        assert policy_id_of(session, "demo") is policy_id_of(session, "no/such") is None
        data = read_data(session, config.model_copy(update={"data": DataConfig(snapshot=1, held_out_share=SHARE)}))
        assert data.lineage.policy_ids == (first,) and data.seen
        measured = {row.prompt.text for row in data.parts.held_out}
        assert measured == set(chosen_prompts(train=TRAIN, held_out=HELD_OUT)[TRAIN:])
        assert policies.get_policy(session, third).parent_id is None, "known by its content alone"
        (evaluation,) = evaluations.evaluations_of(session, third)
        prompts = len(evaluations.evaluation_pairs(session, evaluation.id))
        assert prompts == HELD_OUT and evaluation.baseline_model == copied
        assert seen_in_comparisons(session, [evaluation.id], [third, None]) == {evaluation.id: 0}
        responses = evaluations.evaluation_pairs(session, evaluation.id)[0][1:]
        earlier = evaluations.open_evaluation(
            session, key="0" * 64, run_id=None, policy_id=third, baseline_id=None, baseline_model=copied, settings={}
        )
        evaluations.add_evaluation_pairs(session, earlier, [(min(data.seen), *responses)])
        assert seen_in_comparisons(session, [earlier], [third, None]) == {earlier: 1}, "the copy has seen it"
        session.rollback()


def test_a_comparison_with_a_copy_of_a_policy_leaves_out_what_the_policy_was_trained_on(world, copied, capsys):
    _, sessions, first, second = world
    evaluate = {**RUBRIC, "source": {"name": "source"}}
    config = EvaluationConfig.model_validate({"policy": second, "against": copied, "evaluate": evaluate})
    run_id = open_evaluation_run.fn(config)
    told = capsys.readouterr().err
    assert f"policy:{second} and {copied} are compared on {HELD_OUT} prompts" in told
    assert f"left out {TRAIN} prompts that were trained on" in told and f"by policies {first}, {second}" in told
    with sessions() as session:
        texts = {one.prompt.text for one in stored_prompts(session, run_prompt_ids(session, run_id))}
        assert texts == set(chosen_prompts(train=TRAIN, held_out=HELD_OUT)[TRAIN:])


def test_a_run_that_compares_on_a_source_says_what_it_leaves_out(world, capsys):
    _, _, first, _ = world
    open_align_run.fn(align_config(f"policy:{first}", name="on a source", evaluate={"source": {"name": "source"}}))
    told = capsys.readouterr().err
    assert f"policies are compared on {HELD_OUT} prompts" in told and f"left out {TRAIN} prompts" in told


def test_of_a_lineage_only_what_is_asked_for_is_read(world):
    _, sessions, first, second = world
    with sessions() as session:
        all_of_it = lineage_of(session, [second]).first_turns
        asked = {*sorted(all_of_it)[:2], Prompt.from_text("never seen").key}
        assert len(all_of_it) == TRAIN and lineage_of(session, [second], asked).first_turns == asked & all_of_it
        assert lineage_of(session, [second, first], ()).first_turns == frozenset()


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
