"""What all arms of a study of methods share: one set of preferences, one held-out part, one fine-tuned model."""

from __future__ import annotations

from typing import Any, NamedTuple

from db import evaluations, policies, runs
from db.labels import snapshots
from db.prompt_uses import HELD_OUT, TRAIN, uses_of
from db.studies.trials import outcomes_of
from tasks.alignment.choices import check_alignment, chosen_base
from tasks.alignment.data import is_held_out
from tasks.config.alignment import AlignConfig, DataConfig, SftConfig, TrainConfig
from tasks.config.curation import ModelConfig
from tasks.config.exchange import PreferencesConfig
from tasks.config.studies import StudyConfig
from tasks.database import open_database
from tasks.labels.exchange import preferences_now
from tasks.named_models import policy_name
from tasks.run_kinds import STUDY
from tasks.settings import Settings
from tasks.studies.methods.further_scores import check_unchanged, checked_scores, further_scores, start_scores
from tasks.studies.study import StudyAtWork
from tasks.studies.trainings import NO_SHARE, Figures, Trained, figures_of, fine_tuned, store_snapshot

CURVES = ("likelihood_margin", "chosen_logps")


class Start(NamedTuple):
    """What every arm begins with.

    Attributes:
        config: the study's as it is stored: each training is a run of its own, and settles its number formats itself.
        data: the preferences.
        model: fine-tuned on them.
        scores: of the model, as `further_scores` says.
    """

    config: StudyConfig
    data: DataConfig
    model: ModelConfig
    scores: Figures


def checked_policies(config: StudyConfig, settings: Settings) -> StudyConfig:
    """The configuration with its run and model by lasting names, after checks that policies can be made and compared.

    Raises:
        ValueError: If nobody compares the policies, or the configuration says what the study's arms say.
        LookupError: If there is no such curation run, source or policy.
        NoPreferencesError: If its pairs have no preference to train on.
        NoModelError: If no model is chosen.
        LmEvalMissingError, SourceError: As `checked_scores`.
    """
    if config.evaluate.annotator in {"none", "people"}:
        raise ValueError(
            f"study {config.study} compares policies, and evaluate.annotator is {config.evaluate.annotator}; name a "
            "judge, a reward model or the rubric: --evaluate.annotator"
        )
    with open_database(settings) as sessions, sessions() as session:
        data = config.data.model_copy(update={"run": str(runs.find_run(session, config.data.run))})
        preferences_now(session, _preferences(config, data.run))
        one = AlignConfig(
            data=DataConfig(run=data.run, annotators=data.annotators),
            model=config.model,
            sft=config.sft,
            train=config.train,
            evaluate=config.evaluate,
        )
        model = chosen_base(session, one)
        config = checked_scores(sessions, session, config, settings)
    check_alignment(one, settings)
    return config.model_copy(update={"data": data, "model": model})


def start_of_arms(study: StudyAtWork) -> Start:
    """The preferences as they were when the first trial was carried out, and the model fine-tuned on them.

    Its scores come before any policy: a benchmark that there is not is told of then.

    Raises:
        StudyChangedError: As `check_unchanged`.
    """
    with study.sessions() as session:
        config = STUDY.stored_config(session, study.run_id)
    start = Start(config, _data(study), config.model, {})
    policy_id = fine_tuned(align_config(start, "start", config.seed, sft=config.sft, train=config.train))
    if policy_id is not None:
        start = start._replace(model=config.model.model_copy(update={"name": policy_name(policy_id)}))
    check_unchanged(study)
    scores = _stored(study, "start_scores")
    return start._replace(scores=start_scores(config, start.model, study.settings) if scores is None else scores)


def method_config(start: Start, method: str, seed: int) -> AlignConfig:
    """A training by a method from the common start."""
    sft = start.config.sft.model_copy(update={"epochs": 0.0})
    train = start.config.train.model_copy(update={"method": method})
    return align_config(start, method, seed, sft=sft, train=train.settled())


def align_config(start: Start, arm: str, seed: int, *, sft: SftConfig, train: TrainConfig) -> AlignConfig:
    """A run that aligns on the study's preferences."""
    return AlignConfig(
        name=f"{start.config.name}: {arm}",
        seed=seed,
        data=start.data,
        model=start.model,
        sft=sft,
        train=train,
        evaluate=start.config.evaluate,
    )


def arm_figures(study: StudyAtWork, start: Start, made: Trained, seed: int) -> Figures:
    """What `figures_of` says, with all scores of texts, the curves of likelihoods, and what the training took.

    And what `further_scores` says of the policy, with the same of the start.

    Raises:
        StudyChangedError: As `check_unchanged`.
    """
    figures = figures_of(made)
    model = start.model.model_copy(update={"name": policy_name(made.policy_id)})
    check_unchanged(study)
    further = further_scores(start.config, model, start=start.model.name, seed=seed, settings=study.settings)
    with study.sessions() as session:
        policy = policies.get_policy(session, made.policy_id)
        metrics = evaluations.get_evaluation(session, made.evaluation_id).metrics
        points = policies.metric_points(session, made.policy_id)
        roles = list(uses_of(session, made.run_id).values())
    texts = metrics.held_out.text_scores if metrics is not None and metrics.held_out is not None else None
    curves: dict[str, Any] = {
        name: [(point.step, point.value) for point in points if (point.split, point.name) == ("held_out", name)]
        for name in CURVES
    }
    return {
        **figures,
        **(texts._asdict() if texts is not None else {}),
        **further,
        "start_scores": start.scores,
        "curves": figures["curves"] | {name: curve for name, curve in curves.items() if curve},
        "peak_memory_bytes": policy.peak_memory_bytes,
        "snapshot": start.data.snapshot,
        "train_count": roles.count(TRAIN),
        "held_out_count": roles.count(HELD_OUT),
    }


def _preferences(config: StudyConfig, run: str) -> PreferencesConfig:
    return PreferencesConfig(run=run, annotators=config.data.annotators)


def _data(study: StudyAtWork) -> DataConfig:
    """The study's snapshot: that of its stored trials, else the preferences as they are now, parted by dialogue."""
    config, stored = study.config, _stored(study, "snapshot")
    if stored is not None:
        return DataConfig(snapshot=stored, held_out_share=NO_SHARE)
    with study.sessions.begin() as session:
        rows = preferences_now(session, _preferences(config, config.data.run))
    is_out = [is_held_out(row.prompt, row.split, config.data.held_out_share) for row in rows]
    train, held_out = (
        [snapshots.lineage(row) for row, out in zip(rows, is_out, strict=True) if out is side] for side in (False, True)
    )
    return store_snapshot(study, train, held_out, name=f"study {study.run_id}")


def _stored(study: StudyAtWork, name: str) -> Any:
    """What the stored trials say under a name, the same of all; None where none says so."""
    with study.sessions() as session:
        outcomes = outcomes_of(session, study.run_id).values()
    return next((one.figures[name] for one in outcomes if name in one.figures), None)
