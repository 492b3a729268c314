"""Errors that leave a question without a reply."""

from __future__ import annotations


class OutOfBudgetError(Exception):
    """The budget does not allow the next request of a question."""


class ChatError(Exception):
    """A question got no reply.

    Attributes:
        is_temporary: Whether the same question may get one later.
        is_hopeless: Whether every other question would fail in the same way (key, model's name).
        is_refused: Whether the server refuses this question, and may well answer others (length, content policy).
        is_too_long: Whether it is refused because it is too long.
        pause_s: The pause the server asks for, in seconds; None if it asks for none.
        requests: Requests sent for it.
        cost: What they cost, or may have cost where the reply was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        is_temporary: bool,
        is_hopeless: bool = False,
        is_refused: bool = False,
        is_too_long: bool = False,
        pause_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary
        self.is_hopeless = is_hopeless
        self.is_refused = is_refused
        self.is_too_long = is_too_long
        self.pause_s = pause_s
        self.requests = 1
        self.cost = 0.0
