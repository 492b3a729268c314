"""What the tests of alignment share: a tiny random model, preferences of the demo world, runs of the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignment_jobs import save_llama
from curation_steps import configured, curate
from labelling_steps import label
from sqlalchemy import func
from sqlalchemy import select as query
from stored_rows import add

from db import responses
from db.prompts import stored_prompts
from db.schema import policies
from models.demo.corpus import demo_prompts, reference_response
from models.records import FinishReason, GeneratedResponse, ImportedResponse, ImportedRow, Prompt
from tasks.alignment.data import compared_prompts, is_held_out, read_data
from tasks.config.alignment import AlignConfig
from tasks.config.curation import GenerateConfig, SampleConfig
from tasks.config.rounds import LdAlignConfig
from tasks.curation.engines import find_generator, generator_identity
from tasks.run_kinds import load_alignment

IMPOLITE = "No."
QUICK = {"epochs": 1, "batch_size": 4, "max_length": 240, "evaluate_every": 0, "save_every": 0, "learning_rate": 1e-3}
QUICK["dtype"] = "float32"  # figures are compared to 1e-4
TINY_GUIDE = {"epochs": 1, "layers": 1, "heads": 2, "hidden_size": 16, "latent_size": 4, "max_length": 64}
TINY_GUIDE["must_use_latent"] = False  # after a step or two it cannot
MEASURED = {"annotator": "rubric", "max_tokens": 4, "backend": "transformers", "has_drift": False}


def tiny_model(folder: Path) -> str:
    """A Llama of random weights that reads the roles of a dialogue."""
    return save_llama(folder, max_position_embeddings=512)


def chosen_prompts(*, train: int, held_out: int, share: float = 0.1) -> list[str]:
    """Prompts of the demo world, so many of either part."""
    parts: dict[bool, list[str]] = {False: [], True: []}
    for text in demo_prompts("train"):
        parts[is_held_out(Prompt.from_text(text), None, share)].append(text)
    assert len(parts[False]) >= train and len(parts[True]) >= held_out
    return parts[False][:train] + parts[True][:held_out]


def import_pairs(sessions: Any, prompts: Sequence[str], *, rejected: str = IMPOLITE) -> None:
    """A good and a poor response to each prompt, the good one a reference."""
    rows = [
        ImportedRow(
            number,
            Prompt.from_text(text),
            (ImportedResponse(reference_response(text), is_reference=True), ImportedResponse(rejected)),
        )
        for number, text in enumerate(prompts, start=1)
    ]
    add(sessions, *rows)


def prefer(sessions: Any, *, train: int = 6, held_out: int = 3) -> None:
    """Preferences of the rubric over imported responses."""
    import_pairs(sessions, chosen_prompts(train=train, held_out=held_out))
    curate(configured(source={"has_references": True}, generate={"when": "never"}))
    label(annotator="rubric", rubric={"temperature": 0})


def align_config(model: str, **changes: Any) -> AlignConfig:
    """A quick alignment; `changes` are merged into the sections."""
    sections: dict[str, Any] = {
        "model": {"name": model, "dtype": "float32"},
        "sft": {"epochs": 0},
        "train": QUICK,
        "evaluate": MEASURED,
    }
    return AlignConfig.model_validate(merged(sections, changes))


def ld_align_config(model: str, **changes: Any) -> LdAlignConfig:
    """Quick rounds; `changes` are merged into the sections."""
    rounds = {name: value for name, value in QUICK.items() if name != "learning_rate"}
    sections: dict[str, Any] = {
        "model": {"name": model, "dtype": "float32"},
        "sft": {"epochs": 0},
        "rounds": rounds | {"count": 2, "learning_rates": (1e-3,)},
        "guide": TINY_GUIDE,
        "evaluate": MEASURED,
        "max_tokens": 4,
    }
    return LdAlignConfig.model_validate(merged(sections, changes))


def merged(sections: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(sections)
    for name, value in changes.items():
        result[name] = result.get(name, {}) | value if isinstance(value, dict) else value
    return result


def count_rows(sessions: Any, table: str) -> int:
    """How many rows a table of alignment has."""
    with sessions() as session:
        return int(session.scalar(query(func.count()).select_from(getattr(policies, table))) or 0)


def prompts_to_compare(session: Any, config: Any, data: Any) -> list[Any]:
    """The prompts that policies of a run are compared on."""
    return list(compared_prompts(session, config, data, data.seen_by_run).prompts)


def store_samples(
    sessions: Any,
    config: Any,
    model: str,
    settings: Any,
    text_of: Callable[[str], str],
    *,
    reason: FinishReason = "stop",
) -> None:
    """What a model says to the prompts that policies are compared on, as if it had been sampled."""
    compared = config.evaluate.generate()
    for generate in (compared, compared.model_copy(update={"temperature": 1.0})):  # the second for KL
        with sessions.begin() as session:
            sample = SampleConfig(seed=config.seed, model=config.model, generate=generate)
            identity = generator_identity(sample, model, find_generator(sessions, sample, model, settings))
            new = [
                responses.NewResponse(one, 0, GeneratedResponse(text_of(one.prompt.text), 0, 1, reason))
                for one in prompts_to_compare(session, config, read_data(session, config))
            ]
            responses.add_generated(session, responses.ensure_generator(session, identity), identity, new)


def speak(settings: Any, sessions: Any, run_id: int, model: str, *, reason: FinishReason = "stop") -> None:
    """Store what a model says to all prompts of the run, as if it had been sampled."""
    with sessions.begin() as session:
        config = load_alignment(session, run_id)
        data = read_data(session, config)
        trained = stored_prompts(session, [one.prompt_id for one in data.golden.train])
        own = GenerateConfig(
            when="always", backend="transformers", responses_per_prompt=1, temperature=1.0, max_tokens=4
        )
        for prompts, generate in (
            (trained, own),
            (prompts_to_compare(session, config, data), config.evaluate.generate()),
        ):
            sample = SampleConfig(seed=config.seed, model=config.model, generate=generate)
            identity = generator_identity(sample, model, find_generator(sessions, sample, model, settings))
            new = [
                responses.NewResponse(one, 0, GeneratedResponse(f"No. {'It is late. ' * at}", 0, 1, reason))
                for at, one in enumerate(prompts)
            ]
            responses.add_generated(session, responses.ensure_generator(session, identity), identity, new)
