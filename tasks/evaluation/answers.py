"""A model's answers to a question file, turn by turn, kept in files as they come. Knows no judge, no Prefect."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from models.chat.budget import Budget
from models.files import whole_file
from models.generation import Generator, Receiver, Sample, StreamingGenerator, stream
from models.generation.seeds import sample_seed
from models.protocols.question_files import Question
from models.protocols.temperatures import by_temperature
from models.records import GenerationRequest, Message, Prompt, content_key
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import QuestionsConfig
from tasks.curation.engines import find_generator, generator_identity, make_generator
from tasks.database import in_turn
from tasks.devices import device
from tasks.errors import NoAnswerError
from tasks.named_models import NamedModel
from tasks.progress import Advance, say, stage_progress
from tasks.run_kinds import RunAtWork

Answers = list[tuple[str, ...]]


def answers_of(questions: Sequence[Question], run: RunAtWork[QuestionsConfig], model: ModelConfig) -> Answers:
    """A model's answers, each turn after the dialogue so far; read from their file if it is there.

    Raises:
        NoAnswerError: A question cannot be answered.
        GenerationStoppedError: The server gave out; what it answered is kept.
    """
    config = run.config
    if not config.has_category_temperatures:
        return _answers_at_once(questions, run, model)
    answers: dict[int, tuple[str, ...]] = {}
    for temperature, positions in by_temperature(questions, config.temperature).items():
        at_one = replace(run, config=config.model_copy(update={"temperature": temperature}))
        texts = _answers_at_once([questions[at] for at in positions], at_one, model)
        answers |= dict(zip(positions, texts, strict=True))
    return [answers[at] for at in range(len(questions))]


def _answers_at_once(questions: Sequence[Question], run: RunAtWork[QuestionsConfig], model: ModelConfig) -> Answers:
    sample, settings = run.config.sampling().model_copy(update={"model": model}), run.settings
    local_model = find_generator(run.sessions, sample, model.name, settings)
    key = content_key(generator_identity(sample, model.name, local_model).key, questions_content(questions))
    path = settings.artifact_root / "answers" / f"{key[:16]}.json"
    with in_turn(run.sessions, f"answers {key[:16]}"):  # two protocols may want the same: the second finds them
        answers = _read_or_ask(path, questions, run, model, local_model)
    if empty := sum(not text.strip() for texts in answers for text in texts):
        say(
            f"{empty:,} answers of {model.name} are empty, as where a model ends within its thought, and are graded as "
            "such; raise --max_tokens"
        )
    return answers


def _read_or_ask(
    path: Path,
    questions: Sequence[Question],
    run: RunAtWork[QuestionsConfig],
    model: ModelConfig,
    local_model: NamedModel | None,
) -> Answers:
    sample, settings = run.config.sampling().model_copy(update={"model": model}), run.settings
    if path.exists():
        return [tuple(answers) for answers in json.loads(path.read_text("utf-8"))]
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _KeptAnswers(path.with_suffix(".jsonl"))
    turn_count = sum(len(question.turns) for question in questions)
    unlimited = Budget(max_requests=None, max_cost=None)
    with (
        device(is_used=local_model is not None, is_shared_out=True) as backends,
        stage_progress("answer", turn_count, f"answers, {model.name}") as advance,
        closing(
            make_generator(sample, model.name, local_model, settings, backends=backends, budget=unlimited)
        ) as generator,
    ):

        def answer(prompts: Sequence[Prompt]) -> list[str]:
            _answer(prompts, generator, kept, seed=sample.seed, model=model.name, advance=advance)
            return [kept.texts[prompt.key] for prompt in prompts]

        answers = _turn_by_turn(questions, answer)
    with whole_file(path) as draft:
        draft.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
    kept.remove()
    return answers


def questions_content(questions: Sequence[Question]) -> list[object]:
    """What tells two question files apart, as JSON."""
    return [[question.id, question.turns, question.references] for question in questions]


def _turn_by_turn(questions: Sequence[Question], answer: Callable[[Sequence[Prompt]], list[str]]) -> Answers:
    """The answers to each question's turns, all first turns before the second ones."""
    dialogues: list[list[Message]] = [[] for _ in questions]
    for turn in range(max(len(question.turns) for question in questions)):
        open_ones = []
        for question, dialogue in zip(questions, dialogues, strict=True):
            if turn < len(question.turns):
                dialogue.append(Message("user", question.turns[turn]))
                open_ones.append(dialogue)
        texts = answer([Prompt(tuple(dialogue)) for dialogue in open_ones])
        for dialogue, text in zip(open_ones, texts, strict=True):
            dialogue.append(Message("assistant", text))
    return [tuple(message.content for message in dialogue if message.role == "assistant") for dialogue in dialogues]


def _answer(
    prompts: Sequence[Prompt],
    generator: Generator | StreamingGenerator,
    kept: _KeptAnswers,
    *,
    seed: int,
    model: str,
    advance: Advance,
) -> None:
    """Have the model answer these prompts, but for those that it has answered."""
    missing = [prompt for prompt in prompts if prompt.key not in kept.texts]
    refused: dict[int, str] = {}
    advance(len(prompts) - len(missing))

    def keep(samples: Sequence[Sample]) -> None:
        for one in samples:
            kept.add(missing[one.request].key, one.response.text)
        advance(len(samples))

    def leave_out(position: int, words: str | None) -> None:
        refused[position] = words or "the question is too long for it"

    requests = [GenerationRequest(prompt, (sample_seed(seed, prompt.key, model, 0),)) for prompt in missing]
    stream(generator, requests, Receiver(keep, leave_out))
    if refused:
        position, words = next(iter(refused.items()))
        raise NoAnswerError(
            f"{model} has no answer to {len(refused)} of the questions, such as "
            f"{missing[position].messages[-1].content[:80]!r}: {words}; leave them out of the file"
        )


class _KeptAnswers:
    """Answers by the key of the dialogue they answer, a JSON line each: a kill costs none that came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.texts: dict[str, str] = {}
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            try:
                key, text = json.loads(line)
            except ValueError:  # the kill was in the middle of a line
                continue
            self.texts[key] = text

    def add(self, key: str, text: str) -> None:
        """Keep an answer."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([key, text])}\n")
        self.texts[key] = text

    def remove(self) -> None:
        """The answers are in a file of their own."""
        self._path.unlink(missing_ok=True)
