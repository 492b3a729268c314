"""MT-Bench's and Arena-Hard's protocols over the user's question file: answers, then a judge. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from db import runs
from db.engine import Sessions
from models.protocols.answer_files import read_answers
from models.protocols.judge import ProtocolJudge
from models.protocols.question_files import Question, read_questions
from models.protocols.scores import (
    ArenaHardSummary,
    MtBenchSummary,
    arena_hard_summary,
    mt_bench_summary,
)
from tasks.budgets import budget_of
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import QuestionsConfig
from tasks.config.section import LONGEST_NAME
from tasks.database import open_database
from tasks.evaluation.answers import Answers, answers_of, questions_content
from tasks.evaluation.held_out import seen_questions
from tasks.labels.labellers import judge_price, make_asker
from tasks.labels.labelling import DatabaseReplies, judge_batching
from tasks.named_models import chosen_model, policy_id_of
from tasks.number_formats import with_format
from tasks.progress import say
from tasks.run_kinds import QUESTIONS, RunAtWork, run_at_work
from tasks.runs import find_or_open, opened, work_on
from tasks.settings import Settings


class Given(NamedTuple):
    """Answers of a file, the model's and the baseline's; None where a model is asked."""

    answers: Answers | None
    against: Answers | None


def ask_questions(
    path: Path, config: QuestionsConfig, settings: Settings, *, asked: QuestionsConfig | None = None
) -> MtBenchSummary | ArenaHardSummary:
    """Have the model answer the file's questions, and the judge grade or compare the answers.

    Each of a model's answers is kept in a file at once, each of the judge's replies in the database.

    Args:
        path: the question file.
        config: how.
        settings: where everything is.
        asked: the configuration if somebody gave it, None where a study made it.

    Raises:
        ValueError: If somebody set something in vain.
        SourceError: If a file cannot be read as questions, or as answers to them.
        LookupError: If the policy in use is asked or compared with, and there is none.
        ProtocolStoppedError: If the judge's server or the budget gave out; what was paid for is kept.
    """
    questions = read_questions(path)
    given = Given(_read(config.answers, questions), _read(config.against_answers, questions))
    judge_price(config.judge, settings)  # refused before the answers are made
    with open_database(settings) as sessions, sessions() as session:
        opponent = None if config.against is None else chosen_model(session, ModelConfig(name=config.against))
        model = config.model if config.answers is not None else chosen_model(session, config.model)
        settled = {"model": model, "against": opponent and opponent.name}
    run_config = config.model_copy(update=settled)

    def open_once(sessions: Sessions) -> int:
        name = f"{run_config.protocol} of {run_config.model.name or run_config.answers}"
        data = [questions_content(questions), *(answers for answers in given if answers is not None)]
        with sessions.begin() as session:
            names = [model for model in (run_config.model.name, run_config.against) if model]
            policy_ids = [policy_id_of(session, model) for model in names]
            seen = seen_questions(session, [question.turns[0] for question in questions], policy_ids)
            if seen is not None:
                say(seen)
            return find_or_open(session, QUESTIONS, run_config, name=name[:LONGEST_NAME], asked=asked, data=data)

    run_id = opened(open_once)

    def work() -> MtBenchSummary | ArenaHardSummary:
        with run_at_work(run_id, QUESTIONS) as run:
            return _summary(questions, run, opponent, given)

    return work_on(run_id, work)


def _read(path: Path | None, questions: Sequence[Question]) -> Answers | None:
    return None if path is None else read_answers(path, questions)


def _summary(
    questions: Sequence[Question], run: RunAtWork[QuestionsConfig], opponent: ModelConfig | None, given: Given
) -> MtBenchSummary | ArenaHardSummary:
    answers = given.answers or answers_of(questions, run, run.config.model)
    judge = _judge(run)
    if run.config.protocol == "mt_bench":
        return mt_bench_summary(questions, judge.grade(questions, answers))
    others = given.against
    if others is None:
        assert opponent is not None  # the configuration's own rule
        with run.sessions() as session:
            baseline = with_format(opponent, runs.get_run(session, run.run_id).dtype)
        others = answers_of(questions, run, baseline)
    games = judge.compare(questions, answers, others)
    config = run.config
    return arena_hard_summary(games, strong_weight=config.strong_weight, resamples=config.resamples, seed=config.seed)


def _judge(run: RunAtWork[QuestionsConfig]) -> ProtocolJudge:
    judge, replies = run.config.judge, DatabaseReplies(run)
    budget, batching = budget_of(run, judge), judge_batching(run, judge)
    return ProtocolJudge(make_asker(judge, run.settings, replies=replies, budget=budget, batching=batching))
