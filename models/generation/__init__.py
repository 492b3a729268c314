"""Generators: prompts in, sampled responses out. One protocol, one file a backend; no database, no configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from models.errors import PromptsRefusedError, PromptTooLongError
from models.records import GeneratedResponse, GenerationRequest


class Sample(NamedTuple):
    """One response, and what it answers: the positions of its request and of the seed within that."""

    request: int
    seed: int
    response: GeneratedResponse


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes what a generator makes, as it comes; one call at a time, from any thread. Both may block.

    Attributes:
        keep: Takes samples.
        leave_out: Takes the position of a request whose prompt cannot be sampled for, and why: None if it is too long.
            Samples of it may come before and after.
    """

    keep: Callable[[Sequence[Sample]], None]
    leave_out: Callable[[int, str | None], None]


class Generator(Protocol):
    """Samples responses. A backend holds its model until `close`."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Sample one response per seed of each request, in the order given.

        The noise of a sample depends on its seed alone, never on what else is in the batch; floating-point rounding may
        still differ from batch to batch, as it does in every engine.

        `token_count` counts every sampled token, the end token and those of a stop string included. Prompts that leave
        no room for `max_tokens` raise PromptTooLongError with their positions before anything is sampled, those that
        the chat template refuses PromptsRefusedError.
        """
        ...

    def close(self) -> None:
        """Give the model's memory back. Safe to call twice."""
        ...


@runtime_checkable
class StreamingGenerator(Protocol):
    """Samples responses that come one by one, each of which is paid for."""

    def stream(self, requests: Sequence[GenerationRequest], receiver: Receiver) -> None:
        """Sample one response per seed of each request, and hand each over at once, in any order."""
        ...

    def close(self) -> None:
        """Give back what is held. Safe to call twice."""
        ...


def stream(
    generator: Generator | StreamingGenerator, requests: Sequence[GenerationRequest], receiver: Receiver
) -> None:
    """Sample with either kind; what is made at once comes at once, and nothing of it if a prompt is too long."""
    if isinstance(generator, StreamingGenerator):
        generator.stream(requests, receiver)
        return
    try:
        rows = generator.generate(requests)
    except PromptTooLongError as error:
        for position in error.positions:
            receiver.leave_out(position, None)
        return
    except PromptsRefusedError as error:
        for position, reason in error.reasons.items():
            receiver.leave_out(position, reason)
        return
    receiver.keep([Sample(at, seed, response) for at, row in enumerate(rows) for seed, response in enumerate(row)])
