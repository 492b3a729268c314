"""MT-Bench's and Arena-Hard's protocols over the user's question file: answers, then a judge. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from db import runs
from db.engine import Sessions
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
from tasks.database import open_database
from tasks.evaluation.answers import answers_of, questions_content
from tasks.evaluation.held_out import seen_questions
from tasks.labels.labellers import judge_price, make_asker
from tasks.labels.labelling import DatabaseReplies, judge_batching
from tasks.named_models import chosen_model, policy_id_of
from tasks.number_formats import with_format
from tasks.progress import say
from tasks.run_kinds import QUESTIONS, RunAtWork, run_at_work
from tasks.runs import find_or_open, opened, work_on
from tasks.settings import Settings


def ask_questions(path: Path, config: QuestionsConfig, settings: Settings) -> MtBenchSummary | ArenaHardSummary:
    """Have the model answer the file's questions, and the judge grade or compare the answers.

    Each of a model's answers is kept in a file at once, each of the judge's replies in the database.

    Raises:
        SourceError: If the file cannot be read as questions.
        LookupError: If the policy in use is asked or compared with, and there is none.
        ProtocolStoppedError: If the judge's server or the budget gave out; what was paid for is kept.
    """
    questions = read_questions(path)
    judge_price(config.judge, settings)  # refused before the answers are made
    with open_database(settings) as sessions, sessions() as session:
        opponent = None if config.against is None else chosen_model(session, ModelConfig(name=config.against))
        names = {"model": chosen_model(session, config.model), "against": opponent and opponent.name}
    run_config = config.model_copy(update=names)

    def open_once(sessions: Sessions) -> int:
        name = f"{run_config.protocol} of {run_config.model.name}"
        with sessions.begin() as session:
            asked = [model for model in (run_config.model.name, run_config.against) if model]
            policy_ids = [policy_id_of(session, model) for model in asked]
            seen = seen_questions(session, [question.turns[0] for question in questions], policy_ids)
            if seen is not None:
                say(seen)
            return find_or_open(session, QUESTIONS, run_config, name=name, data=[questions_content(questions)])

    run_id = opened(open_once)

    def work() -> MtBenchSummary | ArenaHardSummary:
        with run_at_work(run_id, QUESTIONS) as run:
            return _summary(questions, run, opponent)

    return work_on(run_id, work)


def _summary(
    questions: Sequence[Question], run: RunAtWork[QuestionsConfig], opponent: ModelConfig | None
) -> MtBenchSummary | ArenaHardSummary:
    answers = answers_of(questions, run, run.config.model)
    judge = _judge(run)
    if opponent is None:
        return mt_bench_summary(questions, judge.grade(questions, answers))
    with run.sessions() as session:
        baseline = with_format(opponent, runs.get_run(session, run.run_id).dtype)
    games = judge.compare(questions, answers, answers_of(questions, run, baseline))
    config = run.config
    return arena_hard_summary(games, strong_weight=config.strong_weight, resamples=config.resamples, seed=config.seed)


def _judge(run: RunAtWork[QuestionsConfig]) -> ProtocolJudge:
    judge, replies = run.config.judge, DatabaseReplies(run)
    budget, batching = budget_of(run, judge), judge_batching(run, judge)
    return ProtocolJudge(make_asker(judge, run.settings, replies=replies, budget=budget, batching=batching))
