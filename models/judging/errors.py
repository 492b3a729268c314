"""Errors that end a judge's call early, with the opinions so far for the caller to store, or a single question."""

from __future__ import annotations

from models.labelling.records import Opinion


class BudgetExhaustedError(RuntimeError):
    """The budget allows no further request.

    Attributes:
        opinions: One a pair, in the order given; None where there is none yet. Ask again for those.
    """

    def __init__(self, message: str, opinions: tuple[Opinion | None, ...]) -> None:
        self.opinions = opinions
        super().__init__(message, opinions)

    def __str__(self) -> str:
        return str(self.args[0])


class JudgeServerError(RuntimeError):
    """The server left questions without a reply, after the retries.

    Attributes:
        opinions: One a pair, in the order given; None where there is none yet. Ask again for those.
        is_temporary: Whether asking again later may help.
    """

    def __init__(self, message: str, opinions: tuple[Opinion | None, ...], is_temporary: bool) -> None:
        self.opinions = opinions
        self.is_temporary = is_temporary
        super().__init__(message, opinions, is_temporary)

    def __str__(self) -> str:
        return str(self.args[0])


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
