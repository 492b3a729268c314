"""What actors raise, as the caller of a pool sees it. Imports no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from models.errors import PromptsRefusedError, PromptTooLongError


def cause(error: Any) -> Exception:
    """What the backend raised, with its type."""
    return error.cause if isinstance(error.cause, Exception) else cast(Exception, error)


def moved(error: Exception, by: int) -> Exception:
    """What a piece's backend raised, with the positions that it names counted from the call's first item."""
    if isinstance(error, PromptTooLongError):
        return PromptTooLongError(str(error), tuple(by + position for position in error.positions))
    if isinstance(error, PromptsRefusedError):
        return PromptsRefusedError(str(error), {by + position: reason for position, reason in error.reasons.items()})
    return error


def merged(failures: Sequence[Exception]) -> Exception:
    """One exception of all the pieces': positions together where all of them name positions."""
    first = failures[0]
    if all(isinstance(error, PromptTooLongError) for error in failures):
        positions = [position for error in failures for position in cast(PromptTooLongError, error).positions]
        return PromptTooLongError(str(first), tuple(sorted(positions)))
    if all(isinstance(error, PromptsRefusedError) for error in failures):
        reasons = {at: why for error in failures for at, why in cast(PromptsRefusedError, error).reasons.items()}
        return PromptsRefusedError(str(first), reasons)
    return first


def one_line(error: Exception) -> str:
    """Its text in a line."""
    return " ".join(str(error).split())
