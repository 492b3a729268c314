"""The terms on which one model on one server is asked: sampling, limits, prices. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from models.chat.budget import Budget
from models.chat.form import USUAL_FORM, RequestForm
from models.chat.secrets import cleaned
from models.records import Message

_TEMPLATE_TOKENS = 256  # a chat template's own: role marks, dates, a default system prompt; Llama 3's adds about 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTerms:
    """The model, the sampling, and the limits of pace and patience.

    Attributes:
        model: The model's name on the server.
        base_url: Address up to and including the version, such as "http://localhost:8000/v1".
        api_key: None for a server that asks for none.
        temperature: Of the sampling; 0 is greedy.
        max_tokens: Longest reply, in tokens.
        concurrency: Requests in flight at any time.
        requests_per_minute: Most requests that begin within a minute, evenly spaced; None for no limit.
        timeout_s: Limit for one attempt at one request, in seconds.
        max_retries: Further attempts after a failure that may pass (no connection, time-out, broken reply, 408, 409,
            429, 5xx), with growing pauses or those the server asks for, up to a minute.
        input_price: Price of a million tokens sent.
        output_price: Price of a million tokens replied.
        form: How a question is written down.
        secrets: What is hidden in a server's words beside the key.
    """

    model: str
    base_url: str
    api_key: str | None = field(repr=False)
    temperature: float
    max_tokens: int
    concurrency: int
    requests_per_minute: float | None
    timeout_s: float
    max_retries: int
    input_price: float
    output_price: float
    form: RequestForm = USUAL_FORM
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse terms that allow no request.

        Raises:
            ValueError: `concurrency` is below 1.
        """
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")

    def check_budget(self, budget: Budget) -> None:
        """Refuse a budget that these terms cannot use up.

        Raises:
            ValueError: A limit of money without prices.
        """
        if budget.max_cost is not None and self.input_price <= 0 and self.output_price <= 0:
            raise ValueError(
                f"max_cost {budget.max_cost:g} can never be reached at prices of 0; set the prices per million "
                "tokens, or limit max_requests"
            )

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """The price of so many tokens."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def most_cost(self, messages: Sequence[Message]) -> float:
        """The most a question can cost: no tokenizer makes more than one token of a byte."""
        content = json.dumps([asdict(message) for message in messages], ensure_ascii=False)
        if self.form.extra_body:  # a tool's definition, say, is read too
            content += json.dumps(self.form.extra_body, ensure_ascii=False)
        return self.cost(len(content.encode("utf-8", "surrogatepass")) + _TEMPLATE_TOKENS, self.max_tokens)

    def body(self, messages: Sequence[Message], seed: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request."""
        return self.form.body(
            messages,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=seed,
            fields=fields,
        )

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the server says of itself: the key, if there is one."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def clean(self, text: str) -> str:
        """A server's words without the key and other secrets."""
        return cleaned(text, [*([self.api_key] if self.api_key else []), *self.secrets])
