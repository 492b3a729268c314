"""Any embedder in a process of its own, so that ending it gives its whole memory back. Knows no particular backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models.embedding import Context, Embedder, EmbeddingRequest, Embeddings
from models.processes.isolation import IsolatedProcess, StartsBackend


class IsolatedEmbedder:
    """An embedder that lives in a process of its own and answers as if it were here."""

    def __init__(
        self,
        build: Callable[..., Embedder],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
        start: StartsBackend = IsolatedProcess,
    ) -> None:
        """Start the process and build the embedder in it.

        Args:
            build: an embedder's class, or a function that an `import` finds and that returns an embedder.
            arguments: keyword arguments of `build`.
            log_path: where the process's output is appended; None keeps it for error messages only.
            timeout_s: limit for the start and for each call to `embed`, in seconds; None waits for ever.
            start: what starts it: a process of its own, or `SharedProcess.start`.

        Raises:
            ProcessDiedError: if the process ends while the embedder is built.
            TimeoutError: if that takes longer than `timeout_s`.
            Exception: what `build` raised, ModelLoadError for a model that does not load.
        """
        self._process = start(build, arguments, log_path=log_path, timeout_s=timeout_s)

    def embed(self, requests: Sequence[EmbeddingRequest], context: Context | None = None) -> Embeddings:
        """Embed every response, in the order given; only a `HiddenStateEmbedder` takes a context for one call.

        Raises:
            ProcessDiedError: if the process is dead, closed, or dies on the way.
            TimeoutError: if there is no answer in time; the process is ended.
            Exception: what the embedder raised; it lives on.
        """
        return cast("Embeddings", self._process.call("embed", list(requests), *([context] if context else [])))

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._process.close()
