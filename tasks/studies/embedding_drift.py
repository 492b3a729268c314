"""The study of drift: embeddings of held-out responses along a training (REAL appendix B.1, figure 6).

Checkpoints are trainings that end early, ordinary policies: at a constant learning rate without warm-up and under one
seed, the steps of a shorter training are the first ones of a longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from db import policies, runs
from db.labels import labelling
from db.labels.preferences import outcome_counts
from db.labels.snapshot_facts import find_snapshot
from db.prompts import stored_prompts
from db.responses import candidate_texts
from models.embedding import Context, EmbeddingRequest
from models.labelling.rules import STANDING_RULE
from models.studies.drift import Moved, moved
from models.studies.drift_findings import Checkpoint, drift_findings
from models.studies.findings import Findings
from models.studies.trials import Outcome, Trial
from tasks.alignment.choices import chosen_base
from tasks.alignment.data import alignment_at_work
from tasks.alignment.opening import open_alignment
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.alignment import AlignConfig, DataConfig
from tasks.config.exchange import PreferencesConfig
from tasks.config.studies import StudyConfig
from tasks.database import open_database
from tasks.devices import keep_device
from tasks.errors import NothingToDoError
from tasks.evaluation.measures import CONTEXTS, embedded
from tasks.labels.exchange import take_snapshot
from tasks.named_models import NamedModel, check_model, find_model, policy_name
from tasks.progress import stage_progress
from tasks.run_kinds import ALIGNMENT, load_alignment
from tasks.runs import working_on
from tasks.settings import Settings
from tasks.studies.study import Study, StudyAtWork, carried_out

START = "fine-tuned"
SHARES = (0.25, 0.5, 1.0)
RESPONSES = 256  # every checkpoint of every seed reads them twice: a minute each on two busy cores
_MOVED = TypeAdapter(dict[str, Moved])


def _check(config: StudyConfig, settings: Settings) -> StudyConfig:
    """Settle which run and which model it is.

    Raises:
        LookupError: If there is no such run or policy, or no policy is in use.
        NoModelError: If no model is chosen.
        ModelLoadError: If there is no such folder, or no model in it.
        ValueError: If the run has no preference.
    """
    with open_database(settings) as sessions, sessions() as session:
        run_id = runs.find_run(session, config.data.run)
        model = chosen_base(session, AlignConfig(data=DataConfig(run=str(run_id)), model=config.model))
        check_model(sessions, model.name, settings)
        outcomes = outcome_counts(session, STANDING_RULE, labelling.pair_keys(session, run_id))
    if not (outcomes.get("first") or outcomes.get("second")):
        raise ValueError(
            f"run {run_id} has no preference to train on; label its pairs first, such as with "
            f"antipode label --pairs.run {run_id} --annotator judge, or antipode web --run {run_id}"
        )
    return config.model_copy(update={"data": config.data.model_copy(update={"run": str(run_id)}), "model": model})


def _trials(work: StudyAtWork) -> Sequence[Trial]:
    start = [Trial(arm=START, seed=work.config.seed)] if work.config.sft.epochs else []
    return start + [Trial(arm=_name(share), seed=seed) for seed in work.config.all_seeds for share in SHARES]


def _carry_out(work: StudyAtWork, trials: Sequence[Trial]) -> Iterator[Outcome]:
    drift = _Drift(work)
    for trial in trials:
        yield carried_out(trial, partial(drift.figures, trial))


def _find(work: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    with work.sessions() as session:
        run = runs.get_run(session, int(work.config.data.run))
    checkpoints = [
        Checkpoint(one.trial.arm, one.figures["steps"], one.trial.seed, _MOVED.validate_python(one.figures["moved"]))
        for one in outcomes
    ]
    return drift_findings(f"{run.id} ({run.name})", work.config.train.method, checkpoints)


EMBEDDING_DRIFT = Study(check=_check, trials=_trials, carry_out=_carry_out, find=_find)


class _Drift:
    """The trainings of one study, and what the base model makes of the held-out responses, embedded once."""

    def __init__(self, work: StudyAtWork) -> None:
        self._work = work

    def figures(self, trial: Trial) -> dict[str, Any]:
        """Train as far as the trial says, or find it trained, and embed."""
        steps, policy = 0, self._start
        if trial.arm != START:
            share = next(share for share in SHARES if _name(share) == trial.arm)
            policy = self._trained(share, trial.seed)
            with self._work.sessions() as session:
                steps = max(point.step for point in policies.metric_points(session, policy))
        assert policy is not None
        vectors = self._embedded(self._model(policy))
        prompts = tuple(self._requests)
        sizes = [len(requests) for requests in self._requests.values()]
        offsets = np.cumsum([0, *sizes])
        by_context = {context: moved(self._base[context], vectors[context], offsets, prompts) for context in CONTEXTS}
        return {"policy": policy, "steps": steps, "moved": {name: asdict(found) for name, found in by_context.items()}}

    @cached_property
    def _snapshot(self) -> int:
        """The preferences as they were when the study began, whatever labels came since: all trainings see the same."""
        name, data = f"study {self._work.run_id}", self._work.config.data
        with self._work.sessions() as session:
            try:
                return find_snapshot(session, name)
            except LookupError:
                pass
        config = PreferencesConfig(run=data.run, annotators=data.annotators)
        return take_snapshot(self._work.sessions, config, name=name).snapshot.id

    @cached_property
    def _start_run(self) -> int:
        """The run that fine-tunes: its data says what is held out."""
        config = self._work.config
        return open_alignment(self._config(config.seed, config.model.name, epochs=config.sft.epochs), ALIGNMENT)

    @cached_property
    def _start(self) -> int | None:
        """The policy that every training begins with; None: the model as it is."""
        with working_on(self._start_run), keep_device():
            return fine_tune.fn(self._start_run)

    def _trained(self, share: float, seed: int) -> int:
        start = self._start
        name = self._work.config.model.name if start is None else policy_name(start)
        run_id = open_alignment(self._config(seed, name, share=share), ALIGNMENT)
        with working_on(run_id), keep_device():
            return train_policy.fn(run_id, None)

    def _config(self, seed: int, model: str | None, *, epochs: float = 0.0, share: float = 1.0) -> AlignConfig:
        config = self._work.config
        return AlignConfig(
            name=config.name,
            seed=seed,
            data=DataConfig(snapshot=self._snapshot, held_out_share=config.data.held_out_share),
            model=config.model.model_copy(update={"name": model}),
            sft=config.sft.model_copy(update={"epochs": epochs}),
            train=config.train.model_copy(
                update={"epochs": share * config.train.epochs, "schedule": "constant", "warmup_share": 0.0}
            ),
        )

    @cached_property
    def _requests(self) -> Mapping[int, list[EmbeddingRequest]]:
        """The curation run's responses to prompts that nothing trains on, two or more each, by prompt."""
        with alignment_at_work(self._start_run, load_alignment) as run:
            held_out = sorted({row.prompt_id for row in run.data.parts.held_out})
        with self._work.sessions() as session:
            prompts = {one.id: one.prompt for one in stored_prompts(session, held_out)}
            texts = candidate_texts(session, int(self._work.config.data.run), held_out)
        found: dict[int, list[EmbeddingRequest]] = {}
        for id_ in held_out:
            own = [EmbeddingRequest(prompts[id_], text) for _, text in texts.get(id_, ())]
            if len(own) > 1 and sum(map(len, found.values())) + len(own) <= RESPONSES:
                found[id_] = own
        if len(found) < 2:
            raise NothingToDoError(
                f"drift needs 2 held-out prompts with several responses, got {len(found)}; raise data.held_out_share"
            )
        return found

    @cached_property
    def _base(self) -> Mapping[Context, Any]:
        config = self._work.config
        assert config.model.name is not None
        return self._embedded(find_model(self._work.sessions, config.model.name, config.model, self._work.settings))

    def _model(self, policy_id: int) -> NamedModel:
        return find_model(self._work.sessions, policy_name(policy_id), self._work.config.model, self._work.settings)

    def _embedded(self, model: NamedModel) -> Mapping[Context, Any]:
        requests = [request for own in self._requests.values() for request in own]
        with stage_progress("drift", len(CONTEXTS) * len(requests), "embeddings") as advance:
            return embedded(
                model, requests, dtype=self._work.config.model.dtype, settings=self._work.settings, advance=advance
            )


def _name(share: float) -> str:
    return f"after {100 * share:.0f} % of the steps"
