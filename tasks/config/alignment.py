"""Configuration of alignment: frozen sections, one description a field, the one home of every default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from models.alignment.records import METHODS_WITH_MARGIN, LoraSettings, Optimizer, Parallel, Schedule
from models.alignment.tracking import Tracker
from tasks.config.curation import (
    ModelConfig,
)
from tasks.config.evaluation import EvaluateConfig
from tasks.config.exchange import PreferencesConfig
from tasks.config.section import Added, Name, Pace, RunConfig, Section

PairwiseMethod = Literal["sft", "dpo", "ipo", "orpo", "asft"]
StrengthUse = Literal["ignored", "weight", "margin"]


class MethodDefaults(NamedTuple):
    """A method's default settings: those of the paper it comes from, which for IPO are of sums, not of means."""

    beta: float
    learning_rate: float


METHOD_DEFAULTS: dict[PairwiseMethod, MethodDefaults] = {
    "sft": MethodDefaults(0.0, 1e-5),  # LD-Align's continual SFT
    "dpo": MethodDefaults(0.1, 5e-7),  # REAL
    "ipo": MethodDefaults(2.0, 5e-7),  # asks for 0.25 nats a token; 0.1 would ask for 5 (docs/decisions/0029)
    "orpo": MethodDefaults(0.1, 8e-6),  # ORPO (arXiv 2403.07691), appendix: β 0.1, 8e-6
    "asft": MethodDefaults(0.1, 1e-5),  # ASFT
}
IPO_BETA_BEFORE = 0.1  # what no β stood for in the versions that did not store which one was meant


class DataConfig(PreferencesConfig):
    """Which preferences are trained on."""

    snapshot: int | None = Field(
        None,
        ge=1,
        description="Snapshot, as `antipode export` prints it (1 or more). Empty: the preferences as they are.",
    )
    limit: int | None = Field(None, ge=1, description="At most so many preferences, by prompt (1 or more).")
    has_thoughts: Added[bool] = Field(
        False,
        description="What a reasoning model thought is trained on too, before its answer. Else the answer alone, "
        "behind a thought that is closed at once where the chat template opens one.",
    )
    held_out_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the prompts that is only measured on, beside the rows of splits such as test, eval, dev "
        "or validation. Chosen by the hash of the user's first turn, so that dialogues that begin alike stay together; "
        "what was once held out is never trained on later, whatever the share is then (0 to 1).",
    )

    def in_vain(self) -> str:
        """See `Section`."""
        changed = [name for name in PreferencesConfig.model_fields if getattr(self, name) != _field_default(name)]
        if self.snapshot is not None and changed:
            return f"data.snapshot {self.snapshot} says which preferences; leave out data.{', data.'.join(changed)}"
        return ""


def _field_default(name: str) -> Any:
    return PreferencesConfig.model_fields[name].default


class LoraConfig(Section):
    """Low-rank adaptation: small matrices are trained, the model's own weights stay."""

    rank: int = Field(0, ge=0, le=1024, description="Rank of the adapters (0 to 1024; 0: train all weights).")
    alpha: int = Field(16, ge=1, description="Scale of the adapters (1 or more).")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters (0 to 1).")
    target_modules: tuple[str, ...] = Field((), description="Layers with adapters. Empty: every linear one.")
    is_quantized: bool = Field(False, description="QLoRA: the model's own weights in 4 bit (extra qlora, a GPU).")

    def settings(self) -> LoraSettings | None:
        """As the trainer takes it; None for rank 0."""
        return LoraSettings(**self.model_dump()) if self.rank else None


class OptimizeConfig(Section):
    """How weights are trained, whatever the loss."""

    epochs: float = Field(2.0, gt=0, description="Passes over the examples.")
    batch_size: int = Field(32, ge=1, description="Examples per optimizer step, over all devices (1 or more).")
    examples_per_device: int = Field(4, ge=1, description="Examples in one forward pass of a device (1 or more).")
    max_length: int = Field(1024, ge=8, description="Rows of more tokens are left out, and counted (8 or more).")
    optimizer: Optimizer = Field("adamw", description="`rmsprop` as REAL and SPIN.")
    schedule: Schedule = Field("cosine", description="Learning rate after the warm-up.")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Share of the steps with a rising learning rate (0 to 1).")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay (0 or more).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format of the computation, as for model.dtype."
    )
    gradient_checkpointing: bool = Field(False, description="Less memory for a third more time.")
    lora: LoraConfig = Field(LoraConfig(), description="Low-rank adaptation.")
    evaluate_every: int = Field(25, ge=0, description="Steps between two measurements on held-out examples (0: ends).")
    save_every: int = Field(100, ge=0, description="Steps between two checkpoints to resume from (0: none).")
    processes: Pace[Added[int]] = Field(
        1,
        ge=1,
        description="Processes of this host that train together, each with a GPU where there are any (1 or more).",
    )
    parallel: Pace[Added[Parallel]] = Field(
        "ddp",
        description="`ddp`: each process has the whole model; `fsdp`: each holds its share of the weights, gradients "
        "and optimizer states; `zero3`: the same by DeepSpeed, `zero2`: all but the weights (both: extra deepspeed).",
    )
    accelerate_config: str | None = Field(
        None,
        description="File that `accelerate config` wrote, of the kind MULTI_GPU, for what `train.processes` has not: "
        "several hosts.",
    )
    timeout_s: Pace[float | None] = Field(None, gt=0, description="Seconds a training may take. Empty: any time.")
    report_to: Pace[Added[tuple[Tracker, ...]]] = Field(
        (),
        description="Trackers told of it, beside TensorBoard's files, which are always written: `mlflow`, `trackio`, "
        "`wandb` (docs/tracking.md).",
    )

    @model_validator(mode="after")
    def _a_batch_is_whole_passes(self) -> Self:
        if self.batch_size % (self.examples_per_device * self.processes):
            times = f" × {self.processes} processes" if self.processes > 1 else ""
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of examples_per_device {self.examples_per_device}"
                f"{times}; change one of them"
            )
        return self

    @model_validator(mode="after")
    def _several_processes_start_one_way(self) -> Self:
        if self.processes > 1 and self.accelerate_config is not None:
            raise ValueError(
                f"accelerate_config says itself how many processes there are; leave it out, or processes "
                f"{self.processes}"
            )
        is_shared_out = self.processes > 1 or self.accelerate_config is not None
        if is_shared_out and self.parallel != "ddp" and self.lora.is_quantized:
            raise ValueError(
                f"parallel {self.parallel} takes no weights in 4 bit; use parallel ddp, or leave out lora.is_quantized"
            )
        return self

    def in_vain(self) -> str:
        """See `Section`."""
        if self.parallel != "ddp" and self.processes == 1 and self.accelerate_config is None:
            return f"parallel {self.parallel} shares the model out among several processes; give processes 2 or more"
        return ""


class TrainConfig(OptimizeConfig):
    """How the policy is trained."""

    method: PairwiseMethod = Field(
        "dpo",
        description="`dpo`, `ipo`: against the start model as reference; `orpo`, `asft` (aligned SFT): without one; "
        "`sft`: on the chosen responses alone.",
    )
    beta: float | None = Field(
        None, gt=0, description="β of the method. Empty: its paper's, 0.1; `ipo`: 2, a margin of 0.25 nats a token."
    )
    learning_rate: float | None = Field(None, gt=0, description="Peak. Empty: its paper's, for full training.")
    strength: Added[StrengthUse] = Field(
        "ignored",
        description="How strongly people prefer a response: `weight`: the example's weight, 1 on average; `margin`: "
        "what the chosen reward is to lie above the other (`dpo` alone; clearly: 1).",
    )

    @model_validator(mode="after")
    def _a_margin_needs_a_loss_with_one(self) -> Self:
        if self.strength == "margin" and self.method not in METHODS_WITH_MARGIN:
            raise ValueError(
                f"train.strength margin is for {', '.join(METHODS_WITH_MARGIN)}, the loss of {self.method} has none; "
                "give --train.strength weight, or leave it out"
            )
        return self

    def settled(self) -> Self:
        """The settings with IPO's β where none is named: its default has changed once, and a run keeps its own."""
        if self.method != "ipo" or self.beta is not None:
            return self
        return self.model_copy(update={"beta": METHOD_DEFAULTS["ipo"].beta})


class SftConfig(Section):
    """Supervised fine-tuning on the chosen responses first, as REAL does; its result is the reference."""

    epochs: float = Field(1.0, ge=0, description="Passes over the chosen responses (0: none, the model as it is).")
    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate.")


class GateConfig(Section):
    """Whether a policy that beats the one in use takes its place."""

    promote: bool = Field(
        False,
        description="Promote the policy if the 95 % interval of its win rate against the policy in use (before the "
        "first: the start model) lies above one half.",
    )


class AlignmentSection(RunConfig, ABC):
    """What every alignment has."""

    name: Name = Field("alignment", description="Name of the run, for you (1 to 200 characters).")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of every random choice in the run (0 or more).")
    data: DataConfig = Field(DataConfig(), description="Which preferences.")
    model: ModelConfig = Field(ModelConfig(), description="The model to align.")
    sft: SftConfig = Field(SftConfig(), description="Supervised fine-tuning first.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="What the policy is measured by.")
    gate: GateConfig = Field(GateConfig(), description="What becomes of it.")

    @property
    @abstractmethod
    def optimize(self) -> OptimizeConfig:
        """How weights are trained, whatever is trained."""

    @model_validator(mode="after")
    def _a_gate_needs_a_measurement(self) -> Self:
        if self.gate.promote and self.evaluate.annotator in {"none", "people"}:
            raise ValueError(
                "gate.promote needs a win rate, and evaluate.annotator is "
                f"{self.evaluate.annotator}; name a judge, a reward model or the rubric, or promote by hand: "
                "antipode promote"
            )
        return self


class AlignConfig(AlignmentSection):
    """One alignment: preferences → SFT → policy, measured, gated."""

    key_prefix: ClassVar = ("AlignConfig",)
    train: TrainConfig = Field(TrainConfig(), description="How the policy is trained.")

    @property
    def optimize(self) -> TrainConfig:
        """How the policy is trained."""
        return self.train

    def stored_keys(self, *data: object) -> tuple[str, ...]:
        """The keys, and those under which a run of IPO was stored that named no β and has this one."""
        keys = super().stored_keys(*data)
        if self.train.method == "ipo" and self.train.beta == IPO_BETA_BEFORE:
            unnamed = self.model_copy(update={"train": self.train.model_copy(update={"beta": None})})
            keys += super(AlignConfig, unnamed).stored_keys(*data)
        return keys
