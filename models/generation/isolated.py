"""Any generator in a process of its own: vLLM's alone, others' perhaps shared with the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models.generation import Generator
from models.processes.isolation import IsolatedProcess, StartsBackend
from models.records import GeneratedResponse, GenerationRequest


class IsolatedGenerator:
    """Forwards to a generator that lives in a process of its own until `close`."""

    def __init__(
        self,
        build: Callable[..., Generator],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
        start: StartsBackend = IsolatedProcess,
    ) -> None:
        """Start the process and load the model there.

        Args:
            build: The backend, such as `VllmGenerator`.
            arguments: The backend's arguments by name.
            log_path: Where the engine's own output is appended; None keeps it only for error messages.
            timeout_s: Limit for loading the model and for each `generate`, in seconds; None waits for ever.
            start: What starts it: a process of its own, or `SharedProcess.start`.

        Raises:
            ModelLoadError: The backend could not load the model.
            ProcessDiedError: The process ended before the model was there.
            TimeoutError: Loading took longer than `timeout_s`.
        """
        self._process = start(build, arguments, log_path=log_path, timeout_s=timeout_s)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Sample in the other process.

        Raises:
            ProcessDiedError: The engine died; a new generator may go on from what is stored.
            TimeoutError: No answer within `timeout_s`.
            PromptTooLongError: A prompt does not fit the model's context.
        """
        return cast(list[list[GeneratedResponse]], self._process.call("generate", list(requests)))

    def close(self) -> None:
        """End the process."""
        self._process.close()
