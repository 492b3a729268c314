"""Sampling from any server that speaks the OpenAI chat API: vLLM, llama.cpp, a hosted model. Holds no model itself.

A server applies its own chat template, and `vllm serve` also the model's own generation defaults (top_k,
repetition_penalty) unless it is started with `--generation-config vllm`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.chat.budget import Budget
from models.chat.client import ChatClient
from models.chat.errors import ChatError
from models.chat.pace import Pace
from models.chat.reader import ChatReply
from models.chat.rounds import Stop, ask_round
from models.chat.terms import ChatTerms
from models.generation import Receiver, Sample
from models.prompting import with_system_prompt
from models.records import GeneratedResponse, GenerationRequest, Message, SamplingParameters


class GenerationStoppedError(RuntimeError):
    """Some samples are missing, after the retries: the budget allows no further request, or the server gave none.

    What came has been handed over.

    Attributes:
        is_out_of_budget: Whether a larger budget is what it takes.
        is_temporary: Whether asking again later may help.
    """

    def __init__(self, message: str, is_out_of_budget: bool, is_temporary: bool) -> None:
        self.is_out_of_budget = is_out_of_budget
        self.is_temporary = is_temporary
        super().__init__(message, is_out_of_budget, is_temporary)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Wanted:
    """One sample that is asked for: the positions of its request and seed, and what is sent."""

    request: int
    position: int
    seed: int
    messages: Sequence[Message]
    fields: Mapping[str, Any]


class OpenAIGenerator:
    """Samples with one chat request per response, each with its own seed, several at a time.

    Whether it honours a seed is up to the server. A prompt of which it refuses one sample (its length, a content
    policy) is left out: the samples of it that were not asked for yet are not.
    """

    def __init__(self, terms: ChatTerms, budget: Budget, parameters: SamplingParameters) -> None:
        """Remember the server; nothing is sent yet.

        Args:
            terms: The server, its limits and prices; temperature and max_tokens are the parameters'.
            budget: What may be spent; every request counts, whatever becomes of it.
            parameters: How to sample.

        Raises:
            ValueError: A limit of money without prices.
        """
        terms.check_budget(budget)
        self._terms = terms
        self._budget = budget
        self._system_prompt = parameters.system_prompt
        self._fields = sampling_fields(parameters)

    def stream(self, requests: Sequence[GenerationRequest], receiver: Receiver) -> None:
        """Sample one response per seed of each request, and hand each over at once.

        Raises:
            GenerationStoppedError: The rest is missing.
        """
        refused: set[int] = set()
        arrived: list[Sample] = []

        def keep_arrived() -> None:
            """Hand over together what came while the receiver was busy."""
            samples = arrived.copy()
            if samples:
                receiver.keep(samples)
                del arrived[: len(samples)]

        async def ask(chat: ChatClient, wanted: Wanted) -> None:
            try:
                reply = await chat.ask(wanted.messages, wanted.seed, wanted.fields)
            except ChatError as error:
                if error.is_refused:
                    refused.add(wanted.request)
                raise
            arrived.append(sample_of(wanted, reply))
            await chat.aside(keep_arrived)

        def leave_out(wanted: Wanted, error: ChatError) -> None:
            receiver.leave_out(wanted.request, None if error.is_too_long else f"the server {error}")

        samples = all_wanted(requests, self._system_prompt, self._fields)
        wanted = (one for one in samples if one.request not in refused)
        pace = Pace(self._terms.requests_per_minute)
        stop = ask_round(self._terms, self._budget, pace, wanted, ask=ask, leave_out=leave_out)
        if stop is not None:
            raise missing_samples_error(self._terms.model, stop)

    def close(self) -> None:
        """Nothing is held between calls."""


def sampling_fields(parameters: SamplingParameters) -> dict[str, Any]:
    """The fields of a request that say how to sample, beside those of every question."""
    fields: dict[str, Any] = {"top_p": parameters.top_p}
    if parameters.stop:
        fields["stop"] = list(parameters.stop)
    if parameters.template_arguments:
        fields["chat_template_kwargs"] = dict(parameters.template_arguments)
    return fields


def all_wanted(
    requests: Sequence[GenerationRequest], system_prompt: str | None, fields: Mapping[str, Any]
) -> Iterator[Wanted]:
    """Every sample that is asked for."""
    for at, request in enumerate(requests):
        messages = with_system_prompt(request.prompt, system_prompt)
        for position, seed in enumerate(request.seeds):
            yield Wanted(at, position, seed, messages, fields)


def sample_of(wanted: Wanted, reply: ChatReply) -> Sample:
    """What came of a sample that was asked for."""
    response = GeneratedResponse(reply.text, wanted.seed, reply.output_tokens, reply.finish_reason, reply.thought)
    return Sample(wanted.request, wanted.position, response)


def missing_samples_error(model: str, stop: Stop) -> GenerationStoppedError:
    """The error of a call that a server, or the budget, ended."""
    kept = "those that came are kept, and the same command again asks for the rest"
    message = f"some responses of {model} are missing ({kept}): {stop.reason}"
    return GenerationStoppedError(message, stop.is_out_of_budget, stop.is_temporary)
