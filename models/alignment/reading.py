"""What a model's tokenizer makes of examples, told by a process that has its library. Knows no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from models.alignment.records import Example
from models.alignment.tokens import template_key, tokenize_examples
from models.processes.isolation import IsolatedProcess, StartsBackend
from models.prompting import load_tokenizer


class ExampleReader:
    """Reads examples as a training of a model does."""

    def __init__(self, model: str, *, revision: str | None) -> None:
        """Load the model's tokenizer.

        Args:
            model: a hub name or a folder made by `save_pretrained`.
            revision: the hub revision, None for the newest.

        Raises:
            ModelLoadError: There is no tokenizer, or its files cannot be read.
        """
        self._tokenizer = load_tokenizer(model, revision=revision)

    def template_key(self) -> str:
        """As `models.alignment.tokens.template_key`."""
        return template_key(self._tokenizer)

    def fitting(self, examples: Sequence[Example], max_length: int) -> list[int]:
        """The positions of the examples that a training takes, in order; errors as of `tokenize_examples`."""
        return sorted(tokenize_examples(self._tokenizer, examples, max_length=max_length)[0])


class IsolatedExampleReader:
    """An `ExampleReader` in another process: a tokenizer's library imports all of torch, 5 s of CPU."""

    def __init__(
        self, model: str, *, revision: str | None, log_path: Path | None, start: StartsBackend = IsolatedProcess
    ) -> None:
        """Load the tokenizer there.

        Args:
            model: a hub name or a folder made by `save_pretrained`.
            revision: the hub revision, None for the newest.
            log_path: where the process's output is appended; None keeps it for error messages only.
            start: what starts it: a process of its own, or `SharedProcess.start`.

        Raises:
            ModelLoadError: There is no tokenizer, or its files cannot be read.
            ProcessDiedError: The process ended before.
        """
        arguments = {"model": model, "revision": revision}
        self._process = start(ExampleReader, arguments, log_path=log_path, timeout_s=None)

    def template_key(self) -> str:
        """As `ExampleReader.template_key`; ProcessDiedError if the process died or was closed."""
        return cast("str", self._process.call("template_key"))

    def fitting(self, examples: Sequence[Example], max_length: int) -> list[int]:
        """As `ExampleReader.fitting`; ProcessDiedError if the process died or was closed."""
        return cast("list[int]", self._process.call("fitting", list(examples), max_length))

    def close(self) -> None:
        """End the process, or give the reader up in a shared one. Safe to call twice."""
        self._process.close()
