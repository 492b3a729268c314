"""What a generator of samples that come one by one hands over, gathered in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.chat.budget import Budget
from models.chat.terms import ChatTerms
from models.generation import Receiver, Sample
from models.generation.openai_server import OpenAIGenerator
from models.records import GeneratedResponse, GenerationRequest, SamplingParameters


def server_generator(url: str, parameters: SamplingParameters, **changes: Any) -> OpenAIGenerator:
    options: dict[str, Any] = {
        "model": "tiny",
        "base_url": url,
        "api_key": "secret-key",
        "temperature": parameters.temperature,
        "max_tokens": parameters.max_tokens,
        "concurrency": 4,
        "requests_per_minute": None,
        "timeout_s": 20,
        "max_retries": 0,
        "input_price": 0.0,
        "output_price": 0.0,
        "budget": Budget(max_requests=None, max_cost=None),
    }
    options |= changes
    budget = options.pop("budget")
    return OpenAIGenerator(ChatTerms(**options), budget, parameters)


@dataclass
class Gathered:
    """The samples by (request, seed), and the requests left out with the reason."""

    samples: dict[tuple[int, int], GeneratedResponse] = field(default_factory=dict)
    left_out: dict[int, str | None] = field(default_factory=dict)

    def receiver(self) -> Receiver:
        return Receiver(self._keep, self.left_out.__setitem__)

    def _keep(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            assert (sample.request, sample.seed) not in self.samples
            self.samples[sample.request, sample.seed] = sample.response


def rows(generator: OpenAIGenerator, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
    """All samples, a row a request; none may be left out."""
    gathered = Gathered()
    generator.stream(requests, gathered.receiver())
    assert not gathered.left_out
    return [
        [gathered.samples[at, position] for position in range(len(request.seeds))]
        for at, request in enumerate(requests)
    ]
