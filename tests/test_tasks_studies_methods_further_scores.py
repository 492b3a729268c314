"""Benchmarks and question files within a study: asked of the start and of every policy, graded by a real server."""

from __future__ import annotations

import json
import sys

import pytest
from alignment_world import MEASURED, QUICK, merged, prefer, tiny_model
from chat_server import ChatServer, completion, serving
from installed import installed
from lm_eval_tasks import needs_lm_eval, write_tasks
from sqlalchemy import select as query

from db.schema import curation
from db.studies.trials import add_outcome
from models.errors import ModelLoadError
from models.evaluation.lm_eval import LmEvalMissingError
from models.ingestion.rows import SourceError
from models.studies.methods.losses import losses_findings
from tasks.config.section import refuse_in_vain
from tasks.config.studies import StudyConfig
from tasks.errors import StudyChangedError
from tasks.run_kinds import STUDY, run_at_work
from tasks.studies.methods.further_scores import checked_scores, further_scores
from tasks.studies.methods.ld_align import LD_ALIGN
from tasks.studies.methods.losses import LOSSES
from tasks.studies.running import open_study
from tasks.studies.study import data_of

QUESTIONS = [
    {"question_id": 1, "category": "writing", "turns": ["Which bread?", "And in a poem?"]},
    {"question_id": 2, "category": "math", "turns": ["One and one?"]},
]


def grades_and_verdicts(body, _number):
    """A judge that likes all answers alike, and among two the one that is shown first."""
    return completion("[[A>B]]" if "Assistant B" in body["messages"][-1]["content"] else "[[7]]")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Settings, sessions, and what makes a study of one method from these changes."""
    folder = tmp_path_factory.mktemp("further-scores")
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS))
    with installed(folder) as (settings, sessions), serving(ChatServer()) as server:
        server.reply = grades_and_verdicts
        prefer(sessions, train=8, held_out=5)
        model = tiny_model(folder / "model")
        judge = {"base_url": server.url, "model": "judge", "max_retries": 0, "parse_retries": 0}
        questions = {"file": str(file), "max_tokens": 4, "backend": "transformers", "judge": judge}

        def study(**changes):
            sections = {
                "study": "losses",
                "model": {"name": model, "dtype": "float32"},
                "sft": {"epochs": 0},
                "train": QUICK,
                "evaluate": MEASURED | {"temperature": 1.0},
                "methods": ("sft",),
                "seeds": 2,
                "data": {"held_out_share": 0.1},
            }
            asked = {"questions": questions | changes.pop("questions")} if "questions" in changes else {}
            return StudyConfig.model_validate(merged(sections, asked | changes))

        yield settings, sessions, study


def carried_out(config, sessions):
    """The run of a study and the outcome of its first trial, which is stored."""
    run_id = open_study.fn(config)
    with run_at_work(run_id, STUDY) as work:
        (outcome,) = LOSSES.carry_out(work, LOSSES.trials(work)[:1])
        with sessions.begin() as session:
            add_outcome(session, run_id, outcome)
    assert outcome.failure is None
    return run_id, outcome


def question_runs(sessions):
    with sessions() as session:
        return [run.config for run in session.scalars(query(curation.Run)) if "protocol" in run.config]


def test_the_start_and_every_policy_answer_the_questions_and_are_graded(world):
    _, sessions, study = world
    config = study(questions={"has_category_temperatures": True})
    run_id, outcome = carried_out(config, sessions)
    figures = outcome.figures
    of_policy = {
        "protocol": "mt_bench", "score": 7.0, "unread": 0, "turns": [7.0, 7.0],
        "categories": {"math": 7.0, "writing": 7.0},
    }  # fmt: skip
    assert figures["questions"] == of_policy and figures["start_scores"] == {"questions": of_policy}
    asked = question_runs(sessions)
    assert {one["model"]["name"] for one in asked} == {config.model.name, f"policy:{figures['policy']}"}
    assert all(one["has_category_temperatures"] for one in asked), "each category at its own temperature"
    assert "MT-Bench" in losses_findings([outcome]).sections[1].title
    count = len(asked)
    with run_at_work(run_id, STUDY) as work:
        (again,) = LOSSES.carry_out(work, LOSSES.trials(work)[:1])
    assert again.figures["start_scores"] == figures["start_scores"]
    assert len(question_runs(sessions)) == count + 1, "the start's grades are those of the stored trials"


def test_in_games_the_baseline_is_the_start_where_none_is_named(world):
    settings, sessions, study = world
    config = study(questions={"protocol": "arena_hard", "resamples": 100})
    _, outcome = carried_out(config, sessions)
    assert outcome.figures["start_scores"] == {}, "it would play against itself"
    assert outcome.figures["questions"] == {"protocol": "arena_hard", "score": 50.0, "unread": 0}
    assert question_runs(sessions)[-1]["against"] == config.model.name
    named = config.questions.model_copy(update={"against": "demo"})
    checked = LOSSES.check(config.model_copy(update={"questions": named}), settings)
    assert checked.questions.against == "demo"


def test_other_questions_are_another_study(world):
    _, _, study = world
    config = study(questions={"max_tokens": 5})
    file, run_id = config.questions.file, open_study.fn(config)
    assert open_study.fn(config) == run_id
    text = file.read_text()
    file.write_text(text.replace("One and one?", "One and two?"))
    try:
        assert open_study.fn(config) != run_id
    finally:
        file.write_text(text)


def test_questions_that_change_while_a_study_is_at_work_are_asked_of_no_other_policy(world):
    _, sessions, study = world
    config = study(questions={"max_tokens": 6})
    file, (run_id, _) = config.questions.file, carried_out(config, sessions)
    text, count = file.read_text(), len(question_runs(sessions))
    file.write_text(text.replace("One and one?", "One and two?"))
    words = rf"{file} is not what it was when study run {run_id} began \(key \w+, now \w+\); put it back"
    try:
        with run_at_work(run_id, STUDY) as work:
            for trials in (LOSSES.trials(work)[1:], LOSSES.trials(work)[:1]):
                with pytest.raises(StudyChangedError, match=words):
                    list(LOSSES.carry_out(work, trials))
    finally:
        file.write_text(text)
    assert len(question_runs(sessions)) == count
    with run_at_work(run_id, STUDY) as work:
        (outcome,) = LOSSES.carry_out(work, LOSSES.trials(work)[1:])
    assert outcome.failure is None


def test_a_file_that_changes_between_two_policies_stops_the_study(world):
    _, _, study = world
    config = study(questions={"max_tokens": 7})
    file, run_id = config.questions.file, open_study.fn(config)
    text = file.read_text()
    try:
        with run_at_work(run_id, STUDY) as work:
            outcomes = LOSSES.carry_out(work, LOSSES.trials(work))
            assert next(outcomes).failure is None
            file.write_text(text.replace("One and one?", "One and two?"))
            with pytest.raises(StudyChangedError, match="is not what it was"):
                next(outcomes)
    finally:
        file.write_text(text)


def test_other_tasks_of_ones_own_are_another_study_and_what_a_run_leaves_there_is_not(world, tmp_path):
    _, _, study = world
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "grains.yaml").write_text("task: grains")
    config = study(benchmarks={"tasks": ["grains"], "include_path": str(tmp_path)})
    key = config.stored_keys(*data_of(config))
    (tmp_path / "__pycache__" / "utils.pyc").write_bytes(b"compiled")
    (tmp_path / ".grains.yaml.swp").write_bytes(b"an editor's")
    assert config.stored_keys(*data_of(config)) == key
    (tmp_path / "grains.yaml").write_text("task: grain")
    assert config.stored_keys(*data_of(config)) != key


def test_a_stored_study_is_asked_although_nothing_reads_a_part_of_its_settings(world):
    settings, _, study = world
    config = study(questions={"max_tokens": 8})
    judge = config.questions.judge.model_copy(update={"has_rationale": True})
    stored = config.model_copy(update={"questions": config.questions.model_copy(update={"judge": judge})})
    with pytest.raises(ValueError, match=r"judge\.has_rationale is for pairs"):
        refuse_in_vain(stored)
    figures = further_scores(stored, config.model, start="demo", seed=0, settings=settings)
    assert figures["questions"]["score"] == 7.0


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({}, True),
        ({"sft": {"epochs": 1}}, False),
        ({"sft": {"epochs": 1}, "questions": {"against": "org/model"}}, True),
        ({"questions": {"against": "demo"}}, False),
        ({"questions": {"protocol": "mt_bench"}}, False),
        ({"model": {"name": "org/model"}}, False),
    ],
)
def test_a_baseline_of_another_revision_than_the_start_is_refused(world, changes, is_refused):
    settings, sessions, study = world
    values = {"model": {"name": "org/model", "revision": "abc"}} | changes
    config = study(**values | {"questions": {"protocol": "arena_hard"} | values.get("questions", {})})
    with sessions() as session:
        if not is_refused:
            checked_scores(sessions, session, config, settings)
            return
        with pytest.raises(ValueError, match="would be the newest org/model, not revision abc; give the folder"):
            checked_scores(sessions, session, config, settings)


@pytest.mark.parametrize("kind", [LOSSES, LD_ALIGN])
def test_what_cannot_be_asked_is_refused_before_anything_is_trained(world, kind, monkeypatch, tmp_path):
    settings, _, study = world
    with pytest.raises((SourceError, OSError), match="missing"):
        kind.check(study(questions={"file": str(tmp_path / "missing.jsonl")}), settings)
    games = study(questions={"protocol": "arena_hard", "against": str(tmp_path / "no-model")})
    with pytest.raises(ModelLoadError):
        kind.check(games, settings)
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # as where it is not installed
    with pytest.raises(LmEvalMissingError, match=r"pip install -e '\.\[lm-eval\]'"):
        kind.check(study(benchmarks={"tasks": ["grains"]}), settings)


@needs_lm_eval
@pytest.mark.slow
def test_benchmarks_are_run_on_the_start_and_on_every_policy(world, tmp_path):
    _, sessions, study = world
    tasks = write_tasks(tmp_path / "tasks", "grains")
    _, outcome = carried_out(study(benchmarks={"tasks": ["grains"], "include_path": tasks}), sessions)
    scores = outcome.figures["benchmarks"], outcome.figures["start_scores"]["benchmarks"]
    for of in scores:
        assert of.keys() == {"grains"} and 3 * of["grains"] == pytest.approx(round(3 * of["grains"]))
    (section,) = (one for one in losses_findings([outcome]).sections if "Benchmarks" in one.title)
    assert [row[0] for row in section.tables[0].rows] == ["the fine-tuned model", "sft"]
