"""A language model behind any OpenAI-compatible server as annotator: one chat request a pair as shown.

It is meant to be asked in both orders. What it replies is kept at once in a reply store, so that a call that ends early
(budget, server, a kill) can be repeated and asks only what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from threading import Event

from models.generation.openai_server import run_blocking
from models.labelling.budget import Budget
from models.labelling.chat import ChatClient, ChatTerms, Pace
from models.labelling.judge_errors import BudgetExhaustedError, ChatError, JudgeServerError, OutOfBudgetError
from models.labelling.judge_progress import Progress, Question
from models.labelling.judge_prompts import (
    JudgePrompt,
    allowed_answers,
    judge_messages,
    parse_reply,
    prompt_version,
)
from models.labelling.records import AnnotatorIdentity, Opinion, ShownPair
from models.labelling.replies import ReplyStore, StoredReply
from models.records import content_key


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgeLabeller:
    """Asks a model which response is better. A pair that its server refuses (length, content policy) is a `skip`.

    Attributes:
        model: The model's name on the server.
        base_url: Address up to and including the version, such as "http://localhost:8000/v1".
        api_key: None for a server that asks for none.
        prompt: Which question: two verdicts as in REAL and AlpacaEval, or also tie and both bad.
        temperature: Of the sampling; 0 is greedy.
        max_tokens: Longest reply, in tokens.
        seed: Of the sampling, raised by one with every further attempt to get a reply that can be read.
        has_rationale: Whether the model gives a reason before its verdict.
        is_constrained: Whether the server allows no reply but a verdict (vLLM's structured outputs); not with a reason.
        concurrency: Requests in flight at any time.
        requests_per_minute: Most requests that begin within a minute, evenly spaced; None for no limit.
        timeout_s: Limit for one attempt at one request, in seconds.
        max_retries: Further attempts after a failure that may pass (no connection, time-out, broken reply, 408, 409,
            429, 5xx), with growing pauses or those the server asks for, up to a minute.
        parse_retries: Further questions after a reply that cannot be read.
        input_price: Price of a million tokens sent.
        output_price: Price of a million tokens replied.
        budget: What may be spent; every request counts, whatever becomes of it.
        replies: Where replies are kept and found; one found costs nothing.
    """

    model: str
    base_url: str
    api_key: str | None = field(repr=False)
    prompt: JudgePrompt
    temperature: float
    max_tokens: int
    seed: int
    has_rationale: bool
    is_constrained: bool
    concurrency: int
    requests_per_minute: float | None
    timeout_s: float
    max_retries: int
    parse_retries: int
    input_price: float
    output_price: float
    budget: Budget
    replies: ReplyStore
    _pace: Pace = field(init=False, repr=False)
    _has_answered: Event = field(init=False, repr=False, default_factory=Event)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            ValueError: A constrained reply with a reason, a limit of money without prices, nobody to ask.
        """
        if self.is_constrained and self.has_rationale:
            raise ValueError("a constrained reply is a bare verdict; unset is_constrained or has_rationale")
        if self.budget.max_cost is not None and self.input_price <= 0 and self.output_price <= 0:
            raise ValueError(
                f"max_cost {self.budget.max_cost:g} can never be reached at prices of 0; set the prices per million "
                "tokens, or limit max_requests"
            )
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        object.__setattr__(self, "_pace", Pace(self.requests_per_minute))

    @property
    def identity(self) -> AnnotatorIdentity:
        """The model, the server, the words of the question and the sampling; it is asked in both orders."""
        settings: dict[str, str | int | float | bool | None] = {
            "base_url": self.base_url,
            "is_constrained": self.is_constrained,
            "has_rationale": self.has_rationale,
            "max_tokens": self.max_tokens,
            "model": self.model,
            "parse_retries": self.parse_retries,
            "prompt": self.prompt,
            "prompt_version": prompt_version(self.prompt, has_rationale=self.has_rationale),
            "seed": self.seed,
            "temperature": self.temperature,
        }
        name = f"{self.model} ({self.prompt})"
        return AnnotatorIdentity("judge", name, tuple(sorted(settings.items())), has_both_orders=True)

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Give one opinion a pair, in the order given; equal texts on both sides are a tie without a question.

        Of equal pairs only the first one's opinion carries what it took.

        Raises:
            BudgetExhaustedError: Some are missing for want of budget; replies under way have come in.
            JudgeServerError: Some are missing since the server gave no reply, or refused the first five asked.
        """
        questions = [None if pair.left.text == pair.right.text else self._question(pair) for pair in pairs]
        distinct = list({question.keys[0]: question for question in questions if question}.values())
        known = self.replies.get([key for question in distinct for key in question.keys])
        progress = Progress(self._has_answered)
        missing = []
        for question in distinct:
            opinion = self._final_opinion(_texts(question, known))
            if opinion is None:
                missing.append(question)
            else:
                progress.add(question.keys[0], opinion)
        if missing:
            progress.prompt_count = len({question.prompt for question in missing})
            run_blocking(self._ask_all(missing, known, progress))
            if progress.is_all_refused:
                progress.take_back_refusals()
        opinions = progress.in_order(questions)
        self._raise_for(progress, opinions)
        return [opinion for opinion in opinions if opinion is not None]

    def close(self) -> None:
        """Nothing is held between calls."""

    def _question(self, pair: ShownPair) -> Question:
        messages = judge_messages(pair, self.prompt, has_rationale=self.has_rationale)
        content = [[message.role, message.content] for message in messages]
        sampling = [self.temperature, self.max_tokens, self.seed, self._choices]
        attempts = range(self.parse_retries + 1)
        keys = (content_key(self.base_url, self.model, content, sampling, attempt) for attempt in attempts)
        return Question(pair.prompt, messages, tuple(keys))

    @property
    def _choices(self) -> tuple[str, ...] | None:
        return allowed_answers(self.prompt) if self.is_constrained else None

    async def _ask_all(
        self, questions: Iterable[Question], known: Mapping[str, StoredReply], progress: Progress
    ) -> None:
        terms = ChatTerms(
            base_url=self.base_url,
            api_key=self.api_key,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            choices=self._choices,
            timeout_s=self.timeout_s,
            max_retries=self.max_retries,
            input_price=self.input_price,
            output_price=self.output_price,
        )
        waiting = iter(questions)
        async with ChatClient(terms, self.budget, self._pace) as chat:
            workers = (self._work(chat, waiting, known, progress) for _ in range(self.concurrency))
            # A worker that fails (the store does, say) must not cost the replies under way.
            ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _work(
        self, chat: ChatClient, waiting: Iterable[Question], known: Mapping[str, StoredReply], progress: Progress
    ) -> None:
        """Answer questions until none waits or the call is over; all workers draw from the same ones."""
        for question in waiting:
            try:
                progress.add(question.keys[0], await self._ask(chat, question, _texts(question, known), progress))
            except ChatError as error:
                progress.fail(error)
            except OutOfBudgetError:
                progress.is_out_of_budget = progress.is_over = True
            except BaseException:
                progress.is_over = True
                raise
            if progress.is_over or progress.is_all_refused:
                return

    async def _ask(self, chat: ChatClient, question: Question, texts: list[str], progress: Progress) -> Opinion:
        """Ask until a reply can be read or the attempts are used up; `texts`: what earlier calls were replied."""
        fresh: list[StoredReply] = []
        while (opinion := self._final_opinion(texts)) is None:
            attempt = len(texts)
            try:
                reply = await chat.ask(question.messages, self.seed + attempt)
            except ChatError as error:
                if not error.is_refused:
                    raise
                if not error.is_too_long:
                    progress.refusals[question] = error
                opinion = Opinion("skip", raw_reply=f"the server {error}", requests=error.requests, cost=error.cost)
                break
            self._has_answered.set()
            await chat.aside(self.replies.put, question.keys[attempt], reply)
            fresh.append(reply)
            texts.append(reply.text)
        return replace(
            opinion,
            requests=opinion.requests + sum(reply.requests for reply in fresh),
            input_tokens=sum(reply.input_tokens for reply in fresh),
            output_tokens=sum(reply.output_tokens for reply in fresh),
            cost=opinion.cost + sum(reply.cost for reply in fresh),
        )

    def _final_opinion(self, texts: Sequence[str]) -> Opinion | None:
        """What the replies come to: the last one's verdict, `unparsed` if there may be no more, else None."""
        if not texts:
            return None
        verdict, reason = parse_reply(texts[-1], self.prompt, has_rationale=self.has_rationale)
        if verdict == "unparsed" and len(texts) <= self.parse_retries:
            return None
        return Opinion(verdict, rationale=reason, raw_reply=texts[-1])

    def _raise_for(self, progress: Progress, opinions: list[Opinion | None]) -> None:
        if None not in opinions:
            return
        missing = f"{opinions.count(None)} of {len(opinions)} pairs as shown have no verdict of {self.model}"
        if progress.is_out_of_budget:
            raise BudgetExhaustedError(
                f"{missing}: the budget is used up ({self.budget}); raise it and ask again", tuple(opinions)
            )
        error = next((error for error in progress.failures if error.is_hopeless), progress.failures[0])
        is_temporary = not error.is_hopeless and any(error.is_temporary for error in progress.failures)
        raise JudgeServerError(f"{missing}: the server {self.base_url} {error}", tuple(opinions), is_temporary)


def _texts(question: Question, known: Mapping[str, StoredReply]) -> list[str]:
    return [known[key].text for key in takewhile(known.__contains__, question.keys)]
