"""The words of the demo world: subjects, the aspects one can ask about, and the facts. Holds types, no text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aspect:
    """Something one can ask about every subject of a category.

    All templates may use `{subject}`; statements also use `{value}`. A statement is one sentence: `.`, `!` and `?`
    stand only at its end.

    Attributes:
        topic: a noun phrase for it, in the singular ("the watering of your fern").
        questions: ways to ask.
        statements: ways to state a fact.
        details: sentences that make a statement of fact more useful.
    """

    topic: str
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Category:
    """Subjects of one sort. `values[subject][i]` is the true value of `aspects[i]`."""

    aspects: tuple[Aspect, ...]
    values: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Fact:
    """What holds for one aspect of one subject, and what could be claimed wrongly instead."""

    subject: str
    aspect: Aspect
    value: str
    wrong_values: tuple[str, ...]


def facts_of(category: Category) -> list[Fact]:
    """Every fact of a category, subject by subject. The wrong values are those that hold for other subjects."""
    facts = []
    for subject, values in category.values.items():
        for position, (aspect, value) in enumerate(zip(category.aspects, values, strict=True)):
            all_values = dict.fromkeys(others[position] for others in category.values.values())
            facts.append(Fact(subject, aspect, value, tuple(other for other in all_values if other != value)))
    return facts
