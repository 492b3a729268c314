"""Benchmarks of EleutherAI's lm-eval (extra `lm-eval`) on a model folder, in a process of its own.

Chat templates are not applied, as on the Open LLM Leaderboard, version 1.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.plain_weights import PLAIN_WEIGHTS
from models.processes.isolation import IsolatedProcess

# Task to few-shot examples. ARC, HellaSwag, TruthfulQA (mc2) and GSM8K: the Open LLM Leaderboard, version 1
# (huggingface.co/docs/leaderboards/open_llm_leaderboard/archive). PIQA and OpenBookQA were not on it: none, lm-eval's
# own default.
DEFAULT_TASKS: dict[str, int] = {
    "truthfulqa_mc2": 0,
    "piqa": 0,
    "hellaswag": 10,
    "arc_challenge": 25,
    "openbookqa": 0,
    "gsm8k": 5,
}


class LmEvalMissingError(RuntimeError):
    """The optional package is not installed."""


def require_lm_eval() -> None:
    """Refuse at once what needs lm-eval.

    Raises:
        LmEvalMissingError: lm-eval is not installed.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise LmEvalMissingError("benchmarks need the package lm-eval; install it: pip install -e '.[lm-eval]'")


class LmEvalHarness:
    """lm-eval itself, imported when called: build it in a process of its own, see `run_lm_eval`."""

    def evaluate(
        self,
        model_folder: str,
        tasks: Sequence[str],
        limit: int | None,
        batch_size: str,
        options: Mapping[str, str | None],
    ) -> dict[str, dict[str, float]]:
        """Run the tasks; `options` holds `revision`, `device`, `dtype` and `include_path`."""
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_path=options["include_path"])
        results: Any = simple_evaluate(
            model="hf",
            model_args=_model_arguments(model_folder, options),
            tasks=[_with_examples(manager, task) if task in DEFAULT_TASKS else task for task in tasks],
            limit=limit,
            batch_size=batch_size,
            device=options["device"],
            task_manager=manager,
            log_samples=False,
        )
        return {task: _numbers(metrics) for task, metrics in results["results"].items()}


def run_lm_eval(
    model_folder: str,
    tasks: Sequence[str],
    *,
    revision: str | None,
    limit: int | None,
    batch_size: str,
    device: str | None,
    dtype: str,
    include_path: str | None,
    log_path: Path,
    timeout_s: float | None,
) -> dict[str, dict[str, float]]:
    """Measure a model: task → metric → value, standard errors too, under lm-eval's names without its filter "none".

    So "acc" and "acc_stderr", but "exact_match,strict-match". Tasks of `DEFAULT_TASKS` get the few-shot examples it
    names, others what their own files say. A standard error that lm-eval cannot tell (fewer than two questions) is
    left out.

    Args:
        model_folder: Weights, configuration and tokenizer; or a name on the hub.
        revision: Of the hub's model; None for its newest.
        tasks: lm-eval's names of tasks or groups.
        limit: Questions of each task, the first ones; None for all.
        batch_size: A number, or "auto".
        device: As PyTorch names it; None for lm-eval's own choice.
        dtype: Number format of weights and computation.
        include_path: A folder with further task files.
        log_path: Where what lm-eval prints is appended.
        timeout_s: Limit for all tasks together, in seconds; None for none.

    Raises:
        LmEvalMissingError: lm-eval is not installed.
        ValueError: There is no task to run.
        ProcessDiedError: The process ended early, for want of memory say.
        TimeoutError: It took longer than `timeout_s`.
        Exception: Whatever lm-eval raised (an unknown task, a data set that cannot be fetched).
    """
    require_lm_eval()
    if not tasks:
        raise ValueError("expected at least one task of lm-eval, got none; name some, such as arc_challenge")
    options = {"revision": revision, "device": device, "dtype": dtype, "include_path": include_path}
    with IsolatedProcess(LmEvalHarness, {}, log_path=log_path, timeout_s=timeout_s) as process:
        result: dict[str, dict[str, float]] = process.call(
            "evaluate", model_folder, list(tasks), limit, batch_size, options
        )
    return result


def _model_arguments(model: str, options: Mapping[str, str | None]) -> dict[str, Any]:
    revision = {} if options["revision"] is None else {"revision": options["revision"]}
    return {"pretrained": model, "dtype": options["dtype"], **revision, **PLAIN_WEIGHTS}


def _with_examples(manager: Any, name: str) -> Any:
    """A task with our number of examples. By name and number alone, lm-eval 0.4.13 would lose the task's own file."""
    task = manager.load([name])["tasks"][name]
    task.set_config(key="num_fewshot", value=DEFAULT_TASKS[name])
    return task


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers alone: {"acc,none": 0.5, "alias": "…", "acc_stderr,none": "N/A"} becomes {"acc": 0.5}."""
    return {
        name.removesuffix(",none"): float(value)
        for name, value in metrics.items()
        if "," in name and isinstance(value, int | float)
    }
