"""How models are loaded: weights as plain data (safetensors), and never with Python code that comes with a model."""

from __future__ import annotations

from typing import Any

from models.records import shortened

NO_CODE: dict[str, Any] = {"trust_remote_code": False}  # else transformers asks at the terminal, and may be told yes
PLAIN_WEIGHTS: dict[str, Any] = {"use_safetensors": True, **NO_CODE}

LONGEST_REASON = 300
_REASONS = {
    # transformers would advise to switch off what protects here.
    "model.safetensors": "its weights are in no safetensors file, and other kinds may run code when they are read; "
    "where you trust it, load it with transformers, save it by save_pretrained, and name that folder",
    "trust_remote_code": "it needs Python code of its own, which is never run; take a model that transformers knows",
}


def why_not_loaded(error: Exception) -> str:
    """What the library says in a few words, or what to do where its own advice would be unsafe."""
    said = str(error)
    known = (reason for word, reason in _REASONS.items() if word in said)
    return next(known, shortened(f"{type(error).__name__}: {said}", LONGEST_REASON))
