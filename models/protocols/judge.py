"""Judge protocols of whole benchmarks: MT-Bench's grades, Arena-Hard's games against a baseline.

A policy's answers come from any generator; scores are made in `models.protocols.scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from models.chat.rounds import Stop
from models.judging.asking import Asker
from models.judging.prompts import Messages
from models.judging.replies import StoredReply
from models.protocols.prompts import (
    MIRRORED,
    ArenaVerdict,
    compare_messages,
    grade_messages,
    parse_grade,
    parse_verdict,
)
from models.protocols.question_files import Question

Answers = Sequence[tuple[str, ...]]
ArenaGames = tuple[ArenaVerdict | None, ArenaVerdict | None]
_Result = TypeVar("_Result")


class ProtocolStoppedError(RuntimeError):
    """Some replies are missing: the budget allows no further request, or the server gave none, after the retries.

    Attributes:
        results: One a question, in the order given, as the call would return it; None where a reply is missing.
        is_out_of_budget: Whether a larger budget is what it takes.
        is_temporary: Whether asking again later may help.
    """

    def __init__(self, message: str, results: tuple[object, ...], is_out_of_budget: bool, is_temporary: bool) -> None:
        self.results = results
        self.is_out_of_budget = is_out_of_budget
        self.is_temporary = is_temporary
        super().__init__(message, results, is_out_of_budget, is_temporary)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class ProtocolJudge:
    """Asks a model for grades or verdicts on answers to a benchmark's questions.

    What the server refuses (length, content policy), and a reply that cannot be read after the further attempts, is
    None in the results: left out, never guessed.

    Attributes:
        asker: The model, and the terms on which it is asked.
    """

    asker: Asker

    def grade(self, questions: Sequence[Question], answers: Answers) -> list[tuple[float | None, ...]]:
        """Grade every answer by MT-Bench's single-answer protocol: one grade (1–10) a turn, one tuple a question.

        Raises:
            ValueError: Not one answer a turn.
            ProtocolStoppedError: Some grades are missing; replies under way have come in.
        """
        _check_answers(questions, answers, "the policy's")
        chats = [
            [grade_messages(question, turns[:number]) for number in range(1, len(turns) + 1)]
            for question, turns in zip(questions, answers, strict=True)
        ]
        rows, stop = self._replies(chats, lambda reply: parse_grade(reply.text) is not None)
        return self._require_all([None if row is None else tuple(map(parse_grade, row)) for row in rows], stop)

    def compare(self, questions: Sequence[Question], answers: Answers, baseline_answers: Answers) -> list[ArenaGames]:
        """Play Arena-Hard's two games a question: the policy as A, then as B. Verdicts are on the policy.

        Equal answers are two ties without a question.

        Raises:
            ValueError: Not one answer a turn.
            ProtocolStoppedError: Some verdicts are missing; replies under way have come in.
        """
        _check_answers(questions, answers, "the policy's")
        _check_answers(questions, baseline_answers, "the baseline's")
        games = list(zip(questions, answers, baseline_answers, strict=True))
        chats = [
            []
            if policy_turns == baseline_turns
            else [
                compare_messages(question, policy_turns, baseline_turns),
                compare_messages(question, baseline_turns, policy_turns),
            ]
            for question, policy_turns, baseline_turns in games
        ]
        rows, stop = self._replies(chats, lambda reply: parse_verdict(reply.text) is not None)
        return self._require_all([None if row is None else _from_policys_side(row) for row in rows], stop)

    def _replies(
        self, chats: Sequence[Sequence[Messages]], is_readable: Callable[[StoredReply], bool]
    ) -> tuple[list[list[str] | None], Stop | None]:
        """The chats' last replies, one row a question, None where some are missing; and why they are.

        The reply to a chat that the server refuses is empty, which cannot be read.
        """
        rows = [[self.asker.question(messages) for messages in row] for row in chats]
        result = self.asker.ask([question for row in rows for question in row], is_readable)
        outcomes = [[result.outcomes.get(question.keys[0]) for question in row] for row in rows]
        return [None if None in row else [outcome.text for outcome in row if outcome] for row in outcomes], result.stop

    def _require_all(self, results: Sequence[_Result | None], stop: Stop | None) -> list[_Result]:
        if stop is None:
            return [result for result in results if result is not None]
        missing = f"{results.count(None)} of {len(results)} questions lack replies of {self.asker.terms.model}"
        raise ProtocolStoppedError(
            f"{missing}: {stop.reason}",
            tuple(results),
            is_out_of_budget=stop.is_out_of_budget,
            is_temporary=stop.is_temporary,
        )


def _check_answers(questions: Sequence[Question], answers: Answers, whose: str) -> None:
    if len(questions) != len(answers):
        raise ValueError(f"expected {whose} answers to {len(questions)} questions, got {len(answers)}")
    for question, turns in zip(questions, answers, strict=True):
        if len(turns) != len(question.turns):
            raise ValueError(
                f"question {question.id} has {len(question.turns)} turns, got {len(turns)} of {whose} answers; "
                "give one a turn"
            )


def _from_policys_side(replies: Sequence[str]) -> ArenaGames:
    if not replies:
        return "tie", "tie"
    as_first, as_second = map(parse_verdict, replies)
    return as_first, None if as_second is None else MIRRORED[as_second]
