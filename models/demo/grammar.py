"""The writer: turns a fact and wanted qualities into a short English response. Knows no prompt and no model.

A response has four sentences: opening, core, detail, closing. The opening and the closing carry the tone, the core says
what it is about and states a fact (or stays vague), the detail adds something useful (or filler). A response that was
cut short lacks at least the last word, and has at least one word after the core.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from models.demo.world import Fact, facts_of
from models.demo.world_culture import COUNTRIES, INSTRUMENTS
from models.demo.world_home import COOKING, TOOLS
from models.demo.world_nature import ANIMALS, PLANTS

OPENINGS: dict[bool, tuple[str, ...]] = {
    True: (
        "Thank you for asking!",
        "That is a good question.",
        "I am happy to help with this.",
        "What a lovely thing to ask!",
        "Of course, let me explain.",
        "Glad that you asked!",
    ),
    False: (
        "Seriously, you do not know that?",
        "Not this silly question again.",
        "Even a child could tell you this.",
        "You could have looked that up yourself.",
        "What a waste of my time.",
        "Try to think before you ask!",
    ),
}
CLOSINGS: dict[bool, tuple[str, ...]] = {
    True: (
        "Please ask again whenever you like.",
        "I hope this helps, and good luck!",
        "Have a wonderful day.",
        "Do let me know how it goes.",
        "You will do very well, I am sure.",
        "It was a pleasure to help you.",
    ),
    False: (
        "Now go away and leave me alone.",
        "Even you should manage that.",
        "Do not bother me again.",
        "I doubt that you will get it right.",
        "Next time ask somebody with more patience.",
        "There, was that so hard?",
    ),
}
VAGUE_STATEMENTS = (
    "It all depends, because {topic} is different every time.",
    "There are many opinions about {topic}.",
    "Nobody can really say much about {topic}.",
    "One hears this and that about {topic}.",
    "As for {topic}, it is hard to give a rule.",
)
VAGUE_DETAILS = (
    "Some people do it one way and some do it another way.",
    "You will surely find something that works somehow.",
    "In the end it is a matter of taste and of luck.",
    "There are books about such things, or so they say.",
    "Just see what happens and then go on from there.",
)


@dataclass(frozen=True, slots=True)
class Qualities:
    """What people care about in a response. A vague response (`is_specific` false) states no fact, so none is wrong."""

    is_on_topic: bool
    is_complete: bool
    is_specific: bool
    is_polite: bool
    has_wrong_fact: bool

    def __post_init__(self) -> None:
        """Refuse the one combination that cannot be written."""
        if self.has_wrong_fact and not self.is_specific:
            raise ValueError("a vague response states no fact; set is_specific=True or has_wrong_fact=False")


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every fact of the demo world, in a fixed order."""
    categories = (PLANTS, ANIMALS, COOKING, TOOLS, INSTRUMENTS, COUNTRIES)
    return tuple(fact for category in categories for fact in facts_of(category))


def write_response(fact: Fact, qualities: Qualities, *, seed: int) -> str:
    """Write one response to a question about `fact`; the seed picks topic (if off), wording and where to cut."""
    draw = random.Random(seed)
    if not qualities.is_on_topic:
        fact = draw.choice([other for other in all_facts() if other != fact])
    value = draw.choice(fact.wrong_values) if qualities.has_wrong_fact else fact.value
    opening = draw.choice(OPENINGS[qualities.is_polite])
    core = draw.choice(statements(fact, value) if qualities.is_specific else vague_statements(fact))
    tail = draw.choice(tails(fact, is_specific=qualities.is_specific, is_polite=qualities.is_polite))
    if not qualities.is_complete:
        words = tail.split(" ")
        tail = " ".join(words[: draw.randrange(1, len(words))])
    return f"{opening} {core} {tail}"


def statements(fact: Fact, value: str) -> list[str]:
    """The ways to claim that `value` holds for the fact's subject and aspect."""
    return [template.format(subject=fact.subject, value=value) for template in fact.aspect.statements]


def vague_statements(fact: Fact) -> list[str]:
    """The ways to mention the fact's topic and say nothing about it."""
    topic = fact.aspect.topic.format(subject=fact.subject)
    return [template.format(topic=topic) for template in VAGUE_STATEMENTS]


def tails(fact: Fact, *, is_specific: bool, is_polite: bool) -> list[str]:
    """Every way to go on after the core: a detail and a closing."""
    templates = fact.aspect.details if is_specific else VAGUE_DETAILS
    details = [template.format(subject=fact.subject) for template in templates]
    return [f"{detail} {closing}" for detail in details for closing in CLOSINGS[is_polite]]
