"""Frozen records of alignment training: what trainer, scorer, evaluation and database share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from models.records import Prompt, content_key

Method = Literal["sft", "dpo", "ipo", "orpo", "asft", "ld_align", "spin"]
Optimizer = Literal["adamw", "rmsprop"]
Schedule = Literal["cosine", "linear", "constant"]
MetricSplit = Literal["train", "held_out"]
Parallel = Literal["ddp", "fsdp", "zero2", "zero3"]

METHODS_WITH_REFERENCE: tuple[Method, ...] = ("dpo", "ipo", "ld_align", "spin")
METHODS_WITH_MARGIN: tuple[Method, ...] = ("dpo",)


class ScoreRequest(NamedTuple):
    """A response whose log-probability is asked for.

    `is_cut`: its sampling stopped at the token limit, so that it has no end token. `is_sample`: it is scored as far as
    it fits, however short: an estimate of KL must not choose among a model's samples. Others are scored whole or not.
    `thought`: what stands before the text, and is scored with it.
    """

    prompt: Prompt
    text: str
    is_cut: bool = False
    is_sample: bool = False
    thought: str | None = None


class ResponseLogps(NamedTuple):
    """A response's log-probability given its prompt: the sum over its tokens in nats, its end token's too if it ended.

    `token_count` counts the same tokens.
    """

    logps: float
    token_count: int


@dataclass(frozen=True, slots=True)
class Example:
    """One example to train or to measure on. `rejected` is None for SFT on a response alone.

    `weight` multiplies its loss (LD-Align: s / S). `margin` is what the chosen one's reward is to lie above the
    rejected one's; None where the loss has no such term. The reference's summed log-probabilities are None where no
    reference is asked for them. It is the start of the training where an example is trained on, and the model that the
    run began with where it is only measured: the curves of all rounds of a run have one reference. What is measured
    has the start's own log-probabilities too, where that is another model: the method's objective is relative to it.
    A response that was cut at the token limit of its sampling has no end token. A thought, where it is trained on,
    stands before its response; the one of two that has none is written as having thought nothing.
    """

    prompt: Prompt
    chosen: str
    rejected: str | None = None
    weight: float = 1.0
    reference_chosen_logps: float | None = None
    reference_rejected_logps: float | None = None
    is_chosen_cut: bool = False
    is_rejected_cut: bool = False
    start_chosen_logps: float | None = None
    start_rejected_logps: float | None = None
    margin: float | None = None
    chosen_thought: str | None = None
    rejected_thought: str | None = None

    @property
    def score_requests(self) -> list[ScoreRequest]:
        """Its responses as they are scored: the chosen one, and the rejected one if there is any."""
        chosen = ScoreRequest(self.prompt, self.chosen, self.is_chosen_cut, thought=self.chosen_thought)
        if self.rejected is None:
            return [chosen]
        rejected = ScoreRequest(self.prompt, self.rejected, self.is_rejected_cut, thought=self.rejected_thought)
        return [chosen, rejected]


@dataclass(frozen=True, slots=True)
class UnfitExample:
    """An example that cannot be trained on, by its position in the list given, and why."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adaptation. `target_modules` empty: every linear layer but the head. `is_quantized`: QLoRA (4 bit)."""

    rank: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]
    is_quantized: bool


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that decides what a training makes of its examples.

    `batch_size`: examples per optimizer step over all devices; `examples_per_device`: in one forward pass;
    `max_length`: tokens of prompt and response together; `reward_beta`: β of the implicit reward that held-out
    examples are measured by (REAL eq. 10), the same for all methods; `evaluate_every`, `save_every`: in steps, 0 only
    at the end.
    """

    method: Method
    beta: float
    reward_beta: float
    learning_rate: float
    epochs: float
    batch_size: int
    examples_per_device: int
    max_length: int
    optimizer: Optimizer
    schedule: Schedule
    warmup_share: float
    weight_decay: float
    max_grad_norm: float
    dtype: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    lora: LoraSettings | None
    evaluate_every: int
    save_every: int
    seed: int


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One measured value along training; `step` counts optimizer steps, 0 is before the first."""

    step: int
    split: MetricSplit
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class StepsDone:
    """How far a training is, in optimizer steps."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a training ended. `model_folder` holds weights, configuration and tokenizer, adapters merged."""

    model_folder: str
    steps: int
    seconds: float
    peak_memory_bytes: int
    response_tokens: int
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """What makes a trained policy the same: the start model's content, the data's hash and the settings."""

    start_fingerprint: str
    data_hash: str
    settings: dict[str, Any]

    @property
    def key(self) -> str:
        """Content hash: the policy's natural key. The same training is never done twice."""
        return content_key(asdict(self))
