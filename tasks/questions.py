"""MT-Bench's and Arena-Hard's protocols over the user's question file: answers, then a judge. Knows no Prefect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from db import runs
from models.files import whole_file
from models.generation.seeds import sample_seed
from models.labelling.protocol_scores import (
    ArenaHardSummary,
    MtBenchSummary,
    arena_hard_summary,
    mt_bench_summary,
)
from models.labelling.protocols import ProtocolJudge
from models.labelling.question_files import Question, read_questions
from models.records import GenerationRequest, Message, Prompt, content_key
from tasks.align_config import QuestionsConfig
from tasks.choices import chosen_model
from tasks.config import ModelConfig
from tasks.database import open_database
from tasks.devices import device
from tasks.labellers import make_asker
from tasks.labelling import DatabaseReplies, budget_of
from tasks.number_formats import chosen_format, with_format
from tasks.progress import stage_progress
from tasks.resources import generator_identity, make_generator, resolve_generator
from tasks.runs import opened, working_on
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
    with open_database(settings) as sessions:
        with sessions() as session:
            opponent = None if config.against is None else chosen_model(session, ModelConfig(name=config.against))
            names = {"model": chosen_model(session, config.model), "against": opponent and opponent.name}
        asked = config.model_copy(update=names)
        run_id = opened(lambda sessions, version: _open(sessions, asked, questions, version))
        with sessions() as session:
            dtype = runs.get_run(session, run_id).dtype
        config, baseline = with_format(asked, dtype), opponent and with_format(opponent, dtype)
        with working_on(run_id):
            answers = _answers(questions, config, config.model, settings)
            judge = _judge(sessions, run_id, config, settings)
            if baseline is None:
                return mt_bench_summary(questions, judge.grade(questions, answers))
            games = judge.compare(questions, answers, _answers(questions, config, baseline, settings))
            return arena_hard_summary(
                games, strong_weight=config.strong_weight, resamples=config.resamples, seed=config.seed
            )


def _open(sessions: sessionmaker[Session], config: QuestionsConfig, questions: Sequence[Question], version: str) -> int:
    key = content_key("questions", config.model_dump(mode="json"), _contents(questions))
    with sessions.begin() as session:
        run_id = runs.find_unfinished(session, key)
        if run_id is not None:
            runs.set_status(session, run_id, runs.RUNNING)
            return run_id
        return runs.open_run(
            session,
            kind=runs.EVALUATE,
            name=f"{config.protocol} of {config.model.name}",
            config=config.model_dump(mode="json"),
            config_key=key,
            code_version=version,
            number_format=chosen_format(config),
        )


def _judge(sessions: sessionmaker[Session], run_id: int, config: QuestionsConfig, settings: Settings) -> ProtocolJudge:
    replies, budget = DatabaseReplies(sessions, run_id), budget_of(sessions, run_id, config.judge)
    return ProtocolJudge(make_asker(config.judge, settings, replies=replies, budget=budget))


def _answers(questions: Sequence[Question], config: QuestionsConfig, model: ModelConfig, settings: Settings) -> Answers:
    """A model's answers, turn by turn, each turn after the dialogue so far; read from their file if it is there."""
    sample = config.sampling().model_copy(update={"model": model})
    resolved = resolve_generator(sample, model.name, settings)
    key = content_key(generator_identity(sample, model.name, resolved).key, _contents(questions))
    path = settings.artifact_root / "answers" / f"{key[:16]}.json"
    if path.exists():
        return [tuple(answers) for answers in json.loads(path.read_text("utf-8"))]
    dialogues: list[list[Message]] = [[] for _ in questions]
    with (
        device(is_used=resolved is not None),
        stage_progress("answer", sum(len(one.turns) for one in questions), f"answers, {model.name}") as advance,
        closing(make_generator(sample, model.name, resolved, settings)) as generator,
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
    answers = [tuple(one.content for one in dialogue if one.role == "assistant") for dialogue in dialogues]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        draft.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
    return answers


def _contents(questions: Sequence[Question]) -> list[object]:
    return [[one.id, one.turns, one.references] for one in questions]
