"""MT-Bench's and Arena-Hard's protocols over the user's question file: answers, then a judge. Knows no Prefect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from db import runs
from db.engine import Sessions
from models.files import whole_file
from models.generation.seeds import sample_seed
from models.protocols.judge import ProtocolJudge
from models.protocols.question_files import Question, read_questions
from models.protocols.scores import (
    ArenaHardSummary,
    MtBenchSummary,
    arena_hard_summary,
    mt_bench_summary,
)
from models.records import GenerationRequest, Message, Prompt, content_key
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import QuestionsConfig
from tasks.curation.engines import find_generator, generator_identity, make_generator
from tasks.database import open_database
from tasks.devices import device
from tasks.labels.labellers import judge_price, make_asker
from tasks.labels.labelling import DatabaseReplies, budget_of
from tasks.named_models import chosen_model
from tasks.number_formats import with_format
from tasks.progress import stage_progress
from tasks.run_kinds import QUESTIONS, RunAtWork, run_at_work
from tasks.runs import find_or_open, opened, work_on
from tasks.settings import Settings

Answers = list[tuple[str, ...]]


def ask_questions(path: Path, config: QuestionsConfig, settings: Settings) -> MtBenchSummary | ArenaHardSummary:
    """Have the model answer the file's questions, and the judge grade or compare the answers.

    A model's answers are kept in a file once all are given, each of the judge's replies in the database at once.

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
            return find_or_open(session, QUESTIONS, run_config, name=name, data=[_contents(questions)])

    run_id = opened(open_once)

    def work() -> MtBenchSummary | ArenaHardSummary:
        with run_at_work(run_id, QUESTIONS) as run:
            return _summary(questions, run, opponent)

    return work_on(run_id, work)


def _summary(
    questions: Sequence[Question], run: RunAtWork[QuestionsConfig], opponent: ModelConfig | None
) -> MtBenchSummary | ArenaHardSummary:
    answers = _answers(questions, run, run.config.model)
    judge = _judge(run)
    if opponent is None:
        return mt_bench_summary(questions, judge.grade(questions, answers))
    with run.sessions() as session:
        baseline = with_format(opponent, runs.get_run(session, run.run_id).dtype)
    games = judge.compare(questions, answers, _answers(questions, run, baseline))
    config = run.config
    return arena_hard_summary(games, strong_weight=config.strong_weight, resamples=config.resamples, seed=config.seed)


def _judge(run: RunAtWork[QuestionsConfig]) -> ProtocolJudge:
    replies, budget = DatabaseReplies(run), budget_of(run, run.config.judge)
    return ProtocolJudge(make_asker(run.config.judge, run.settings, replies=replies, budget=budget))


def _answers(questions: Sequence[Question], run: RunAtWork[QuestionsConfig], model: ModelConfig) -> Answers:
    """A model's answers, turn by turn, each turn after the dialogue so far; read from their file if it is there."""
    sample, settings = run.config.sampling().model_copy(update={"model": model}), run.settings
    local_model = find_generator(run.sessions, sample, model.name, settings)
    key = content_key(generator_identity(sample, model.name, local_model).key, _contents(questions))
    path = settings.artifact_root / "answers" / f"{key[:16]}.json"
    if path.exists():
        return [tuple(answers) for answers in json.loads(path.read_text("utf-8"))]
    dialogues: list[list[Message]] = [[] for _ in questions]
    with (
        device(is_used=local_model is not None) as process,
        stage_progress(
            "answer", sum(len(question.turns) for question in questions), f"answers, {model.name}"
        ) as advance,
        closing(make_generator(sample, model.name, local_model, settings, process)) as generator,
    ):
        for turn in range(max(len(question.turns) for question in questions)):
            open_ones = [at for at, question in enumerate(questions) if turn < len(question.turns)]
            for at in open_ones:
                dialogues[at].append(Message("user", questions[at].turns[turn]))
            prompts = [Prompt(tuple(dialogues[at])) for at in open_ones]
            seeds = [sample_seed(sample.seed, prompt.key, model.name, 0) for prompt in prompts]
            requests = [GenerationRequest(prompt, (seed,)) for prompt, seed in zip(prompts, seeds, strict=True)]
            for at, (response,) in zip(open_ones, generator.generate(requests), strict=True):
                dialogues[at].append(Message("assistant", response.text))
            advance(len(open_ones))
    answers = [tuple(message.content for message in dialogue if message.role == "assistant") for dialogue in dialogues]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        draft.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
    return answers


def _contents(questions: Sequence[Question]) -> list[object]:
    return [[question.id, question.turns, question.references] for question in questions]
