"""What a batch is, and what remembers it, wherever the process is killed. Knows no server and no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

BatchState = Literal["planned", "creating", "created", "taken"]


@dataclass(frozen=True, slots=True)
class Service:
    """Who works on batches, and for what: "judge" or "generate"."""

    purpose: str
    base_url: str
    model: str


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One question of a batch.

    Attributes:
        key: Its `custom_id`, at most 64 characters.
        body: The request, as it would be sent alone.
        most_cost: The most it can cost.
    """

    key: str
    body: Mapping[str, Any]
    most_cost: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions in one file.

    Attributes:
        key: Its name in the ledger and, as metadata, on the server.
        questions: The keys of its lines.
        most_cost: What is set aside for it.
        state: `planned`; `creating`: the server may have it; `created`: it has; `taken`: its results are stored.
        server_id: The server's name for it, once known.
    """

    key: str
    questions: tuple[str, ...]
    most_cost: float
    state: BatchState
    server_id: str | None = None


class BatchLedger(Protocol):
    """Remembers batches. Each call is one transaction; it may block."""

    def under_way(self) -> Sequence[Batch]:
        """The batches whose results are not stored yet."""

    def plan(self, batch: Batch, requests: int, cost: float) -> None:
        """Remember a new batch, and count its requests and the most it can cost as spent."""

    def change(self, batch: Batch) -> None:
        """Remember how far a batch is."""

    def close(self, batch: Batch, requests: int, cost: float) -> None:
        """Remember that the results are stored, and add the differences to what was counted as spent."""
