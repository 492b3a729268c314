"""The terms on which a judge is asked: a chat server's, and when it is asked again."""

from __future__ import annotations

from dataclasses import dataclass

from models.chat.terms import ChatTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeTerms(ChatTerms):
    """What decides a judge's replies beside the question, and its limits.

    Attributes:
        seed: Of the sampling, raised by one with every further attempt to get a reply that can be read.
        parse_retries: Further questions after a reply that cannot be read.
    """

    seed: int
    parse_retries: int
