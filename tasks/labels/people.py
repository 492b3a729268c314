"""People who label: their names, their queues, the secret of their sign-in links. Knows no Prefect."""

from __future__ import annotations

import secrets
import unicodedata
from contextlib import suppress
from tempfile import NamedTemporaryFile

from db import evaluations, runs
from db.labels import queues
from models.labelling.records import LONGEST_NAME, AnnotatorIdentity, PairKey
from models.records import shortened
from tasks.config.labels import LabelConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.labels.pairs import chosen_pairs
from tasks.settings import Settings

SECRET_BYTES = 32
LONGEST_QUEUE_NAME = 200


def person(name: str) -> AnnotatorIdentity:
    """The identity of a person: their name alone.

    Raises:
        ValueError: If the name is empty or too long.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    if not 0 < len(plain) <= LONGEST_NAME:
        raise ValueError(f"an annotator's name has 1 to {LONGEST_NAME} characters, got {name!r}")
    return AnnotatorIdentity("person", plain)


def page_secret(settings: Settings) -> bytes:
    """The secret of this installation's sign-in links, made at the first use. Remove its file to end all links."""
    path = settings.artifact_root / "page-secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole or not at all, readable by its owner alone; of two processes at once the first one's stays.
        with NamedTemporaryFile(dir=path.parent) as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            with suppress(FileExistsError):
                path.hardlink_to(file.name)
    return path.read_bytes()


def open_evaluation_queue(evaluation_id: int, *, judgements_per_pair: int, seed: int, settings: Settings) -> int:
    """Put the pairs of an evaluation into a queue for the labelling page; returns its id.

    Raises:
        LookupError: If there is no such evaluation.
        NothingToDoError: If it has no pair.
    """
    with open_database(settings) as sessions, sessions.begin() as session:
        rows = evaluations.evaluation_pairs(session, evaluations.get_evaluation(session, evaluation_id).id)
        pairs = dict.fromkeys(PairKey(*sorted(response_ids)) for _, *response_ids in rows)
        if not pairs:
            raise NothingToDoError(f"evaluation {evaluation_id} has no pair to compare")
        name = f"evaluation {evaluation_id}"
        return queues.open_queue(session, name=name, pairs=pairs, judgements_per_pair=judgements_per_pair, seed=seed)


def open_people_queue(config: LabelConfig, settings: Settings) -> int:
    """Put pairs into a queue for the labelling page; the same pairs and overlap are the same queue. Returns its id."""
    with open_database(settings) as sessions, sessions.begin() as session:
        run_id, pairs = chosen_pairs(session, config.pairs)
        run = runs.get_run(session, run_id)
        # The name leaves out the strategies: people who label must not know them.
        return queues.open_queue(
            session,
            name=shortened(f"{run.name} (run {run.id})", LONGEST_QUEUE_NAME),
            pairs=pairs,
            judgements_per_pair=config.people.judgements_per_pair,
            seed=config.seed,
        )
