"""Log-probabilities of responses under a model: computed once, kept in the database. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing

from db.engine import Sessions, batches
from db.logps import add_logps, find_logps
from models.alignment.records import ResponseLogps
from models.number_format import torch_device
from models.prompting import load_tokenizer
from models.records import Prompt, content_key
from tasks.devices import device
from tasks.progress import stage_progress
from tasks.resources import ResolvedModel
from tasks.settings import Settings

SHARD = 512
TOKENS_PER_BATCH = 8_192

Request = tuple[Prompt, str]


def response_logps(
    sessions: Sessions,
    model: ResolvedModel,
    requests: Iterable[Request],
    *,
    dtype: str,
    max_length: int,
    settings: Settings,
) -> Mapping[Request, ResponseLogps]:
    """The log-probability of each response given its prompt; those that do not fit `max_length` are not computed.

    Raises:
        ModelLoadError: If the model cannot be loaded.
    """
    from models.alignment.scorer import IsolatedScorer
    from models.alignment.tokens import template_key

    template = template_key(load_tokenizer(model.location, revision=model.revision))
    keys = {
        request: content_key("logps", model.fingerprint, template, dtype, request[0].key, request[1])
        for request in requests
    }
    with sessions() as session:
        known = find_logps(session, list(keys.values()))
    missing = [request for request, key in keys.items() if key not in known]
    if missing:
        arguments = {
            "model": model.location,
            "revision": model.revision,
            "dtype": dtype,
            "device": torch_device(),
            "tokens_per_batch": TOKENS_PER_BATCH,
        }
        log_path = settings.artifact_root / "logs" / "reference.log"
        with (
            device(),
            stage_progress("reference", len(missing), "log-probabilities") as advance,
            closing(IsolatedScorer(arguments, log_path=log_path, timeout_s=None)) as scorer,
        ):
            for shard in batches(missing, SHARD):
                scored = scorer.score(shard, max_length)
                new = {keys[request]: logps for request, logps in zip(shard, scored, strict=True) if logps is not None}
                with sessions.begin() as session:
                    add_logps(session, new)
                known |= new
                advance(len(shard))
    return {request: known[key] for request, key in keys.items() if key in known}
