"""The sampling temperature of each kind of question, as MT-Bench's authors set it."""

from __future__ import annotations

from collections.abc import Sequence

from models.protocols.question_files import Question

# FastChat, fastchat/llm_judge/common.py, `temperature_config`: what has one right answer is answered without chance.
MT_BENCH: dict[str, float] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}


def by_temperature(questions: Sequence[Question], other: float) -> dict[float, list[int]]:
    """Temperature → positions of the questions answered at it; a category that has none of its own takes `other`."""
    positions: dict[float, list[int]] = {}
    for at, question in enumerate(questions):
        positions.setdefault(MT_BENCH.get((question.category or "").lower(), other), []).append(at)
    return positions
