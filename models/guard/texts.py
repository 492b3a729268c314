"""What the rules on texts find in a response: whether it is empty, repeats itself, is in another language."""

from __future__ import annotations

from models.guard.languages import LanguageReader
from models.guard.records import Finding
from models.guard.repetition import repeated_share
from models.records import Prompt


def text_findings(prompt: Prompt, text: str, reader: LanguageReader, *, has_vector: bool = True) -> list[Finding]:
    """The rules on texts that hold for a response, with their values.

    A text that is white space alone, or of which an embedder made no vector, is empty, and nothing else is said of it.
    """
    if not text.strip() or not has_vector:
        return [Finding("empty", float(len(text)))]
    share, strangeness = repeated_share(text), reader.strangeness(prompt, text)
    found = [Finding("repetitive", share)] if share is not None else []
    return [*found, Finding("language", strangeness)] if strangeness is not None else found
