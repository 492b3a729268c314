"""People who label: their names, their queues, the secret of their sign-in links. Knows no Prefect."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from tempfile import NamedTemporaryFile

from db import evaluations, runs
from db.engine import Session
from db.labels import queues, routes
from db.labels.queueing.infos import LONGEST_QUEUE_NAME
from models.head import MIN_LABELS
from models.labelling.queue_orders import QueueOrder
from models.labelling.records import PairKey
from models.records import shortened
from tasks.config.labels import LabelConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.labels.pairs import chosen_pairs
from tasks.labels.worth.expected import expected_probabilities
from tasks.progress import say
from tasks.settings import Settings

SECRET_BYTES = 32


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
        return queue_of_pairs(session, run_id, pairs, config, settings)


def queue_of_pairs(
    session: Session,
    run_id: int,
    pairs: Sequence[PairKey],
    config: LabelConfig,
    settings: Settings,
    *,
    probabilities: Mapping[PairKey, float] | None = None,
) -> int:
    """Put these pairs of a curation run into a queue, in the order that the configuration says; return its id.

    The order is settled when the queue is opened, by the labels of then. Whoever labels is shown nothing of what is
    expected, and the queue's name leaves out the strategies: it must not lead their hand.

    Args:
        session: in a transaction.
        run_id: the curation run.
        pairs: of it.
        config: whose `people` section counts.
        settings: where the vectors lie.
        probabilities: that the first of a pair is preferred; None: what the labels so far let expect, if it is needed.
            A caller who has written in this transaction gives them: a head takes long, and others wait to write.

    Raises:
        BrokenShardError: if a vector that the order needs is missing or damaged.
    """
    run, people = runs.get_run(session, run_id), config.people
    if people.order != "shuffled":
        standing_id = queues.find_queue(session, pairs, people.judgements_per_pair, overlap=people.overlap)
        if standing_id is not None:
            say(f"queue {standing_id} holds just these pairs already, and keeps its order")
        else:
            if probabilities is None:
                probabilities = expected_probabilities(session, run_id, settings)
            say(_order_words(people.order, pairs, probabilities))
    return queues.open_queue(
        session,
        name=shortened(f"{run.name} (run {run.id})", LONGEST_QUEUE_NAME),
        pairs=pairs,
        judgements_per_pair=people.judgements_per_pair,
        seed=config.seed,
        overlap=people.overlap,
        order=people.order,
        probabilities=probabilities or {},
    )


def people_queue(config: LabelConfig, run_id: int, settings: Settings) -> int | None:
    """The queue that a labelling run has opened for people; None where it needed none."""
    with open_database(settings) as sessions, sessions() as session:
        _, pairs = chosen_pairs(session, config.pairs)
        if config.annotator == "routed":
            pairs = [one.pair for one in routes.routes_of(session, run_id) if one.to_people]
        if not pairs:
            return None
        return queues.find_queue(session, pairs, config.people.judgements_per_pair, overlap=config.people.overlap)


def _order_words(order: QueueOrder, pairs: Sequence[PairKey], probabilities: Mapping[PairKey, float]) -> str:
    """By what a new queue is in order, on one line."""
    if not probabilities:
        return f"there are fewer than {MIN_LABELS} labels to expect others by: the queue is shuffled"
    first = "the pairs that either response may win" if order == "uncertain" else "the pairs whose winner is clear"
    unknown = len(set(pairs) - set(probabilities))
    rest = (
        f"; {unknown:,} were never embedded and come {'first' if order == 'uncertain' else 'last'}" if unknown else ""
    )
    return f"the queue begins with {first}, by the labels so far{rest}"
