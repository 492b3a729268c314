"""What is to be trained: examples and settings, and the identity that they make. Knows no Prefect and no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from db.samples import Sample
from models.alignment.records import Example, Method, PolicyIdentity, TrainingSettings
from models.alignment.strengths import strength_margins, strength_weights
from models.exchange import PreferenceRow
from models.records import content_key
from tasks.alignment.data import AlignmentData, preference_example
from tasks.alignment.training_settings import training_settings
from tasks.config.alignment import METHOD_DEFAULTS, AlignConfig, AlignmentSection, OptimizeConfig, StrengthUse
from tasks.config.rounds import RoundsConfig
from tasks.named_models import NamedModel

SFT_ROUND = 0
ADAPTER_RATE_TIMES = 30  # the demo model's adapters come as far as all weights there: docs/log.md


@dataclass(frozen=True, slots=True)
class Plan:
    """One training. The start model is the reference too.

    `first`: the model that the run began with, which what is held out is measured against; `kl_samples` are its
    samples.
    """

    method: Method
    round: int
    start: NamedModel
    first: NamedModel
    settings: TrainingSettings
    optimize: OptimizeConfig
    train: Sequence[Example]
    held_out: Sequence[Example]
    kl_samples: Sequence[Sample] = ()

    @property
    def identity(self) -> PolicyIdentity:
        """What the policy will be known by."""
        data_hash = content_key([_identifying(example) for example in self.train])
        return PolicyIdentity(self.start.fingerprint, data_hash, asdict(self.settings))

    @property
    def rate_warning(self) -> str | None:
        """As `rate_warning`."""
        rate, is_fine_tuning = self.settings.learning_rate, self.round == SFT_ROUND
        return rate_warning(self.optimize, self.method, rate, is_fine_tuning=is_fine_tuning)


def rate_warning(
    optimize: OptimizeConfig, method: Method, learning_rate: float, *, is_fine_tuning: bool = False
) -> str | None:
    """What to say before adapters are trained at no more than the method's rate for all weights; None elsewhere."""
    full = _full_rate(method)
    if not optimize.lora.rank or learning_rate > full:
        return None
    section = "rounds.learning_rates" if isinstance(optimize, RoundsConfig) else "train.learning_rate"
    option = "sft.learning_rate" if is_fine_tuning else section
    return (
        f"adapters (lora.rank {optimize.lora.rank}) hardly move at the learning rate {learning_rate:g}: the default of "
        f"{method}, {full:g}, is for all weights; give --{option} {ADAPTER_RATE_TIMES * full:g} or more"
    )


def fine_tuning_plan(config: AlignmentSection, base: NamedModel, data: AlignmentData) -> Plan | None:
    """Fine-tuning on the golden or chosen responses; None if that is not wanted."""
    if not config.sft.epochs:
        return None
    optimize = config.optimize.model_copy(update={"epochs": config.sft.epochs})
    return Plan(
        method="sft",
        round=SFT_ROUND,
        start=base,
        first=base,
        settings=training_settings(config, optimize, "sft", beta=0.0, learning_rate=config.sft.learning_rate),
        optimize=optimize,
        train=_golden(data.parts.train),
        held_out=_golden(data.parts.held_out),
    )


def preference_plan(
    config: AlignConfig, start: NamedModel, data: AlignmentData, kl_samples: Sequence[Sample] = ()
) -> Plan:
    """Training on the preferences, from the fine-tuned model or the one named."""
    method, optimize = config.train.method, config.train
    beta, learning_rate = METHOD_DEFAULTS[method]
    settings = training_settings(
        config,
        optimize,
        method,
        beta=optimize.beta or beta,
        learning_rate=optimize.learning_rate or learning_rate,
    )
    parts = data.preferences
    assert parts is not None  # a run of this kind has them
    return Plan(
        method=method,
        round=1,
        start=start,
        first=start,
        settings=settings,
        optimize=optimize,
        train=_by_strength(parts.train, optimize.strength),
        held_out=[preference_example(row) for row in parts.held_out],
        kl_samples=kl_samples,
    )


def _full_rate(method: Method) -> float:
    """The learning rate of a method's paper, for all weights."""
    of_pairs: dict[Method, float] = {name: default.learning_rate for name, default in METHOD_DEFAULTS.items()}
    return of_pairs.get(method, RoundsConfig().learning_rates[0])


def _by_strength(rows: Sequence[PreferenceRow], use: StrengthUse) -> list[Example]:
    """The preferences to train on, with what becomes of their strengths; held-out ones are measured alike."""
    examples = [preference_example(row) for row in rows]
    strengths = [row.strength for row in rows]
    if use == "weight":
        weights = zip(examples, strength_weights(strengths), strict=True)
        return [replace(example, weight=weight) for example, weight in weights]
    if use == "margin":
        margins = zip(examples, strength_margins(strengths), strict=True)
        return [replace(example, margin=margin) for example, margin in margins]
    return examples


def _golden(rows: Sequence[PreferenceRow] | Sequence[Sample]) -> list[Example]:
    """The different responses to fine-tune on."""
    texts = (
        (row.prompt, row.chosen, row.is_chosen_cut, row.chosen_thought)
        if isinstance(row, PreferenceRow)
        else (row.prompt, row.text, row.is_cut, row.thought)
        for row in rows
    )
    return [
        Example(prompt, text, is_chosen_cut=is_cut, chosen_thought=thought)
        for prompt, text, is_cut, thought in dict.fromkeys(texts)
    ]


def _identifying(example: Example) -> list[object]:
    """What makes an example the same. Cut responses are named as such, since they once were trained on with an end."""
    is_cut = (example.is_chosen_cut, example.is_rejected_cut)
    thoughts = (example.chosen_thought, example.rejected_thought)
    of_some = [
        *([is_cut] if any(is_cut) else []),
        *([["thoughts", *thoughts]] if thoughts != (None, None) else []),
        *([{"margin": example.margin}] if example.margin is not None else []),
    ]
    return [example.prompt.key, example.chosen, example.rejected, example.weight, *of_some]
