"""Composition root: engines, stores and sessions from configuration and settings. No Prefect, no global instance."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from db.engine import Sessions
from models.chat.batches import Batching
from models.chat.budget import Budget
from models.chat.secrets import secrets_among
from models.chat.terms import ChatTerms
from models.embedding import Embedder
from models.embedding.hashed import HashedEmbedder
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.isolated import IsolatedEmbedder
from models.embedding.vllm_pooling import VllmPoolingEmbedder
from models.generation import Generator, StreamingGenerator
from models.generation.isolated import IsolatedGenerator
from models.generation.openai_batches import OpenAIBatchGenerator
from models.generation.openai_server import OpenAIGenerator
from models.generation.scripted import ScriptedGenerator
from models.generation.transformers_local import TransformersGenerator
from models.generation.vllm_offline import VllmGenerator
from models.model_files import embedding_size
from models.number_format import torch_device
from models.processes.isolation import Backends
from models.records import Embedded, EmbedderIdentity, GeneratorIdentity
from models.vectors import VectorStore
from tasks.config.curation import CurateConfig, GenerateConfig, SampleConfig
from tasks.named_models import NamedModel, find_model, look_up_model
from tasks.prices import Price, price_of
from tasks.settings import Settings
from tasks.storage import objects_of

HASHED_DIMENSION = 512
LOCAL_BATCH_TOKENS = 16_384
REQUEST_RETRIES = 5
VECTOR_FOLDERS: dict[Embedded, str] = {"responses": "vectors", "prompts": "prompt_vectors"}
SERVED_ELSEWHERE = ("openai", "scripted")


def generator_backend(config: GenerateConfig) -> str:
    """The engine that `auto` stands for on this machine, else the one that was named."""
    if config.backend != "auto":
        return config.backend
    return "vllm" if importlib.util.find_spec("vllm") else "transformers"


def generator_identity(config: SampleConfig, model: str, local_model: NamedModel | None) -> GeneratorIdentity:
    """All that decides what a generator samples; `local_model` is None for a model that a server holds."""
    return GeneratorIdentity(
        backend=generator_backend(config.generate),
        model=model,
        fingerprint=local_model.fingerprint if local_model else None,
        parameters=config.generate.sampling(),
        seed=config.seed,
        dtype=config.model.dtype if local_model else None,
        base_url=config.generate.base_url,
    )


def find_generator(sessions: Sessions, config: SampleConfig, model: str, settings: Settings) -> NamedModel | None:
    """Find a generator's model where this machine loads it; None for a server's and for the scripted one."""
    if generator_backend(config.generate) in SERVED_ELSEWHERE:
        return None
    return find_model(sessions, model, config.model, settings)


def make_generator(
    config: SampleConfig,
    model: str,
    local_model: NamedModel | None,
    settings: Settings,
    *,
    backends: Backends,
    budget: Budget,
    batching: Batching | None = None,
) -> Generator | StreamingGenerator:
    """Build a generator; vLLM gets a process of its own, transformers the one that holds the device.

    `budget` is what may be spent on a server, `batching` what one that is asked in batches needs.
    """
    generate, sampling = config.generate, config.generate.sampling()
    backend = generator_backend(generate)
    if backend == "scripted":
        return ScriptedGenerator(sampling)
    if backend == "openai":
        if batching is not None:
            return OpenAIBatchGenerator(_server_terms(generate, model, settings), budget, sampling, batching)
        return OpenAIGenerator(_server_terms(generate, model, settings), budget, sampling)
    assert local_model is not None
    arguments: dict[str, Any] = {
        "model": local_model.location,
        "parameters": sampling,
        "revision": local_model.revision,
        "dtype": config.model.dtype,
    }
    is_vllm = backend == "vllm"
    if not is_vllm and generate.tensor_parallel_size > 1:
        raise ValueError(
            "generate.tensor_parallel_size needs vLLM, which is not installed here; install it, or leave it out"
        )
    if is_vllm:
        arguments |= {
            "max_model_len": generate.max_model_len,
            "gpu_memory_utilization": generate.gpu_memory_utilization,
            "tensor_parallel_size": generate.tensor_parallel_size,
        }
    else:
        arguments |= {"device": torch_device(), "max_batch_tokens": LOCAL_BATCH_TOKENS}
    return IsolatedGenerator(
        VllmGenerator if is_vllm else TransformersGenerator,
        arguments,
        log_path=settings.artifact_root / "logs" / f"generate-{backend}.log",
        timeout_s=generate.timeout_s,
        start=backends.start_alone if is_vllm else backends.start,
    )


def _server_terms(generate: GenerateConfig, model: str, settings: Settings) -> ChatTerms:
    assert generate.base_url is not None  # the configuration's own rule
    key, price = settings.openai_api_key, generator_price(generate, model, settings)
    return ChatTerms(
        model=model,
        base_url=generate.base_url,
        api_key=key.get_secret_value() if key else None,
        temperature=generate.temperature,
        max_tokens=generate.max_tokens,
        concurrency=generate.concurrency,
        requests_per_minute=None,
        timeout_s=generate.timeout_s,
        max_retries=REQUEST_RETRIES,
        input_price=price.input,
        output_price=price.output,
        form=generate.form,
        secrets=secrets_among(os.environ),
    )


def generator_price(generate: GenerateConfig, model: str, settings: Settings) -> Price:
    """What a model's tokens cost, as configured, else by the price table.

    Raises:
        ValueError: If a limit of money is set and no price is known; if the table cannot be read.
    """
    prices = {"input_price": generate.input_price, "output_price": generate.output_price}
    price = price_of(model, generate.base_url, **prices, settings=settings)
    if generate.max_cost is not None and not (price.input or price.output):
        raise ValueError(
            f"generate.max_cost needs a price of {model}: give generate.input_price and generate.output_price, or "
            f"write it into {settings.prices_file}"
        )
    return price.times(generate.price_share)


def find_embedder(
    sessions: Sessions, config: CurateConfig, settings: Settings
) -> tuple[EmbedderIdentity, NamedModel | None]:
    """Find the model that embeds; return all that decides its vectors, and the model (None: no model is loaded)."""
    embed = config.embed
    if embed.backend == "hashed":
        # It reads every text whole, and no prompt.
        return hashed_identity(config), None
    name = embed.model or config.model.name
    local_model = find_model(sessions, name, config.model, settings)
    return embedder_identity(config, name, local_model), local_model


def hashed_identity(config: CurateConfig) -> EmbedderIdentity:
    """All that decides the vectors of feature hashing."""
    context = _what_is_read("response", config)
    return EmbedderIdentity("hashed", "hashed", f"{HASHED_DIMENSION} dimensions", context, 0, "float32")


def embedder_identity(config: CurateConfig, name: str, model: NamedModel) -> EmbedderIdentity:
    """All that decides the vectors of a model."""
    embed = config.embed
    context = _what_is_read(embed.context, config)
    return EmbedderIdentity(embed.backend, name, model.fingerprint, context, embed.max_tokens, config.model.dtype)


def _what_is_read(context: str, config: CurateConfig) -> str:
    """The context, with what else decides which tokens are read."""
    if context == "prompt_and_response" and config.generate.template_arguments:
        context += f", template arguments {json.dumps(config.generate.template_arguments, sort_keys=True)}"
    return f"{context}, with thoughts" if config.embed.has_thoughts else context


def make_embedder(
    config: CurateConfig, local_model: NamedModel | None, settings: Settings, backends: Backends
) -> Embedder:
    """Build an embedder; vLLM gets a process of its own, transformers the one that holds the device."""
    embed = config.embed
    if local_model is None:
        return HashedEmbedder(dimension=HASHED_DIMENSION)
    arguments: dict[str, Any] = {
        "model": local_model.location,
        "revision": local_model.revision,
        "dtype": config.model.dtype,
        "context": embed.context,
        "template_arguments": config.generate.template_arguments,
        "max_tokens": embed.max_tokens,
        "tokens_per_batch": embed.tokens_per_batch,
    }
    is_vllm = embed.backend == "vllm"
    if is_vllm:
        arguments |= {
            "max_model_len": None,  # the generator's limit would cut what is embedded
            "gpu_memory_utilization": config.generate.gpu_memory_utilization,
            "tensor_parallel_size": config.generate.tensor_parallel_size,
        }
    return IsolatedEmbedder(
        VllmPoolingEmbedder if is_vllm else HiddenStateEmbedder,
        arguments,
        log_path=settings.artifact_root / "logs" / f"embed-{embed.backend}.log",
        timeout_s=embed.timeout_s,
        start=backends.start_alone if is_vllm else backends.start,
    )


def embedder_gpus(config: CurateConfig) -> int:
    """GPUs that an embedder is split over: as many as a generator, where vLLM embeds."""
    return config.generate.tensor_parallel_size if config.embed.backend == "vllm" else 1


def vector_size(sessions: Sessions, config: CurateConfig, settings: Settings) -> int | None:
    """Components of the embedder's vectors; None where the model is not on this machine, or does not say."""
    if config.embed.backend == "hashed":
        return HASHED_DIMENSION
    model = look_up_model(sessions, config.embed.model or config.model.name, config.model, settings)
    return None if model is None else embedding_size(Path(model.location))


def vector_store(embedder_key: str, settings: Settings, of: Embedded = "responses") -> VectorStore:
    """The shards of one embedder, of responses' vectors or of prompts'."""
    name = f"{VECTOR_FOLDERS[of]}/{embedder_key[:16]}"
    return VectorStore(settings.artifact_root / name, objects_of(settings, name))
