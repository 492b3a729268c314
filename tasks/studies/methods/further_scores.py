"""What a study asks of its policies beside comparisons: lm-eval's benchmarks, and questions graded by a protocol.

Of the model that all arms begin with too, since a gain is over something.
"""

from __future__ import annotations

from db import runs
from db.engine import Session, Sessions
from models.evaluation.lm_eval import require_lm_eval
from models.protocols.question_files import read_questions
from models.protocols.scores import ArenaHardSummary, MtBenchSummary
from models.studies.methods.benchmarks import task_scores
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import StudyQuestionsConfig
from tasks.config.studies import StudyConfig
from tasks.errors import StudyChangedError
from tasks.evaluation.benchmarks import run_benchmarks
from tasks.evaluation.questions import ask_questions
from tasks.labels.labellers import judge_price
from tasks.named_models import check_model, chosen_model
from tasks.run_kinds import STUDY
from tasks.settings import Settings
from tasks.studies.study import StudyAtWork, data_of
from tasks.studies.trainings import Figures


def checked_scores(sessions: Sessions, session: Session, config: StudyConfig, settings: Settings) -> StudyConfig:
    """The configuration with its baseline by a lasting name, after checks that everything can be asked.

    Raises:
        LmEvalMissingError: If benchmarks are asked for, and lm-eval is not installed.
        SourceError: If the question file cannot be read as one.
        ValueError: If the judge's limit of money has no price, or the baseline would be another revision of the model.
        LookupError, ModelLoadError: If there is no such baseline.
    """
    if config.benchmarks.tasks:
        require_lm_eval()
    questions = config.questions
    if questions.file is None:
        return config
    _check_baseline(config)
    read_questions(questions.file)
    judge_price(questions.judge, settings)
    if questions.against is None:
        return config
    against = chosen_model(session, ModelConfig(name=questions.against)).name
    check_model(sessions, against, settings)
    return config.model_copy(update={"questions": questions.model_copy(update={"against": against})})


def check_unchanged(study: StudyAtWork) -> None:
    """Refuse to ask other questions, or tasks of benchmarks, than those that the study was opened with.

    Raises:
        StudyChangedError: If the files hold something else now.
        SourceError: If the question file cannot be read as one any more.
    """
    with study.sessions() as session:
        config = STUDY.stored_config(session, study.run_id)
        begun_as = runs.get_run(session, study.run_id).config_key
    if not (data := data_of(config)) or begun_as in (keys := config.stored_keys(*data)):
        return
    files = [str(one) for one in (config.questions.file, config.benchmarks.include_path) if one is not None]
    raise StudyChangedError(
        f"{' or '.join(files)} is not what it was when study run {study.run_id} began (key {begun_as[:12]}, now "
        f"{keys[0][:12]}); put it back and give the same command to go on, or give it as it is for a study of its own"
    )


def start_scores(config: StudyConfig, model: ModelConfig, settings: Settings) -> Figures:
    """The same of the model that all arms begin with; no games, where it would play against itself."""
    if config.questions.protocol == "arena_hard" and config.questions.against is None:
        config = config.model_copy(update={"questions": StudyQuestionsConfig()})
    return further_scores(config, model, start=model.name, seed=config.seed, settings=settings)


def further_scores(config: StudyConfig, model: ModelConfig, *, start: str, seed: int, settings: Settings) -> Figures:
    """What the study asks for: `benchmarks`, task → share of right answers; `questions`, as `_scored` says.

    Raises:
        ValueError: If a benchmark reports no share of right answers.
        ProtocolStoppedError: If the judge's server or the budget gave out; what was paid for is kept.
    """
    figures: Figures = {}
    benchmarks, questions = config.benchmarks, config.questions
    if benchmarks.tasks:
        figures["benchmarks"] = task_scores(benchmarks.tasks, run_benchmarks(model, benchmarks, settings))
    if questions.file is not None:
        figures["questions"] = _scored(
            ask_questions(questions.file, questions.of_model(model, start=start, seed=seed), settings)
        )
    return figures


def _check_baseline(config: StudyConfig) -> None:
    """A baseline is taken at its newest revision, which the model that all begin with is not, if one is named."""
    model, questions = config.model, config.questions
    baseline = questions.against or (None if config.sft.epochs else model.name)
    if questions.protocol == "arena_hard" and model.revision is not None and baseline == model.name:
        raise ValueError(
            f"arena_hard's baseline would be the newest {baseline}, not revision {model.revision}; give the folder of "
            "that revision as --model.name and leave out --model.revision, or name another --questions.against"
        )


def _scored(summary: MtBenchSummary | ArenaHardSummary) -> Figures:
    """The protocol, its score (a grade of 1 to 10, or a win rate in percent), and how many verdicts are unread."""
    if isinstance(summary, ArenaHardSummary):
        score = summary.score and summary.score.value
        return {"protocol": "arena_hard", "score": score, "unread": summary.unread_games}
    turns, categories = summary.turns, summary.categories
    return {
        "protocol": "mt_bench",
        "score": summary.overall and summary.overall.value,
        "unread": summary.unread_grades,
        "turns": [one and one.value for one in turns],
        "categories": {name: one and one.value for name, one in categories.items()},
    }
