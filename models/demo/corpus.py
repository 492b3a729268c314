"""What the demo world offers to read: prompts in two splits, a good response to each, and dialogues to train on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from models.demo.grammar import Qualities, all_facts, write_response
from models.demo.parser import fact_asked
from models.records import Message, content_key

Split = Literal["train", "test"]

GOOD = Qualities(is_on_topic=True, is_complete=True, is_specific=True, is_polite=True, has_wrong_fact=False)

# Shares that leave room for alignment: the mean utility is about 7 of 10, every fault occurs.
_ON_TOPIC_SHARE = 0.7
_COMPLETE_SHARE = 0.65
_SPECIFIC_SHARE = 0.6
_POLITE_SHARE = 0.6
_WRONG_SHARE = 0.3  # of the specific ones

_SYSTEM_SHARE = 0.1
_SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "Answer the question of the user.",
    "You answer briefly and in plain English.",
)


def demo_prompts(split: Split) -> list[str]:
    """The prompt texts of a split: 518 to train, 130 to test, all different.

    Each fact is asked for in three ways. Of three facts in five one way is a test prompt, and the two others are train
    prompts: a test prompt is a new question about a fact that the train prompts also ask for.
    """
    prompts = []
    for number, fact in enumerate(all_facts()):
        held_out = number % len(fact.aspect.questions) if number % 5 < 3 else None
        for position, template in enumerate(fact.aspect.questions):
            if (position == held_out) == (split == "test"):
                prompts.append(template.format(subject=fact.subject))
    return prompts


def reference_response(prompt_text: str) -> str:
    """A response with nothing wrong, always the same for a prompt.

    Raises:
        ValueError: the prompt is none of the demo world.
    """
    return write_response(fact_asked(prompt_text), GOOD, seed=int(content_key(prompt_text)[:16], 16))


def training_dialogues(count: int, *, seed: int) -> Iterator[tuple[Message, ...]]:
    """Dialogues over the train prompts, each prompt about equally often, with responses of mixed quality.

    One in ten begins with a system message, so that a model trained on them accepts one.
    """
    draw = random.Random(seed)
    prompts = demo_prompts("train")
    for number in range(count):
        if number % len(prompts) == 0:
            draw.shuffle(prompts)
        prompt = prompts[number % len(prompts)]
        response = write_response(fact_asked(prompt), _mixed_qualities(draw), seed=draw.getrandbits(64))
        turns = (Message("user", prompt), Message("assistant", response))
        has_system = draw.random() < _SYSTEM_SHARE
        yield (Message("system", draw.choice(_SYSTEM_PROMPTS)), *turns) if has_system else turns


def _mixed_qualities(draw: random.Random) -> Qualities:
    is_specific = draw.random() < _SPECIFIC_SHARE
    return Qualities(
        is_on_topic=draw.random() < _ON_TOPIC_SHARE,
        is_complete=draw.random() < _COMPLETE_SHARE,
        is_specific=is_specific,
        is_polite=draw.random() < _POLITE_SHARE,
        has_wrong_fact=is_specific and draw.random() < _WRONG_SHARE,
    )
