"""Errors that end a judge's call early, with the opinions so far for the caller to store."""

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
