"""What a judge's call asks and how far it has come. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Event

from models.labelling.judge_errors import ChatError
from models.labelling.judge_prompts import Messages
from models.labelling.records import Opinion
from models.records import Prompt

_FAILURES_IN_A_ROW = 5  # showings without a reply, each after its retries, before the others are not even tried


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for a pair as shown, and the key of each attempt to get a reply that can be read."""

    prompt: Prompt
    messages: Messages
    keys: tuple[str, ...]


@dataclass(slots=True)
class Progress:
    """What a call has so far: opinions by the question's first key, failures, and whether to ask on.

    `refusals`: questions whose opinion is `skip` since the server refused them for another reason than their length.
    `has_answered`: whether it ever gave the labeller a reply. `prompt_count`: prompts among the questions asked.
    """

    has_answered: Event
    prompt_count: int = 0
    opinions: dict[str, Opinion] = field(default_factory=dict)
    refusals: dict[Question, ChatError] = field(default_factory=dict)
    failures: list[ChatError] = field(default_factory=list)
    failures_in_a_row: int = 0
    is_out_of_budget: bool = False
    is_over: bool = False

    def add(self, key: str, opinion: Opinion) -> None:
        """Take in what came of a question."""
        self.opinions[key] = opinion
        self.failures_in_a_row = 0

    def fail(self, error: ChatError) -> None:
        """Take in that a question got no reply, and end the call where the others would get none either."""
        self.failures.append(error)
        self.failures_in_a_row += 1
        self.is_over |= error.is_hopeless or self.failures_in_a_row >= _FAILURES_IN_A_ROW

    @property
    def is_all_refused(self) -> bool:
        """Whether the server began with refusals only: of five questions, and not all of one prompt if there are more.

        A prompt that breaks a content policy may have as many questions.
        """
        if self.has_answered.is_set() or len(self.refusals) < _FAILURES_IN_A_ROW:
            return False
        prompts = {question.prompt for question in self.refusals}
        return len(prompts) >= min(_FAILURES_IN_A_ROW, self.prompt_count)

    def take_back_refusals(self) -> None:
        """Make one failure of them: they say nothing of the pairs."""
        for question in self.refusals:
            del self.opinions[question.keys[0]]
        words = f"{next(iter(self.refusals.values()))}; it refused whatever was asked first, so check the settings"
        self.failures.append(ChatError(words, is_temporary=False, is_hopeless=True))
        self.is_out_of_budget = False

    def in_order(self, questions: Sequence[Question | None]) -> list[Opinion | None]:
        """One opinion a question, None where there is none yet; no question at all is a tie.

        Of equal questions only the first one's opinion carries what it took.
        """
        seen: set[str] = set()
        ordered: list[Opinion | None] = []
        for question in questions:
            if question is None:
                ordered.append(Opinion("tie"))
                continue
            opinion = self.opinions.get(question.keys[0])
            if opinion is not None and question.keys[0] in seen:
                opinion = replace(opinion, requests=0, input_tokens=0, output_tokens=0, cost=0.0)
            seen.add(question.keys[0])
            ordered.append(opinion)
        return ordered
