"""Tiny random reward models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.fingerprint import model_fingerprint
from models.labelling.reward_model import RewardModelLabeller


def make_reward_model(demo_model: Path, folder: Path, *, label_count: int = 1, **config: Any) -> str:
    """Save a classifier on the demo model's trunk: a head of fixed random numbers, scores some units apart."""
    import torch
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    torch.manual_seed(1)
    network = LlamaForSequenceClassification.from_pretrained(demo_model, num_labels=label_count)
    with torch.no_grad():
        network.score.weight.mul_(10)
    for name, value in config.items():
        setattr(network.config, name, value)
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(demo_model).save_pretrained(folder)
    return str(folder)


def arguments_of(model: str, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": model,
        "revision": None,
        "fingerprint": model_fingerprint(model, None),
        "dtype": "float32",
        "device": "cpu",
        "max_tokens": 500,
        "tokens_per_batch": 1024,
        "tie_margin": 0.0,
    }
    return arguments | changes


def make_labeller(model: str, **changes: Any) -> RewardModelLabeller:
    return RewardModelLabeller(**arguments_of(model, **changes))
