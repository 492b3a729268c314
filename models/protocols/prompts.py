"""What a judge is asked in MT-Bench's and in Arena-Hard's protocol, and how its reply is read. Knows no server.

The words are ours, so figures are near to published ones but not the same; the marks a reply ends with are the released
ones: MT-Bench (arXiv 2306.05685) `[[7]]`, Arena-Hard (arXiv 2406.11939) `[[A>>B]]` and its four kin. As in
`judge_prompts`, what is judged stands between fences that it cannot close.
"""

from __future__ import annotations

import re
from typing import Literal

from models.judging.prompts import MATERIAL, Messages, fence_around, fenced
from models.protocols.question_files import Question
from models.records import Message

ArenaVerdict = Literal["much_better", "better", "tie", "worse", "much_worse"]

MIRRORED: dict[ArenaVerdict, ArenaVerdict] = {
    "much_better": "much_worse",
    "better": "worse",
    "tie": "tie",
    "worse": "better",
    "much_worse": "much_better",
}
_VERDICTS: dict[str, ArenaVerdict] = {
    "A>>B": "much_better",
    "A>B": "better",
    "A=B": "tie",
    "B>A": "worse",
    "B>>A": "much_worse",
}
# Only at the reply's end, where nothing but emphasis, a bracket or a stop may follow: a mark before it may be quoted.
_MARK = re.compile(r"\[\[\s*([^\[\]]*?)\s*\]\][\s*_.)`\"']*\Z")
_NUMBER = re.compile(r"\d{1,2}(\.\d+)?", re.ASCII)
_GRADER = f"You grade how well an assistant answers its user, without favour. {MATERIAL}"
_REFEREE = f"You compare how well two assistants, A and B, answer the same user, without favour. {MATERIAL}"
_GRADE = (
    "Grade {what}: is it helpful, to the point, correct, thorough, creative where that is asked for, and detailed "
    "enough?{reference} Explain your grade shortly. Then end with the grade, a number from 1 (useless) to 10 (could "
    "hardly be better), in double square brackets, as in [[5]]."
)
_COMPARE = (
    "First work out in short how you would answer the user yourself. Then compare both assistants with that: name "
    "mistakes, then say whose answers are more helpful, more to the point and free of padding, and what is missing. "
    "Neither the order nor the length of the answers counts. End with one of these five verdicts and nothing behind "
    "it: [[A>>B]] if A is far better, [[A>B]] if A is somewhat better, [[A=B]] if both are about as good, [[B>A]] if B "
    "is somewhat better, [[B>>A]] if B is far better."
)


def grade_messages(question: Question, answers: tuple[str, ...]) -> Messages:
    """The chat that asks for a grade of the last of `answers`, with the whole dialogue up to it.

    Reference answers are shown for the turns up to it that have one.
    """
    turns, references = question.turns[: len(answers)], question.references[: len(answers)]
    fence = fence_around(*turns, *references, *answers)
    parts = []
    for number, (turn, answer) in enumerate(zip(turns, answers, strict=True), start=1):
        parts.append(fenced(f"The user, turn {number}", turn, fence))
        parts.append(fenced(f"The assistant's answer to turn {number}", answer, fence))
    shown_references = [(number, text) for number, text in enumerate(references, start=1) if text.strip()]
    parts += [fenced(f"A reference answer to turn {number}", text, fence) for number, text in shown_references]
    what = "the assistant's answer" if len(turns) == 1 else f"the assistant's answer to turn {len(turns)} alone"
    reference = " Compare it with the reference and name what is wrong." if shown_references else ""
    parts.append(_GRADE.format(what=what, reference=reference))
    return Message("system", _GRADER), Message("user", "\n\n".join(parts))


def compare_messages(question: Question, first: tuple[str, ...], second: tuple[str, ...]) -> Messages:
    """The chat that asks whose answers are better, those of A (`first`) or of B; swapping them changes nothing else."""
    fence = fence_around(*question.turns, *first, *second)
    parts = [fenced(f"The user, turn {number}", turn, fence) for number, turn in enumerate(question.turns, start=1)]
    for name, answers in (("A", first), ("B", second)):
        for number, answer in enumerate(answers, start=1):
            parts.append(fenced(f"Assistant {name}'s answer to turn {number}", answer, fence))
    return Message("system", _REFEREE), Message("user", "\n\n".join([*parts, _COMPARE]))


def parse_grade(reply: str) -> float | None:
    """The grade, 1–10, that a reply ends with, else None: nothing is guessed from what stands elsewhere."""
    mark = _MARK.search(reply)
    if mark is None or not _NUMBER.fullmatch(mark[1]):
        return None
    grade = float(mark[1])
    return grade if 1 <= grade <= 10 else None


def parse_verdict(reply: str) -> ArenaVerdict | None:
    """The verdict on A that a reply ends with, else None."""
    mark = _MARK.search(reply)
    return _VERDICTS.get(mark[1]) if mark else None
