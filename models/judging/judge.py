"""A language model behind any OpenAI-compatible server as annotator: one chat request a pair as shown.

It is meant to be asked in both orders.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from models.judging.asking import Asker, Outcome, Question, is_answered, stored_replies
from models.judging.errors import BudgetExhaustedError, JudgeServerError
from models.judging.prompts import (
    JudgePrompt,
    allowed_answers,
    judge_messages,
    parse_reply,
    prompt_version,
)
from models.judging.replies import StoredReply
from models.labelling.records import AnnotatorIdentity, Opinion, ShownPair, ShownVerdict


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgeLabeller:
    """Asks a model which response is better. A pair that its server refuses (length, content policy) is a `skip`.

    Attributes:
        asker: The model, and the terms on which it is asked.
        prompt: Which question: two verdicts as in REAL and AlpacaEval, or also tie and both bad.
        has_rationale: Whether the model gives a reason before its verdict.
        is_constrained: Whether the server allows no reply but a verdict (vLLM's structured outputs); not with a reason.
    """

    asker: Asker
    prompt: JudgePrompt
    has_rationale: bool
    is_constrained: bool

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            ValueError: A constrained reply with a reason.
        """
        if self.is_constrained and self.has_rationale:
            raise ValueError("a constrained reply is a bare verdict; unset is_constrained or has_rationale")

    @property
    def identity(self) -> AnnotatorIdentity:
        """The model, the server, the words of the question and the sampling; it is asked in both orders."""
        terms = self.asker.terms
        settings: dict[str, str | int | float | bool | None] = {
            "base_url": terms.base_url,
            "is_constrained": self.is_constrained,
            "has_rationale": self.has_rationale,
            "max_tokens": terms.max_tokens,
            "model": terms.model,
            "parse_retries": terms.parse_retries,
            "prompt": self.prompt,
            "prompt_version": prompt_version(self.prompt, has_rationale=self.has_rationale),
            "seed": terms.seed,
            "temperature": terms.temperature,
        }
        if form := terms.form.identity:
            settings["form"] = json.dumps(form, sort_keys=True)
        name = f"{terms.model} ({self.prompt})"
        return AnnotatorIdentity("judge", name, tuple(sorted(settings.items())), has_both_orders=True)

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Give one opinion a pair, in the order given; equal texts on both sides are a tie without a question.

        Of equal pairs only the first one's opinion carries what it took.

        Raises:
            BudgetExhaustedError: Some are missing for want of budget; replies under way have come in.
            JudgeServerError: Some are missing since the server gave no reply, or refused whatever it was asked.
        """
        questions = [None if pair.left.text == pair.right.text else self._question(pair) for pair in pairs]
        result = self.asker.ask([question for question in questions if question], self._is_readable)
        opinions = self._in_order(questions, result.outcomes)
        if result.stop is None:
            return [opinion for opinion in opinions if opinion is not None]
        missing = (
            f"{opinions.count(None)} of {len(opinions)} pairs as shown have no verdict of {self.asker.terms.model}"
        )
        message = f"{missing}: {result.stop.reason}"
        if result.stop.is_out_of_budget:
            raise BudgetExhaustedError(message, tuple(opinions))
        raise JudgeServerError(message, tuple(opinions), result.stop.is_temporary)

    def unanswered(self, pairs: Iterable[ShownPair]) -> list[Question]:
        """The different questions that `label` would put to the server: those the stored replies do not answer."""
        questions = {
            question.keys[0]: question
            for pair in pairs
            if pair.left.text != pair.right.text
            for question in (self._question(pair),)
        }
        replies = self.asker.replies.get([key for question in questions.values() for key in question.keys])
        return [
            question
            for question in questions.values()
            if not is_answered(question, stored_replies(question, replies), self._is_readable)
        ]

    def close(self) -> None:
        """Nothing is held between calls."""

    def _question(self, pair: ShownPair) -> Question:
        messages = judge_messages(pair, self.prompt, has_rationale=self.has_rationale)
        choices = allowed_answers(self.prompt) if self.is_constrained else None
        return self.asker.question(messages, choices)

    def _is_readable(self, reply: StoredReply) -> bool:
        return self._read(reply.text, is_cut=reply.is_cut)[0] != "unparsed"

    def _read(self, text: str, *, is_cut: bool) -> tuple[ShownVerdict, str | None]:
        return parse_reply(text, self.prompt, has_rationale=self.has_rationale, is_cut=is_cut)

    def _in_order(self, questions: Sequence[Question | None], outcomes: Mapping[str, Outcome]) -> list[Opinion | None]:
        """One opinion a question, None where there is none yet; no question at all is a tie."""
        counted_keys: set[str] = set()
        ordered: list[Opinion | None] = []
        for question in questions:
            if question is None:
                ordered.append(Opinion("tie"))
                continue
            outcome = outcomes.get(question.keys[0])
            opinion = None if outcome is None else self._opinion(outcome)
            if opinion is not None and question.keys[0] in counted_keys:
                opinion = replace(opinion, requests=0, input_tokens=0, output_tokens=0, cost=0.0)
            counted_keys.add(question.keys[0])
            ordered.append(opinion)
        return ordered

    def _opinion(self, outcome: Outcome) -> Opinion:
        effort = Opinion(
            "skip",
            requests=outcome.requests,
            input_tokens=sum(reply.input_tokens for reply in outcome.fresh),
            output_tokens=sum(reply.output_tokens for reply in outcome.fresh),
            cost=outcome.cost,
        )
        if outcome.refusal is not None:
            return replace(effort, raw_reply=f"the server {outcome.refusal}")
        verdict, reason = self._read(outcome.text, is_cut=outcome.is_cut)
        if verdict == "unparsed" and outcome.is_cut:
            reason = f"cut off before a verdict, at judge.max_tokens {self.asker.terms.max_tokens}; raise it"
        return replace(effort, verdict=verdict, rationale=reason, raw_reply=outcome.text)
