"""Sampling by OpenAI's batch files: a prompt's samples come within a day, at a lower price. Holds no model itself."""

from __future__ import annotations

from collections.abc import Sequence

from models.chat.batch_records import BatchLine
from models.chat.batches import Batching, ask_batches
from models.chat.budget import Budget
from models.chat.errors import ChatError
from models.chat.reader import ChatReply
from models.chat.terms import ChatTerms
from models.generation import Receiver
from models.generation.openai_server import Wanted, all_wanted, missing_samples_error, sample_of, sampling_fields
from models.records import GenerationRequest, SamplingParameters, content_key


class OpenAIBatchGenerator:
    """Samples with one line of a batch file per response, each with its own seed.

    A prompt of which the server refuses one sample is left out.
    """

    def __init__(self, terms: ChatTerms, budget: Budget, parameters: SamplingParameters, batching: Batching) -> None:
        """Remember the server; nothing is sent yet.

        Args:
            terms: The server, its limits, and its prices for batches.
            budget: What may be spent.
            parameters: How to sample.
            batching: What remembers the batches under way.

        Raises:
            ValueError: A limit of money without prices.
        """
        terms.check_budget(budget)
        self._terms = terms
        self._budget = budget
        self._parameters = parameters
        self._batching = batching

    def stream(self, requests: Sequence[GenerationRequest], receiver: Receiver) -> None:
        """Sample one response per seed of each request; batches of the same ledger that are under way come first.

        Raises:
            GenerationStoppedError: The rest is missing.
        """
        fields = sampling_fields(self._parameters)
        wanted: dict[str, Wanted] = {}
        lines: list[BatchLine] = []
        for one in all_wanted(requests, self._parameters.system_prompt, fields):
            body = self._terms.body(one.messages, one.seed, one.fields)
            key = content_key(self._terms.base_url, body, requests[one.request].prompt.key, one.seed)
            wanted[key] = one
            lines.append(BatchLine(key, body, self._terms.most_cost(one.messages)))

        def take(key: str, reply: ChatReply) -> None:
            if one := wanted.get(key):
                receiver.keep([sample_of(one, reply)])

        def leave_out(key: str, error: ChatError) -> None:
            if one := wanted.get(key):
                receiver.leave_out(one.request, None if error.is_too_long else f"the server {error}")

        stop = ask_batches(self._terms, self._budget, self._batching, lines, take=take, leave_out=leave_out)
        if stop is not None:
            raise missing_samples_error(self._terms.model, stop)

    def close(self) -> None:
        """Nothing is held between calls."""
