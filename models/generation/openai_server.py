"""Sampling from any server that speaks the OpenAI chat API: vLLM, llama.cpp, a hosted model. Holds no model itself.

A server applies its own chat template, and `vllm serve` also the model's own generation defaults (top_k,
repetition_penalty) unless it is started with `--generation-config vllm`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from models.errors import PromptTooLongError
from models.prompting import with_system_prompt
from models.records import FinishReason, GeneratedResponse, GenerationRequest, Prompt, SamplingParameters, shortened

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_Result = TypeVar("_Result")

TOO_LONG_MARKS = ("context length", "context_length", "context size")  # OpenAI and vLLM; OpenAI's code; llama.cpp
NO_KEY = "none"  # the library wants a key, a local server does not; a key from the environment would be a surprise


class GenerationServerError(RuntimeError):
    """The server gave no usable response, after the retries.

    Attributes:
        is_temporary: Whether the same request may succeed later (unreachable, overloaded, too slow, garbled answer).
    """

    def __init__(self, message: str, is_temporary: bool) -> None:
        self.is_temporary = is_temporary
        super().__init__(message, is_temporary)

    def __str__(self) -> str:
        return str(self.args[0])


class OpenAIGenerator:
    """Samples with one chat request per response, each with its own seed, several at a time.

    Whether it honours a seed is up to the server. A reply the server ended for another reason than its length (a
    content filter, say) counts as `stop`.
    """

    def __init__(
        self,
        model: str,
        parameters: SamplingParameters,
        *,
        base_url: str,
        api_key: str | None,
        concurrency: int,
        timeout_s: float,
        max_retries: int,
    ) -> None:
        """Remember the server; nothing is sent yet.

        Args:
            model: The model's name on the server.
            parameters: How to sample.
            base_url: Address up to and including the version, such as "http://localhost:8000/v1".
            api_key: None for a server that asks for none.
            concurrency: Requests in flight at any time.
            timeout_s: Limit for one attempt at one request, in seconds.
            max_retries: Further attempts after a failure that may pass (no connection, time-out, 408, 409, 429, 5xx),
                with growing pauses.
        """
        self._model = model
        self._parameters = parameters
        self._base_url = base_url
        self._api_key = api_key or NO_KEY
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._max_retries = max_retries

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Sample one response per seed of each request, in the order given.

        Raises:
            GenerationServerError: The server cannot be reached, refuses, or answers nonsense.
            PromptTooLongError: The server finds some prompts too long; the other samples are lost.
        """
        return run_blocking(self._generate(requests))

    def close(self) -> None:
        """Nothing is held between calls."""

    async def _generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        from openai import AsyncOpenAI

        free = asyncio.Semaphore(self._concurrency)
        async with AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._api_key,
            timeout=self._timeout_s,
            max_retries=self._max_retries,
        ) as client:
            # The first failure ends the call: `asyncio.run` cancels what is still in flight.
            samples = iter(
                await asyncio.gather(
                    *(
                        self._sample(client, free, request.prompt, seed)
                        for request in requests
                        for seed in request.seeds
                    )
                )
            )
        rows = [[next(samples) for _ in request.seeds] for request in requests]
        too_long = tuple(position for position, row in enumerate(rows) if None in row)
        if too_long:
            raise PromptTooLongError(
                f"{len(too_long)} of {len(requests)} prompts are too long for {self._model} at {self._base_url}; the "
                f"first: {shortened(requests[too_long[0]].prompt.text, 80)!r}; leave them out or lower max_tokens",
                too_long,
            )
        return [[response for response in row if response is not None] for row in rows]

    async def _sample(
        self, client: AsyncOpenAI, free: asyncio.Semaphore, prompt: Prompt, seed: int
    ) -> GeneratedResponse | None:
        """One response, or None if the server says that the prompt is too long."""
        import openai

        messages = with_system_prompt(prompt, self._parameters.system_prompt)
        try:
            async with free:
                completion = await client.chat.completions.create(
                    model=self._model,
                    messages=[{"role": message.role, "content": message.content} for message in messages],
                    seed=seed,
                    temperature=self._parameters.temperature,
                    top_p=self._parameters.top_p,
                    max_tokens=self._parameters.max_tokens,
                    stop=list(self._parameters.stop) or openai.omit,
                )
        except openai.BadRequestError as error:
            if any(mark in str(error).lower() for mark in TOO_LONG_MARKS):
                return None
            raise self._failure(error) from error
        except (openai.OpenAIError, ValueError) as error:  # ValueError: the body is no JSON
            raise self._failure(error) from error
        return self._response(completion, seed)

    def _response(self, completion: Any, seed: int) -> GeneratedResponse:
        try:
            choice = completion.choices[0]
            text, token_count = choice.message.content or "", completion.usage.completion_tokens
        except (AttributeError, IndexError, TypeError) as error:
            raise GenerationServerError(
                f"{self._base_url} answered without a choice and its usage: {shortened(str(completion), 200)}; check "
                "that the address is that of an OpenAI-compatible API",
                is_temporary=False,
            ) from error
        reason: FinishReason = "length" if choice.finish_reason == "length" else "stop"
        return GeneratedResponse(text, seed, token_count, reason)

    def _failure(self, error: Exception) -> GenerationServerError:
        import openai

        error_text = shortened(str(error), 300)
        match error:
            case openai.APITimeoutError():
                cause = f"gave no answer within {self._timeout_s:g} s; raise the time limit or lower the concurrency"
            case openai.APIConnectionError():
                cause = f"cannot be reached ({error_text}); check the address and that the server runs"
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                cause = "refuses the API key; set the right one"
            case openai.NotFoundError():
                cause = f"has no model {self._model!r}, or is no OpenAI-compatible API ({error_text}); check both names"
            case openai.APIStatusError():
                cause = f"refused the request: {error_text}"
            case _:
                cause = f"answered something that is no JSON: {error_text}"
        is_temporary = not isinstance(error, openai.APIStatusError) or may_pass(error.status_code)
        return GenerationServerError(f"the server {self._base_url} {cause}", is_temporary)


def may_pass(status: int) -> bool:
    """Whether a request that was answered with this HTTP status may succeed later."""
    return status in {408, 409, 429} or status >= 500


def run_blocking(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run to the end from synchronous code, also where the caller's thread already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
