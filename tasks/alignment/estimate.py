"""What an alignment would do, told before it begins: stores nothing, loads no model, asks nobody. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from db import measured, policies, responses
from db.engine import Session, Sessions
from db.samples import Sample
from models.alignment.records import Method
from models.generation.plan import missing_samples
from models.model_files import size_bytes, weight_count
from models.records import StoredPrompt
from tasks.alignment.choices import check_alignment, chosen_base
from tasks.alignment.data import AlignmentData, compared_prompts, data_of, read_data
from tasks.alignment.plans import Plan, fine_tuning_plan, preference_plan, rate_warning
from tasks.alignment.training_settings import own_distribution
from tasks.config.alignment import AlignConfig, OptimizeConfig
from tasks.config.curation import GenerateConfig, SampleConfig
from tasks.config.rounds import LdAlignConfig
from tasks.curation.engines import generator_identity
from tasks.database import looked_at, open_database
from tasks.estimates import Estimate, Figure, Limits, Sign, time_figure
from tasks.labels.arms import unequal_arms_asked_for
from tasks.labels.estimate import JudgeWork, judge_figures, question_characters
from tasks.labels.exchange import preferences_now
from tasks.labels.labellers import judge_price
from tasks.named_models import NamedModel, look_up_model, policy_name
from tasks.number_formats import with_format
from tasks.settings import Settings
from tasks.storage import holds_folder

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
    warning: str | None = None

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
        self._start: NamedModel | None = None
        self._policy: NamedModel | None = None

    def estimate(self) -> Estimate:
        parts, name = self._data.parts, self._config.model.name
        compared = compared_prompts(self._session, self._config, self._data, self._data.seen_by_run)
        prompts = compared.prompts
        trainings = self._trainings()
        figures = [
            Figure("train on", len(parts.train), self._where()),
            Figure("measure on", len(parts.held_out), f"held out: {self._data.held_out_words}"),
            Figure("compare on", len(prompts), compared.words),
            self._samples(prompts),
            *(figure for training in trainings for figure in self._steps(training)),
        ]
        notes = [] if self._base else [f"{name} is not on this machine: the hub would be asked for it"]
        notes += [training.warning for training in trainings if training.warning and training.policy_id is None]
        if arms := unequal_arms_asked_for(self._session, self._config.data):
            notes.append(arms)
        currency = ""
        if self._config.evaluate.annotator == "judge":
            judge = self._config.evaluate.judge
            asked = self._judged(prompts)
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
        rows = preferences_now(session, config.data)
        session.rollback()  # what another rule made of the votes is not kept, and locks nobody out any longer
        return data_of(session, config, rows, "the data")

    def _where(self) -> str:
        config = self._config
        if isinstance(config, LdAlignConfig):
            return f"golden responses, {config.golden}"
        data = config.data
        return f"preferences of {f'snapshot {data.snapshot}' if data.snapshot else f'run {data.run}'}"

    def _trainings(self) -> list[_Training]:
        """The trainings, and on the way the start model and the policy, as far as they are there."""
        config, found = self._config, list[_Training]()
        stand_in = self._base or NamedModel(config.model.name, "", None, "")
        plan = fine_tuning_plan(config, stand_in, self._data)
        self._start = self._base
        if plan is not None:
            found.append(self._training(plan, is_known=self._base is not None))
            self._start = self._model(found[0].policy_id)
        if isinstance(config, AlignConfig):
            plan = preference_plan(config, self._start or stand_in, self._data)
            found.append(self._training(plan, is_known=self._start is not None))
            self._policy = self._model(found[-1].policy_id)
            return found
        count = len(self._data.parts.train)
        rounds = config.rounds
        examples = [count * (2 if rounds.has_previous and number else 1) for number in range(rounds.count)]
        warning = rate_warning(rounds, config.method, rounds.learning_rates[0])
        return [*found, _Training(config.method, tuple(examples), rounds, warning=warning)]

    def _training(self, plan: Plan, *, is_known: bool) -> _Training:
        policy = policies.find_trained(self._session, plan.identity.key) if is_known else None
        is_there = bool(policy and policy.folder and holds_folder(policy.folder, self._settings))
        policy_id = policy.id if policy is not None and is_there else None
        return _Training(plan.method, (len(plan.train),), plan.optimize, policy_id, plan.rate_warning)

    def _model(self, policy_id: int | None) -> NamedModel | None:
        if policy_id is None:
            return None
        return look_up_model(self._sessions, policy_name(policy_id), self._config.model, self._settings)

    def _samples(self, prompts: Sequence[StoredPrompt]) -> Figure:
        """Responses of start and policy for the comparison, of the start for KL."""
        config = self._config
        generate = config.evaluate.generate()
        if isinstance(config, LdAlignConfig):
            rounds = config.rounds.count
            count = (
                len(prompts) * generate.responses_per_prompt * 2 * (rounds + 1) + len(self._data.parts.train) * rounds
            )
            return Figure("responses to sample", count, f"in {rounds} rounds; stored ones cost nothing", "≤")
        for_kl = own_distribution(generate)
        wanted = [generate] if for_kl == generate else [generate, for_kl]
        count = sum(self._missing(model, of, prompts) for of in wanted for model in (self._start, self._policy))
        return Figure("responses to sample", count, "of start and policy, to compare and for KL; others are stored")

    def _missing(self, model: NamedModel | None, generate: GenerateConfig, prompts: Sequence[StoredPrompt]) -> int:
        """How many responses a model lacks; all, if it is yet to be trained."""
        wanted, texts = generate.responses_per_prompt, dict[int, dict[int, str]]()
        if model is not None:
            sample = SampleConfig(seed=self._config.seed, model=self._config.model, generate=generate)
            identity = generator_identity(sample, model.name, model)
            generator_id = responses.find_generator(self._session, identity)
            if generator_id is not None:
                texts = responses.generated_texts(self._session, generator_id, [prompt.id for prompt in prompts])
        return sum(len(missing_samples(texts.get(one.id, {}), count=wanted, extra_tries=0)) for one in prompts)

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

    def _judged(self, prompts: Sequence[StoredPrompt]) -> list[Figure]:
        """A judge's part of the comparison: every response of the policy beside the start's, in both orders."""
        config = self._config.evaluate
        rounds = self._config.rounds.count if isinstance(self._config, LdAlignConfig) else 1
        pairs = len(prompts) * config.responses_per_prompt * rounds
        of_prompts = sum(len(prompt.prompt.text) for prompt in prompts) / max(len(prompts), 1)
        rows = self._data.parts.train
        answers = [row.text if isinstance(row, Sample) else row.chosen for row in rows]
        of_answer = sum(map(len, answers)) / len(answers)
        characters = 2 * pairs * (question_characters(config.judge) + of_prompts + 2 * of_answer)
        asked = judge_figures(self._session, config.judge, self._settings, JudgeWork(2 * pairs, characters))
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
