"""Log-probabilities of responses under a model: computed once, kept in the database. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from db.engine import batches
from db.logps import add_logps, find_logps
from models.alignment.launching import check_devices
from models.alignment.reading import IsolatedExampleReader
from models.alignment.records import ResponseLogps, ScoreRequest
from models.number_format import torch_device
from models.processes.several import SeveralProcesses
from models.records import content_key
from tasks.devices import device
from tasks.named_models import NamedModel
from tasks.progress import stage_progress
from tasks.run_kinds import RunAtWork

SHARD = 512
TOKENS_PER_BATCH = 8_192


def response_logps(
    run: RunAtWork[Any],
    model: NamedModel,
    requests: Iterable[ScoreRequest],
    *,
    dtype: str,
    max_length: int,
    processes: int = 1,
) -> Mapping[ScoreRequest, ResponseLogps]:
    """The log-probability of each response given its prompt; those that do not fit `max_length` are not computed.

    Samples are scored as far as they fit. Several processes of this host take a share each; a Ray cluster, where there
    is one, stands in their place.

    Raises:
        ModelLoadError: If the model cannot be loaded.
        ValueError: If there are fewer GPUs than processes.
    """
    from models.alignment.scorer import IsolatedScorer

    asked = list(requests)
    if not asked:
        return {}
    with reading(run, model) as reader:
        template = reader.template_key()
    keys = {
        request: content_key(
            "logps", model.fingerprint, template, dtype, request.prompt.key, request.text, *_kind(request, max_length)
        )
        for request in asked
    }
    with run.sessions() as session:
        logps_of_keys = find_logps(session, list(keys.values()))
    unscored = [request for request, key in keys.items() if key not in logps_of_keys]
    if unscored:
        arguments = {
            "model": model.location,
            "revision": model.revision,
            "dtype": dtype,
            "device": torch_device(),
            "tokens_per_batch": TOKENS_PER_BATCH,
        }

        is_shared_out_here = processes > 1 and run.settings.engine == "local"
        if is_shared_out_here:
            check_devices(processes)
        with (
            device(is_shared_out=True) as backends,
            stage_progress("reference", len(unscored), "log-probabilities") as advance,
            closing(
                IsolatedScorer(
                    arguments,
                    log_path=_log_path(run),
                    timeout_s=None,
                    start=SeveralProcesses(processes).start if is_shared_out_here else backends.start,
                )
            ) as scorer,
        ):
            for shard in batches(unscored, SHARD):
                scored = scorer.score(shard, max_length)
                new_logps = {
                    keys[request]: logps for request, logps in zip(shard, scored, strict=True) if logps is not None
                }
                with run.sessions.begin() as session:
                    add_logps(session, new_logps)
                logps_of_keys |= new_logps
                advance(len(shard))
    return {request: logps_of_keys[key] for request, key in keys.items() if key in logps_of_keys}


@contextmanager
def reading(run: RunAtWork[Any], model: NamedModel) -> Iterator[IsolatedExampleReader]:
    """The model's tokenizer, in the process that the run's engines share.

    Raises:
        ModelLoadError: If there is none.
    """
    with (
        device() as backends,
        closing(
            IsolatedExampleReader(
                model.location, revision=model.revision, log_path=_log_path(run), start=backends.start
            )
        ) as reader,
    ):
        yield reader


def _log_path(run: RunAtWork[Any]) -> Path:
    return run.settings.artifact_root / "logs" / "reference.log"


def _kind(request: ScoreRequest, max_length: int) -> list[object]:
    """What the key of a log-probability says of a response that is not a whole one scored whole."""
    of_thought = [] if request.thought is None else ["thought", request.thought]
    return [
        *(["cut"] if request.is_cut else []), *(["within", max_length] if request.is_sample else []), *of_thought
    ]  # fmt: skip
