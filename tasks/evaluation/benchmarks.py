"""lm-eval's benchmarks on a model of ours. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence

from models.evaluation.lm_eval import DEFAULT_TASKS, run_lm_eval
from models.number_format import fast_format, torch_device
from tasks.config.curation import ModelConfig
from tasks.database import open_database
from tasks.named_models import find_model
from tasks.settings import Settings


def run_benchmarks(
    model: str,
    tasks: Sequence[str],
    limit: int | None,
    batch_size: str,
    include_path: str | None,
    settings: Settings,
) -> dict[str, dict[str, float]]:
    """Task → metric → value of a model, in a process of its own.

    Raises:
        LmEvalMissingError: If lm-eval is not installed.
        ModelLoadError: If there is no such model.
    """
    with open_database(settings) as sessions:
        location = find_model(sessions, model, ModelConfig(name=model), settings).location
    return run_lm_eval(
        location,
        tasks or list(DEFAULT_TASKS),
        limit=limit,
        batch_size=batch_size,
        device=torch_device(),
        dtype=fast_format().dtype,
        include_path=include_path,
        log_path=settings.artifact_root / "logs" / "lm-eval.log",
        timeout_s=None,
    )
