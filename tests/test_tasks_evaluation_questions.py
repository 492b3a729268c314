"""A question file answered by one real HTTP server and graded by it: what is asked once, kept, and counted."""

from __future__ import annotations

import json
import re

import pytest
from chat_server import ChatServer, completion, refusal, serving
from graded_answers import grades_by_length
from sqlalchemy import select as query
from surroundings import on_sqlite

from db import runs
from db.schema import curation
from models.generation.openai_server import GenerationStoppedError
from models.ingestion.rows import SourceError
from models.protocols.judge import ProtocolStoppedError
from tasks.config.evaluation import QuestionsConfig
from tasks.config.section import refuse_in_vain
from tasks.errors import NoAnswerError
from tasks.evaluation.questions import ask_questions

QUESTIONS = [
    {"question_id": 1, "category": "baking", "turns": ["Which bread?", "And in a poem?"]},
    {"question_id": 2, "category": "maths", "turns": ["One and one?"]},
]


@pytest.fixture
def server():
    """Answers as the model `long` or `short`, grades as the model `judge`."""
    with serving(ChatServer()) as own:
        own.reply = answers_and_grades
        yield own


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS))
    return path


def answers_and_grades(body, number):
    if body["model"] != "judge":
        return completion("rye wheat oats barley" if body["model"] == "long" else "rye")
    shown = re.findall(r"Assistant (\w)'s answer .*?:\n~~~~\n(.*?)\n~~~~", body["messages"][-1]["content"])
    if not shown:
        return grades_by_length(body)
    lengths = {side: sum(len(text) for letter, text in shown if letter == side) for side in "AB"}
    return completion("[[A>B]]" if lengths["A"] > lengths["B"] else "[[B>A]]")


def configured(server, **changes):
    judge = {"base_url": server.url, "model": "judge", "max_retries": 0, "parse_retries": 0}
    config = {"model": {"name": "long"}, "backend": "openai", "base_url": server.url, "judge": judge}
    return QuestionsConfig.model_validate(config | changes)


def asked(server, *models):
    return [body for body in server.bodies if body["model"] in models]


@on_sqlite
def test_each_turn_is_answered_after_the_dialogue_so_far_and_graded(settings, sessions, server, file):
    summary = ask_questions(file, configured(server), settings)
    assert summary.overall.value == 4.0 and summary.unread_grades == 0, "four words an answer"
    assert [found.value for found in summary.turns] == [4.0, 4.0] and set(summary.categories) == {"baking", "maths"}
    dialogues = sorted([turn["content"] for turn in body["messages"]] for body in asked(server, "long"))
    assert dialogues == [
        ["One and one?"], ["Which bread?"], ["Which bread?", "rye wheat oats barley", "And in a poem?"],
    ]  # fmt: skip
    assert len(asked(server, "judge")) == 3
    with sessions() as session:
        (run,) = session.scalars(query(curation.Run)).all()
    assert (run.kind, run.status, run.name) == (runs.EVALUATE, runs.COMPLETED, "mt_bench of long")


@on_sqlite
def test_answers_that_end_within_a_thought_are_told_of(settings, sessions, server, file, capsys):
    server.reply = lambda body, number: (
        completion("<think>rye or", "length") if body["model"] == "long" else answers_and_grades(body, number)
    )
    for _ in range(2):
        ask_questions(file, configured(server), settings)
        assert "3 answers of long are empty" in capsys.readouterr().err


@on_sqlite
def test_the_same_questions_again_cost_nothing(settings, sessions, server, file):
    first = ask_questions(file, configured(server), settings)
    count = len(server.bodies)
    assert ask_questions(file, configured(server), settings) == first and len(server.bodies) == count
    ask_questions(file, configured(server, seed=1), settings)
    assert len(asked(server, "long")) == 6, "another seed is other answers"


def test_games_are_played_from_both_sides(settings, sessions, server, file):
    config = configured(server, protocol="arena_hard", against="short", resamples=100)
    summary = ask_questions(file, config, settings)
    assert summary.score.value == 100 and summary.unread_games == 0
    assert len(asked(server, "short")) == 3 and len(asked(server, "judge")) == 4
    mirrored = configured(server, protocol="arena_hard", model={"name": "short"}, against="long", resamples=100)
    lost = ask_questions(file, mirrored, settings)
    assert lost.score.value == 0
    assert len(asked(server, "short")) == 3, "answers are kept whoever is asked about"


@on_sqlite
def test_a_judge_that_fails_ends_the_run_and_the_next_one_pays_for_the_rest_only(settings, sessions, server, file):
    server.reply = lambda body, number: refusal(500, "out") if len(asked(server, "judge")) > 1 else answers_and_grades(
        body, number
    )  # fmt: skip
    with pytest.raises(ProtocolStoppedError):
        ask_questions(file, configured(server), settings)
    with sessions() as session:
        (run,) = session.scalars(query(curation.Run)).all()
    assert run.status == runs.FAILED and "ProtocolStoppedError" in run.error
    server.reply, before = answers_and_grades, len(server.bodies)
    assert ask_questions(file, configured(server), settings).overall.value == 4.0
    assert len(server.bodies) - before == 2, "one of three grades was paid for"
    with sessions() as session:
        (run,) = session.scalars(query(curation.Run)).all()
    assert (run.status, run.error) == (runs.COMPLETED, None)


@on_sqlite
def test_what_cannot_be_asked_is_said_before_anybody_is(settings, sessions, server, file, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("missing.jsonl", "empty.jsonl"):
        with pytest.raises((SourceError, OSError), match=name):
            ask_questions(tmp_path / name, configured(server), settings)
    with pytest.raises(LookupError, match="no policy is in use"):
        ask_questions(file, configured(server, model={"name": "promoted"}), settings)
    against = configured(server, protocol="arena_hard", against="promoted")
    with pytest.raises(LookupError, match="no policy is in use"):
        ask_questions(file, against, settings)
    assert server.bodies == []


@on_sqlite
def test_answers_that_came_before_a_failure_are_not_paid_for_again(settings, sessions, server, file):
    server.reply = lambda body, number: refusal(401, "no") if number > 1 else answers_and_grades(body, number)
    with pytest.raises(GenerationStoppedError, match="refuses the API key"):
        ask_questions(file, configured(server), settings)
    first = server.bodies[0]
    server.reply = answers_and_grades
    server.bodies.clear()
    assert ask_questions(file, configured(server), settings).overall.value == 4.0
    assert len(asked(server, "long")) == 2 and first not in server.bodies
    (answers,) = (settings.artifact_root / "answers").iterdir()
    assert answers.suffix == ".json"


@on_sqlite
def test_a_question_that_is_refused_is_named(settings, sessions, server, file):
    server.reply = lambda body, number: (
        refusal(400, "policy") if "One and one?" in str(body) else answers_and_grades(body, number)
    )
    with pytest.raises(NoAnswerError, match=r"long has no answer to 1 of the questions, such as 'One and one\?'"):
        ask_questions(file, configured(server), settings)


@on_sqlite
def test_answers_of_a_file_are_graded_and_no_model_is_asked_for_any(settings, sessions, server, file, tmp_path):
    answers = tmp_path / "answers.jsonl"
    rows = [{"question_id": 1, "turns": ["rye wheat", "rye wheat"]}, {"question_id": 2, "turns": ["rye wheat"]}]
    answers.write_text("".join(json.dumps(one) + "\n" for one in rows))
    config = configured(server, model={}, answers=str(answers))
    assert ask_questions(file, config, settings).overall.value == 2.0, "two words an answer"
    assert not asked(server, "long", "short") and len(asked(server, "judge")) == 3
    games = configured(server, protocol="arena_hard", model={}, answers=str(answers), against="long")
    assert ask_questions(file, games, settings).score.value == 0.0
    both = configured(server, protocol="arena_hard", against_answers=str(answers))
    assert ask_questions(file, both, settings).score.value == 100.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answers": "answers.jsonl"}, "leave out `model`, or `answers`"),
        ({"protocol": "arena_hard", "against": "short", "against_answers": "a.jsonl"}, "leave out `against`"),
        ({"against_answers": "a.jsonl"}, "arena_hard compares with a baseline"),
    ],
)
def test_answers_come_from_a_model_or_from_a_file(server, changes, words):
    with pytest.raises(ValueError, match=words):
        refuse_in_vain(configured(server, **changes))


@on_sqlite
def test_each_category_has_its_temperature(settings, sessions, server, file):
    rows = [{**QUESTIONS[0], "category": "writing"}, QUESTIONS[1]]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    ask_questions(file, configured(server, has_category_temperatures=True, temperature=0.2), settings)
    at = {(body["messages"][0]["content"], body["temperature"]) for body in asked(server, "long")}
    assert at == {("Which bread?", 0.7), ("One and one?", 0.2)}
