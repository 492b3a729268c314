"""What an alignment would do, told before it begins: stores nothing, loads no model, asks nobody. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from db import measured, policies
from db.engine import Session, Sessions
from models.alignment.records import Method
from models.model_files import size_bytes, weight_count
from tasks.alignment.choices import check_alignment, chosen_base
from tasks.alignment.data import AlignmentData, compared_prompts, data_of, read_data
from tasks.alignment.plans import Plan, fine_tuning_plan, preference_plan
from tasks.config.alignment import AlignConfig, OptimizeConfig
from tasks.config.rounds import LdAlignConfig
from tasks.database import looked_at, open_database
from tasks.estimates import Estimate, Figure, Limits, Sign, time_figure
from tasks.labels.estimate import JudgeWork, judge_figures
from tasks.labels.exchange import preferences_now
from tasks.labels.labellers import judge_price
from tasks.named_models import NamedModel, look_up_model, policy_name
from tasks.number_formats import with_format
from tasks.settings import Settings

CHECKPOINT_BYTES = 12  # a weight: float32, and the two moments of AdamW
CHECKPOINTS = 3  # two are kept while a third is written
FAILS = "then the comparison fails, its verdicts are kept, and the same command goes on"


@dataclass(frozen=True, slots=True)
class _Training:
    """A training to come, or one that was made: `policy_id`. `examples`: of each round, one after the other."""

    method: Method
    examples: tuple[int, ...]
    optimize: OptimizeConfig
    policy_id: int | None = None

    @property
    def longest(self) -> int:
        """Optimizer steps of the longest round."""
        return max(map(self._steps, self.examples))

    @property
    def steps(self) -> int:
        """Optimizer steps of all rounds, if every example fits."""
        return sum(map(self._steps, self.examples))

    def _steps(self, examples: int) -> int:
        return ceil(ceil(examples / self.optimize.batch_size) * self.optimize.epochs)


def estimate_alignment(config: AlignConfig | LdAlignConfig, settings: Settings) -> Estimate:
    """What an alignment would do.

    Raises:
        Exception: Whatever `check_alignment` and opening the run raise.
    """
    with looked_at(settings) as settings:  # noqa: PLR1704 - from here on these are meant
        check_alignment(config, settings)
        with open_database(settings) as sessions, sessions() as session:
            fixed = config.model_copy(update={"model": chosen_base(session, config)})
            return _Estimator(sessions, session, with_format(fixed, None), settings).estimate()


class _Estimator:
    """Plans the trainings, then tells."""

    def __init__(
        self, sessions: Sessions, session: Session, config: AlignConfig | LdAlignConfig, settings: Settings
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._config = config
        self._settings = settings
        self._data = self._read()
        self._base = look_up_model(sessions, config.model.name, config.model, settings)

    def estimate(self) -> Estimate:
        parts, name = self._data.parts, self._config.model.name
        trainings = self._trainings()
        compared = len(compared_prompts(self._session, self._config, self._data))
        figures = [
            Figure("train on", len(parts.train), self._where()),
            Figure("measure on", len(parts.held_out), f"held out; responses are compared on {compared:,} prompts"),
            *self._samples(compared, trainings),
            *(figure for training in trainings for figure in self._steps(training)),
        ]
        notes = [] if self._base else [f"{name} is not on this machine: the hub would be asked for it"]
        currency = ""
        if self._config.evaluate.annotator == "judge":
            judge = self._config.evaluate.judge
            asked = self._judged(compared)
            note = Limits("evaluate.judge", judge.max_requests, judge.max_cost).note(asked[0], asked[3], FAILS)
            notes += [note] if note else []
            figures += asked
            currency = judge_price(judge, self._settings).currency
        figures += self._disk([training for training in trainings if training.policy_id is None])
        command = "ld-align" if isinstance(self._config, LdAlignConfig) else "align"
        return Estimate(command, tuple(figures), tuple(notes), currency)

    def _read(self) -> AlignmentData:
        config, session = self._config, self._session
        is_of_references = isinstance(config, LdAlignConfig) and config.golden == "references"
        if is_of_references or config.data.snapshot is not None:
            return read_data(session, config)
        return data_of(config, preferences_now(session, config.data), "the data")

    def _where(self) -> str:
        config = self._config
        if isinstance(config, LdAlignConfig):
            return f"golden responses, {config.golden}"
        data = config.data
        return f"preferences of {f'snapshot {data.snapshot}' if data.snapshot else f'run {data.run}'}"

    def _trainings(self) -> list[_Training]:
        config, base, found = self._config, self._base, list[_Training]()
        stand_in = base or NamedModel(config.model.name, "", None, "")
        start = base
        if (plan := fine_tuning_plan(config, stand_in, self._data)) is not None:
            found.append(self._training(plan, is_known=base is not None))
            policy_id = found[0].policy_id
            start = None
            if policy_id is not None:
                start = look_up_model(self._sessions, policy_name(policy_id), config.model, self._settings)
        if isinstance(config, AlignConfig):
            plan = preference_plan(config, start or stand_in, self._data)
            return [*found, self._training(plan, is_known=start is not None)]
        count = len(self._data.parts.train)
        rounds = config.rounds
        examples = [count * (2 if rounds.has_previous and number else 1) for number in range(rounds.count)]
        return [*found, _Training(config.method, tuple(examples), rounds)]

    def _training(self, plan: Plan, *, is_known: bool) -> _Training:
        policy = policies.find_trained(self._session, plan.identity.key) if is_known else None
        is_there = policy is not None and (self._settings.artifact_root / (policy.folder or "")).is_dir()
        policy_id = policy.id if policy is not None and is_there else None
        return _Training(plan.method, (len(plan.train),), plan.optimize, policy_id)

    def _samples(self, compared: int, trainings: list[_Training]) -> list[Figure]:
        """Responses of the start and of each policy, for comparisons and KL; in rounds those for golden prompts too."""
        config = self._config
        if isinstance(config, LdAlignConfig):
            rounds = config.rounds.count
            count = compared * config.evaluate.responses_per_prompt * (2 * rounds + 1)
            count += len(self._data.parts.train) * rounds
            basis = f"of {rounds} rounds, those that are stored cost nothing"
        elif all(training.policy_id is not None for training in trainings):
            return []
        else:
            count = 3 * compared * config.evaluate.responses_per_prompt
            basis = "of start and policy, and of the start for KL; stored ones cost nothing"
        return [Figure("responses to sample", count, basis, "≤")]

    def _steps(self, training: _Training) -> list[Figure]:
        """Steps and time of one training."""
        method = training.method
        if training.policy_id is not None:
            return [Figure(f"steps, {method}", 0, f"trained already: policy {training.policy_id}")]
        batch, epochs = training.optimize.batch_size, training.optimize.epochs
        examples = " + ".join(f"{count:,}" for count in training.examples)
        basis = f"{examples} examples, {batch} a step, {epochs:g} epochs, if all fit"
        return [
            Figure(f"steps, {method}", training.steps, basis, "≤"),
            time_figure(f"time, {method}", training.steps, self._rate(training), unit="steps"),
        ]

    def _rate(self, training: _Training) -> float | None:
        """Steps a second of earlier trainings of this model by this method, with as many examples a step."""
        earlier = measured.trainings(self._session, method=training.method, model=self._config.model.name)
        alike = [made for made in earlier if made.settings.get("batch_size") == training.optimize.batch_size]
        seconds = sum(made.seconds for made in alike)
        return sum(made.steps for made in alike) / seconds if seconds else None

    def _judged(self, compared: int) -> list[Figure]:
        """A judge's part of the comparison: every response of the policy beside the start's, in both orders."""
        config = self._config.evaluate
        rounds = self._config.rounds.count if isinstance(self._config, LdAlignConfig) else 1
        pairs = compared * config.responses_per_prompt * rounds
        prompts = compared_prompts(self._session, self._config, self._data)
        of_prompts = sum(len(prompt.prompt.text) for prompt in prompts) / max(len(prompts), 1)
        rows = self._data.parts.train
        answers = [row.text if hasattr(row, "text") else row.chosen for row in rows]
        of_answer = sum(map(len, answers)) / len(answers)
        characters = 2 * pairs * (of_prompts + 2 * of_answer)
        asked = judge_figures(self._session, config.judge, self._settings, JudgeWork(2 * pairs, characters, 0.0))
        return [Figure(figure.name, figure.value, figure.basis, _most(figure.sign), figure.unit) for figure in asked]

    def _disk(self, trainings: list[_Training]) -> list[Figure]:
        if not trainings:
            return []
        if self._base is None:
            return [Figure("disk, policies", None, "the size of the model is not known here", unit="bytes")]
        folder = Path(self._base.location)
        size = size_bytes(folder)
        count = sum(len(training.examples) for training in trainings)
        kept = Figure("disk, policies", size * count, f"{count} of the model's size", "≈", "bytes")
        weights, steps = weight_count(folder), max(training.longest for training in trainings)
        optimize = self._config.optimize
        if weights is None or optimize.lora.rank or not 0 < optimize.save_every <= steps:
            return [kept]
        meanwhile = weights * CHECKPOINT_BYTES * min(CHECKPOINTS, steps // optimize.save_every)
        return [kept, Figure("disk, meanwhile", meanwhile, "checkpoints to resume from", "≤", "bytes")]


def _most(sign: Sign) -> Sign:
    """Equal responses need no verdict, so that an estimate over all pairs is at most that."""
    return "≤" if sign == "" else sign
