"""lm-eval's benchmarks on a model of ours. Knows no Prefect."""

from __future__ import annotations

from models.evaluation.lm_eval import DEFAULT_TASKS, run_lm_eval
from models.number_format import fast_format, torch_device
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import BenchmarksConfig
from tasks.database import open_database
from tasks.devices import device
from tasks.named_models import find_model
from tasks.settings import Settings


def run_benchmarks(model: ModelConfig, config: BenchmarksConfig, settings: Settings) -> dict[str, dict[str, float]]:
    """Task → metric → value of a model, in a process of its own; where no task is named, of `DEFAULT_TASKS`.

    Raises:
        LmEvalMissingError: If lm-eval is not installed.
        ModelLoadError: If there is no such model.
    """
    with open_database(settings) as sessions:
        found = find_model(sessions, model.name, model, settings)
    with device():
        return run_lm_eval(
            found.location,
            config.tasks or list(DEFAULT_TASKS),
            revision=found.revision,
            limit=config.limit,
            batch_size=config.batch_size,
            device=torch_device(),
            dtype=fast_format().dtype,
            include_path=config.include_path,
            log_path=settings.artifact_root / "logs" / "lm-eval.log",
            timeout_s=None,
        )
