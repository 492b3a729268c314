"""Failures that more than one kind of backend shares."""

from __future__ import annotations

from collections.abc import Mapping


def is_interrupt(error: BaseException | None) -> bool:
    """Whether it is Ctrl-C, or what was raised on the way out from one: by Prefect, say, or for want of a database."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or is_interrupt(error.__context__))


class ModelLoadError(RuntimeError):
    """A model or its tokenizer could not be loaded: wrong name, missing folder, no memory, unknown architecture."""

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        super().__init__(
            f"model {model!r} could not be loaded: {reason.rstrip('. ')}; check the name or the folder "
            "(a folder holds config.json, the weights and the tokenizer's files), its revision and the free memory"
        )

    def __reduce__(self) -> tuple[type[ModelLoadError], tuple[str, str]]:
        return type(self), (self.model, self.reason)


class PromptTooLongError(ValueError):
    """Prompts that, together with the response's `max_tokens`, do not fit the model's context. Nothing was sampled.

    Attributes:
        positions: Positions of all such requests in the list given; leave them out and call again.
    """

    def __init__(self, message: str, positions: tuple[int, ...]) -> None:
        self.positions = positions
        super().__init__(message, positions)

    def __str__(self) -> str:
        return str(self.args[0])


class PromptsRefusedError(ValueError):
    """Prompts that the model's chat template refuses. Nothing was sampled.

    Attributes:
        reasons: Why, by the positions of all such requests in the list given; leave them out and call again.
    """

    def __init__(self, message: str, reasons: Mapping[int, str]) -> None:
        self.reasons = reasons
        super().__init__(message, reasons)

    def __str__(self) -> str:
        return str(self.args[0])


class ProcessDiedError(RuntimeError):
    """The process ended before it answered: killed, out of memory, or crashed inside native code.

    Attributes:
        exit_code: As in `subprocess`: a negative number is the signal that ended the process.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message, exit_code)

    def __str__(self) -> str:
        return str(self.args[0])
