"""Composition root: engines, stores and sessions from configuration and settings. No Prefect, no global instance."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from db import policies, runs
from db.engine import Session
from models.demo import MODEL_FOLDER
from models.embedding import Embedder
from models.embedding.hashed import HashedEmbedder
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.isolated import IsolatedEmbedder
from models.embedding.vllm_pooling import VllmPoolingEmbedder
from models.fingerprint import model_fingerprint
from models.generation import Generator
from models.generation.isolated import IsolatedGenerator
from models.generation.openai_server import OpenAIGenerator
from models.generation.scripted import ScriptedGenerator
from models.generation.transformers_local import TransformersGenerator
from models.generation.vllm_offline import VllmGenerator
from models.number_format import torch_device
from models.records import EmbedderIdentity, GeneratorIdentity
from models.vectors import VectorStore
from tasks.config import CurateConfig, GenerateConfig, ModelConfig, SampleConfig
from tasks.database import open_database
from tasks.number_formats import with_format
from tasks.settings import Settings

DEMO_MODEL = "demo"
POLICY_PREFIX = "policy:"
HASHED_DIMENSION = 512
LOCAL_BATCH_TOKENS = 16_384
REQUEST_RETRIES = 5
SERVED_ELSEWHERE = ("openai", "scripted")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that was found: what to load, and what is in it."""

    location: str
    revision: str | None
    fingerprint: str


def load_config(session: Session, run_id: int) -> CurateConfig:
    """The configuration a run was opened with, its number format settled."""
    run = runs.get_run(session, run_id)
    return with_format(CurateConfig.model_validate(run.config), run.dtype)


def resolve_model(name: str, base: ModelConfig, settings: Settings) -> ResolvedModel:
    """Find a model and hash what is in it; `demo` is the one that Antipode brings, `policy:ID` a trained one.

    The revision of the configuration belongs to the base model; another model is taken at its newest.

    Raises:
        ModelLoadError: If there is no such folder or hub model.
        LookupError: If there is no such policy.
    """
    revision = base.revision if name == base.name else None
    if name == DEMO_MODEL:
        location = str(MODEL_FOLDER)
    elif name.startswith(POLICY_PREFIX):
        return _trained(name, settings)
    else:
        location = name
    return ResolvedModel(location, revision, model_fingerprint(location, revision))


def _trained(name: str, settings: Settings) -> ResolvedModel:
    """The model of `policy:ID`, which never changes: its content was hashed when it was trained.

    Raises:
        LookupError: If there is no such policy, or it is not trained.
    """
    number = name.removeprefix(POLICY_PREFIX)
    if not number.isdecimal():
        raise LookupError(f"a policy is named like policy:3, got {name!r}; see: antipode policies")
    with open_database(settings) as sessions, sessions() as session:
        policy = policies.get_policy(session, int(number))
    if policy.folder is None or policy.fingerprint is None:
        raise LookupError(f"policy {number} is not trained (it is {policy.status}); see: antipode policies")
    return ResolvedModel(str(settings.artifact_root / policy.folder), None, policy.fingerprint)


def generator_backend(config: GenerateConfig) -> str:
    """The engine that `auto` stands for on this machine, else the one that was named."""
    if config.backend != "auto":
        return config.backend
    return "vllm" if importlib.util.find_spec("vllm") else "transformers"


def generator_identity(config: SampleConfig, model: str, resolved: ResolvedModel | None) -> GeneratorIdentity:
    """What makes a generator's responses its own; `resolved` is None for a model that a server holds."""
    return GeneratorIdentity(
        backend=generator_backend(config.generate),
        model=model,
        fingerprint=resolved.fingerprint if resolved else None,
        parameters=config.generate.sampling(),
        seed=config.seed,
        dtype=config.model.dtype if resolved else None,
        base_url=config.generate.base_url,
    )


def resolve_generator(config: SampleConfig, model: str, settings: Settings) -> ResolvedModel | None:
    """Find a generator's model where this machine loads it; None for a server's and for the scripted one."""
    if generator_backend(config.generate) in SERVED_ELSEWHERE:
        return None
    return resolve_model(model, config.model, settings)


def make_generator(config: SampleConfig, model: str, resolved: ResolvedModel | None, settings: Settings) -> Generator:
    """Build a generator; engines that hold a model get a process of their own."""
    generate, sampling = config.generate, config.generate.sampling()
    backend = generator_backend(generate)
    if backend == "scripted":
        return ScriptedGenerator(sampling)
    if backend == "openai":
        assert generate.base_url is not None  # the configuration's own rule
        key = settings.openai_api_key
        return OpenAIGenerator(
            model,
            sampling,
            base_url=generate.base_url,
            api_key=key.get_secret_value() if key else None,
            concurrency=generate.concurrency,
            timeout_s=generate.timeout_s,
            max_retries=REQUEST_RETRIES,
        )
    assert resolved is not None
    arguments: dict[str, Any] = {
        "model": resolved.location,
        "parameters": sampling,
        "revision": resolved.revision,
        "dtype": config.model.dtype,
    }
    if backend == "vllm":
        arguments |= {
            "max_model_len": generate.max_model_len,
            "gpu_memory_utilization": generate.gpu_memory_utilization,
        }
    else:
        arguments |= {"device": torch_device(), "max_batch_tokens": LOCAL_BATCH_TOKENS}
    return IsolatedGenerator(
        VllmGenerator if backend == "vllm" else TransformersGenerator,
        arguments,
        log_path=settings.artifact_root / "logs" / f"generate-{backend}.log",
        timeout_s=generate.timeout_s,
    )


def resolve_embedder(config: CurateConfig, settings: Settings) -> tuple[EmbedderIdentity, ResolvedModel | None]:
    """Find the model that embeds, and say what makes its vectors its own."""
    embed = config.embed
    if embed.backend == "hashed":
        # It reads every text whole, and no prompt.
        return EmbedderIdentity("hashed", "hashed", f"{HASHED_DIMENSION} dimensions", "response", 0, "float32"), None
    name = embed.model or config.model.name
    resolved = resolve_model(name, config.model, settings)
    identity = EmbedderIdentity(
        embed.backend, name, resolved.fingerprint, embed.context, embed.max_tokens, config.model.dtype
    )
    return identity, resolved


def make_embedder(config: CurateConfig, resolved: ResolvedModel | None, settings: Settings) -> Embedder:
    """Build an embedder; engines that hold a model get a process of their own."""
    embed = config.embed
    if resolved is None:
        return HashedEmbedder(dimension=HASHED_DIMENSION)
    arguments: dict[str, Any] = {
        "model": resolved.location,
        "revision": resolved.revision,
        "dtype": config.model.dtype,
        "context": embed.context,
        "max_tokens": embed.max_tokens,
        "tokens_per_batch": embed.tokens_per_batch,
    }
    if embed.backend == "vllm":
        arguments |= {
            "max_model_len": None,  # the generator's limit would cut what is embedded
            "gpu_memory_utilization": config.generate.gpu_memory_utilization,
        }
    return IsolatedEmbedder(
        VllmPoolingEmbedder if embed.backend == "vllm" else HiddenStateEmbedder,
        arguments,
        log_path=settings.artifact_root / "logs" / f"embed-{embed.backend}.log",
        timeout_s=embed.timeout_s,
    )


def vector_store(embedder_key: str, settings: Settings) -> VectorStore:
    """The shards of one embedder."""
    return VectorStore(settings.artifact_root / "vectors" / embedder_key[:16])
