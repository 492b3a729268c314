"""A judge that is asked which of two answers is closer to a reference, not which is better (LD-Align section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.chat.rounds import Stop
from models.judging.asking import Asker, Question
from models.judging.prompts import MATERIAL, JudgePrompt, Messages, fence_around, fenced, parse_reply
from models.judging.replies import StoredReply
from models.labelling.records import ShownVerdict
from models.records import Message, Prompt

_FORM: JudgePrompt = "with_tie"
_SYSTEM = (
    "You compare two answers to an instruction with a reference answer, and you name the one that is closer to the "
    f"reference in what it says and how it says it, whether or not it is the better answer. {MATERIAL}"
)
_ASK = (
    "Which answer is closer to the reference? The allowed verdicts are A or B, the identifier of the closer answer; "
    "tie, if both are as close; neither, if neither has anything in common with it. Reply with the verdict and nothing "
    "else: no quotes, no spaces, no line breaks, no explanation."
)
_OF_FIRST: dict[ShownVerdict, float] = {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5}


class Near(NamedTuple):
    """Two answers to a prompt and the reference that they are held against."""

    prompt: Prompt
    reference: str
    first: str
    second: str


class Closeness(NamedTuple):
    """Of each couple the first answer's score: 1 closer, 0.5 as close, 0 less close; None where no verdict can be read.

    `stop`: why some are missing for now; None where every question was put.
    """

    scores: list[float | None]
    stop: Stop | None


def closer(asker: Asker, couples: Sequence[Near]) -> Closeness:
    """Ask of every couple in both orders which answer is closer; orders that disagree are a tie, equal texts too."""
    questions = [_both_orders(asker, one) for one in couples]
    asked = asker.ask([question for both in questions for question in both], _is_readable)
    scores: list[float | None] = []
    for couple, both in zip(couples, questions, strict=True):
        if couple.first == couple.second:
            scores.append(0.5)
            continue
        outcomes = [asked.outcomes.get(question.keys[0]) for question in both]
        texts = [outcome.text for outcome in outcomes if outcome is not None and outcome.refusal is None]
        first, second = map(_score, texts) if len(texts) == 2 else (None, None)
        if first is None or second is None:
            scores.append(None)
        else:
            scores.append(first if first == 1 - second else 0.5)
    return Closeness(scores, asked.stop)


def closeness_messages(couple: Near) -> Messages:
    """The chat that asks which is closer; exchanging the answers exchanges them and nothing else."""
    fence = fence_around(couple.prompt.text, couple.reference, couple.first, couple.second)
    parts = [
        fenced("The instruction", couple.prompt.text, fence),
        fenced("The reference", couple.reference, fence),
        fenced("Answer A", couple.first, fence),
        fenced("Answer B", couple.second, fence),
        _ASK,
    ]
    return Message("system", _SYSTEM), Message("user", "\n\n".join(parts))


def _both_orders(asker: Asker, couple: Near) -> list[Question]:
    if couple.first == couple.second:
        return []
    turned = couple._replace(first=couple.second, second=couple.first)
    return [asker.question(closeness_messages(one)) for one in (couple, turned)]


def _score(text: str) -> float | None:
    """The score of the answer on the left."""
    return _OF_FIRST.get(parse_reply(text, _FORM, has_rationale=False)[0])


def _is_readable(reply: StoredReply) -> bool:
    return _score(reply.text) is not None
