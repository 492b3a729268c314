"""DeepSpeed's ZeRO: what it is told, so that a step stays the one-process step. Imported only where it is asked for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from models.alignment.records import Parallel, TrainingSettings

_STAGES: dict[Parallel, int] = {"zero2": 2, "zero3": 3}


def is_zero(parallel: Parallel) -> bool:
    """Whether it is DeepSpeed that shares a training out."""
    return parallel in _STAGES


def check_installed(parallel: Parallel) -> None:
    """Refuse a way of sharing whose package is missing.

    Raises:
        ValueError: DeepSpeed is asked for and not installed.
    """
    if is_zero(parallel) and find_spec("deepspeed") is None:
        raise ValueError(
            f"parallel {parallel} needs DeepSpeed, which is not installed: pip install -e '.[deepspeed]', or use "
            "parallel fsdp"
        )


def zero_settings(parallel: Parallel, settings: TrainingSettings) -> dict[str, Any] | None:
    """DeepSpeed's configuration of a kind of sharing, None of one that is not its own.

    Weights stay in float32 and the forward pass is under autocast, as everywhere: DeepSpeed's own bfloat16 would train
    bfloat16 weights, and transformers would round the examples' weights and reference log-probabilities to it.
    """
    if parallel not in _STAGES:
        return None
    return {
        "zero_optimization": {"stage": _STAGES[parallel], "stage3_gather_16bit_weights_on_model_save": True},
        "torch_autocast": {
            "enabled": settings.dtype == "bfloat16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],  # else their weights and gradients would be exchanged in bfloat16
        },
        "zero_allow_untested_optimizer": True,  # transformers makes the optimizer, as everywhere
    } | dict.fromkeys(
        ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
        "auto",
    )


def deepspeed_plugin(configuration: dict[str, Any]) -> Any:
    """What accelerate takes a configuration as."""
    import deepspeed
    import torch
    from accelerate import DeepSpeedPlugin

    if not torch.cuda.is_available():
        # It would compile its sums through shared memory, 80 CPU seconds the first time; gloo has its own.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return DeepSpeedPlugin(hf_ds_config=configuration, zero3_init_flag=False)
