"""A reasoning model's text as thought and answer, parted by the marks that models write around their thoughts."""

from __future__ import annotations

from dataclasses import dataclass

MARKS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen 3, SmolLM 3
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral
)


@dataclass(frozen=True, slots=True)
class Parted:
    """A text in two parts.

    Attributes:
        thought: What stands between the marks, without blanks around it; None where the text has no thought.
        answer: What follows, without blanks before it; empty where the thought does not end.
        is_finished: Whether the thought ends, or there is none.
    """

    thought: str | None
    answer: str
    is_finished: bool


def parted(text: str, *, opened_by: str | None = None) -> Parted:
    """Part a text that begins with a thought; any other text is an answer as it is.

    Args:
        text: What a model wrote, or a source brought.
        opened_by: The mark with which the prompt already ended, where a chat template opens the thought: the text then
            begins within it.
    """
    begun = text.lstrip()
    for opening, closing in MARKS:
        if begun.startswith(opening):
            return _closed(begun.removeprefix(opening), closing)
        if opened_by == opening:
            return _closed(text, closing)
    return Parted(None, text, is_finished=True)


def may_hold_thought(text: str) -> bool:
    """Whether a text has a character that marks begin with; most have none, and are answers as they are."""
    return "<" in text or "[" in text


def brought(text: str) -> Parted:
    """Part a text that a source brought: as `parted`, and where its chat template had opened the thought.

    That is so where nothing opens one, and one is closed just once, at the end of a line.
    """
    parts = parted(text)
    if parts.thought is not None:
        return parts
    for opening, closing in MARKS:
        if opening not in text and text.count(closing) == 1 and text.partition(closing)[2].startswith("\n"):
            return parted(text, opened_by=opening)
    return parts


def opened_mark(text: str) -> str | None:
    """The mark with which a text ends: a chat template's, where it opens the thought of the turn to come."""
    end = text.rstrip()
    return next((opening for opening, _ in MARKS if end.endswith(opening)), None)


def template_marks(template: str | None) -> tuple[str, str]:
    """The marks that a chat template knows thoughts by; the first ones where it knows none."""
    return next((marks for marks in MARKS if template is not None and marks[1] in template), MARKS[0])


def composed(thought: str | None, answer: str, *, marks: tuple[str, str] = MARKS[0]) -> str:
    """Thought and answer as a model writes them; without a thought the answer alone.

    The lines between are those of DeepSeek-R1, Qwen 3 and SmolLM 3.
    """
    if thought is None:
        return answer
    return f"{marks[0]}\n{continued(thought, answer, marks=marks)}"


def continued(thought: str | None, answer: str, *, marks: tuple[str, str] = MARKS[0]) -> str:
    """Thought and answer behind an opening that is there already; without a thought it is closed at once.

    A thought without an answer did not end, and nothing follows it.
    """
    if thought and not answer:
        return thought
    return f"{thought}\n{marks[1]}\n\n{answer}" if thought else f"\n{marks[1]}\n\n{answer}"


def _closed(text: str, closing: str) -> Parted:
    thought, found, answer = text.partition(closing)
    return Parted(thought.strip(), answer.lstrip() if found else "", is_finished=bool(found))
