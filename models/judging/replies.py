"""Where a judge's replies are kept, so that the same question is paid for once. Knows no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply and what it took: all HTTP requests sent for it (retries too), tokens of the reply that came, money.

    `is_cut`: whether it was cut at the limit of its tokens, or ends within a thought.
    """

    text: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float
    is_cut: bool = False


class ReplyStore(Protocol):
    """Keeps replies by the content of their question. Called by one thread at a time, not always the same one.

    It may block: replies under way do not time out meanwhile. If it raises, the call ends once they are in.
    """

    def get(self, keys: Sequence[str]) -> Mapping[str, StoredReply]:
        """The stored replies among these keys."""

    def put(self, key: str, reply: StoredReply) -> None:
        """Keep a reply that has just come in."""


class MemoryReplies:
    """A reply store that ends with the process."""

    def __init__(self) -> None:
        self._replies: dict[str, StoredReply] = {}

    def get(self, keys: Sequence[str]) -> dict[str, StoredReply]:
        """The stored replies among these keys."""
        return {key: self._replies[key] for key in keys if key in self._replies}

    def put(self, key: str, reply: StoredReply) -> None:
        """Keep a reply."""
        self._replies[key] = reply
