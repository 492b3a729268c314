"""The reader: parses a response by the grammar that wrote it and scores it. The demo's ground truth lives here."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from models.demo.grammar import OPENINGS, Qualities, all_facts, statements, tails, vague_statements
from models.demo.world import Fact

# The scores add up to 10. Being on topic counts most, a wrong fact is worse than saying nothing in particular.
ON_TOPIC = 4.0
NO_WRONG_FACT = 2.0
SPECIFIC = 1.5
COMPLETE = 1.5
POLITE = 1.0

_SENTENCE_END = re.compile(r"(?<=[.!?]) ")


class _Core(NamedTuple):
    """What a core sentence says."""

    fact: Fact
    is_specific: bool
    has_wrong_fact: bool


def parse_response(prompt_text: str, response_text: str) -> Qualities | None:
    """The qualities of a response to a prompt of the demo world.

    Spaces around the response are ignored; everything else must be as the grammar writes it. Text that breaks off
    before the word after its core sentence says too little to be judged and gives None, like any other text.

    Raises:
        ValueError: the prompt is none of the demo world.
    """
    asked_fact = fact_asked(prompt_text)
    sentences = _SENTENCE_END.split(response_text.strip(), maxsplit=2)
    if len(sentences) < 3:
        return None
    opening, core_text, tail_text = sentences
    core = _cores().get(core_text)
    is_polite = _tones().get(opening)
    if core is None or is_polite is None:
        return None
    possible = tails(core.fact, is_specific=core.is_specific, is_polite=is_polite)
    is_complete = tail_text in possible
    if not is_complete and not any(tail.startswith(f"{tail_text} ") for tail in possible):
        return None
    return Qualities(
        is_on_topic=core.fact == asked_fact,
        is_complete=is_complete,
        is_specific=core.is_specific,
        is_polite=is_polite,
        has_wrong_fact=core.has_wrong_fact,
    )


def utility(prompt_text: str, response_text: str) -> float:
    """How good a response is, from 0 (not English of the grammar) to 10 (nothing is wrong with it).

    The sum of 4 for being on topic, 2 for no wrong fact, 1.5 for being specific, 1.5 for being complete and 1 for being
    polite. The worst text that parses has 1.5.

    Raises:
        ValueError: the prompt is none of the demo world.
    """
    qualities = parse_response(prompt_text, response_text)
    if qualities is None:
        return 0.0
    return (
        ON_TOPIC * qualities.is_on_topic
        + NO_WRONG_FACT * (not qualities.has_wrong_fact)
        + SPECIFIC * qualities.is_specific
        + COMPLETE * qualities.is_complete
        + POLITE * qualities.is_polite
    )


def fact_asked(prompt_text: str) -> Fact:
    """The fact a prompt asks for.

    Raises:
        ValueError: the prompt is none of the demo world.
    """
    fact = _questions().get(prompt_text)
    if fact is None:
        raise ValueError(f"expected a prompt of the demo world, got {prompt_text!r}; take one of demo_prompts()")
    return fact


@cache
def _questions() -> dict[str, Fact]:
    return {template.format(subject=fact.subject): fact for fact in all_facts() for template in fact.aspect.questions}


@cache
def _tones() -> dict[str, bool]:
    return {opening: is_polite for is_polite, openings in OPENINGS.items() for opening in openings}


@cache
def _cores() -> dict[str, _Core]:
    cores: dict[str, _Core] = {}
    for fact in all_facts():
        cores.update({text: _Core(fact, is_specific=False, has_wrong_fact=False) for text in vague_statements(fact)})
        for value in (fact.value, *fact.wrong_values):
            core = _Core(fact, is_specific=True, has_wrong_fact=value != fact.value)
            cores.update(dict.fromkeys(statements(fact, value), core))
    return cores
