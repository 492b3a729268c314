"""Replies made up from the seed and the prompt's own words: for dry runs and tests, with no model at all."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from models.records import GeneratedResponse, GenerationRequest, SamplingParameters

_OPENINGS = (
    "Here is what I would do about {0}.",
    "The short answer on {0} is yes.",
    "It depends on what you mean by {0}.",
    "Let us start with {0}.",
    "Many people ask about {0}.",
    "I am not sure that {0} is the heart of it.",
)
_BODIES = (
    "Think of {0} and {1} together, since one explains the other.",
    "First look at {0}, then compare it with {1}.",
    "A common mistake is to treat {0} as if it were {1}.",
    "If {0} matters more to you, leave {1} for later.",
    "Write down three facts about {0} before you decide on {1}.",
    "Experts disagree about {0}, but few of them doubt {1}.",
    "You can test this with a small example of {0}.",
    "In practice {1} takes longer than {0}.",
)
_CLOSINGS = (
    "I hope this helps with {0}.",
    "Ask me again if {0} is still unclear.",
    "That is all there is to {0}.",
    "Please check {0} with someone who knows your case.",
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_NO_WORDS = ("this question", "the answer")
_REFUSAL = "I would rather not answer that."
_REFUSAL_SHARE = 0.1  # equal texts among a prompt's responses are what selection has to cope with


class ScriptedGenerator:
    """Deterministic English replies that quote the prompt; a tenth of them are one and the same refusal.

    The words of the reply count as its tokens. `top_p` has no effect, and `temperature` none but 0, which gives every
    seed the same reply.
    """

    def __init__(self, parameters: SamplingParameters) -> None:
        self._parameters = parameters

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Write one reply per seed of each request, in the order given."""
        return [self._responses(request) for request in requests]

    def close(self) -> None:
        """Nothing to give back."""

    def _responses(self, request: GenerationRequest) -> list[GeneratedResponse]:
        words = tuple(dict.fromkeys(_WORD.findall(request.prompt.messages[-1].content))) or _NO_WORDS
        return [self._response(words, request.prompt.key, seed) for seed in request.seeds]

    def _response(self, words: Sequence[str], prompt_key: str, seed: int) -> GeneratedResponse:
        noise = random.Random(prompt_key if self._parameters.temperature == 0 else f"{seed} {prompt_key}")
        tokens = _reply(words, noise).split(" ")
        reply_tokens = tokens[: self._parameters.max_tokens]
        text = " ".join(reply_tokens)
        ends = [end for stop in self._parameters.stop if (end := text.find(stop)) >= 0]
        is_cut = len(reply_tokens) < len(tokens) and not ends
        text = text[: min(ends)] if ends else text
        return GeneratedResponse(text, seed, len(text.split()), "length" if is_cut else "stop")


def _reply(words: Sequence[str], noise: random.Random) -> str:
    if noise.random() < _REFUSAL_SHARE:
        return _REFUSAL
    bodies = (noise.choice(_BODIES) for _ in range(noise.randint(1, 4)))
    sentences = (noise.choice(_OPENINGS), *bodies, noise.choice(_CLOSINGS))
    positions = (noise.randrange(len(words)) for _ in sentences)
    return " ".join(text.format(words[at], words[at - 1]) for text, at in zip(sentences, positions, strict=True))
