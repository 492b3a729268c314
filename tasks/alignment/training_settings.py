"""The settings of a training as the trainer takes them, and the number format of what is measured with it."""

from __future__ import annotations

from typing import Literal

from models.alignment.records import (
    Method,
    TrainingSettings,
)
from tasks.config.alignment import AlignmentSection, OptimizeConfig
from tasks.config.curation import GenerateConfig


def training_settings(
    config: AlignmentSection, optimize: OptimizeConfig, method: Method, *, beta: float, learning_rate: float
) -> TrainingSettings:
    """The settings as the trainer takes them."""
    names = {
        "epochs", "batch_size", "examples_per_device", "max_length", "optimizer", "schedule", "warmup_share",
        "weight_decay", "max_grad_norm", "gradient_checkpointing", "evaluate_every", "save_every",
    }  # fmt: skip
    return TrainingSettings(
        method=method,
        beta=beta,
        reward_beta=config.evaluate.reward_beta,
        learning_rate=learning_rate,
        dtype=settled_dtype(optimize),
        lora=optimize.lora.settings(),
        seed=config.seed,
        **{name: getattr(optimize, name) for name in names},
    )


def own_distribution(generate: GenerateConfig) -> GenerateConfig:
    """The same sampling from a model's own distribution, as an estimate of KL needs it."""
    return generate.model_copy(update={"temperature": 1.0, "top_p": 1.0})


def reference_dtype(optimize: OptimizeConfig) -> str:
    """The number format of log-probabilities, the same as in training: else a policy would differ from its reference.

    Weights that are trained are float32 under autocast; weights frozen behind adapters are bfloat16.
    """
    if settled_dtype(optimize) == "float32":
        return "float32"
    return "bfloat16" if optimize.lora.rank else "autocast"


def settled_dtype(optimize: OptimizeConfig) -> Literal["float32", "bfloat16"]:
    """The number format of the computation, as the run's row says."""
    assert optimize.dtype != "auto"  # settled where the configuration is loaded
    return optimize.dtype
