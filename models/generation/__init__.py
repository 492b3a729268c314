"""Generators: prompts in, sampled responses out. One protocol, one file a backend; no database, no configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.records import GeneratedResponse, GenerationRequest


class Generator(Protocol):
    """Samples responses. A backend holds its model until `close`."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Sample one response per seed of each request, in the order given.

        The noise of a sample depends on its seed alone, never on what else is in the batch; floating-point rounding may
        still differ from batch to batch, as it does in every engine.

        `token_count` counts every sampled token, the end token and those of a stop string included. Prompts that leave
        no room for `max_tokens` raise PromptTooLongError with their positions before anything is sampled; only a
        server's generator finds out while it samples.
        """
        ...

    def close(self) -> None:
        """Give the model's memory back. Safe to call twice."""
        ...
