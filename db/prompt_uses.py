"""The ledger of prompts: which ones runs train on, and which ones they hold out. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.engine import batches, insert_new
from db.schema.curation import Prompt
from db.schema.labels import Snapshot
from db.schema.policies import Evaluation, Policy, PromptUse

Role = Literal["train", "held_out"]
TRAIN: Role = "train"
HELD_OUT: Role = "held_out"
LOOKUP_BATCH = 10_000


def add_uses(session: Session, run_id: int, *, train: Iterable[int], held_out: Iterable[int]) -> None:
    """Store which prompts a run trains on and which ones it holds out."""
    roles: tuple[tuple[Role, Iterable[int]], ...] = ((TRAIN, train), (HELD_OUT, held_out))
    insert_new(
        session,
        PromptUse,
        [{"run_id": run_id, "prompt_id": id_, "role": role} for role, ids in roles for id_ in sorted(set(ids))],
    )


def uses_of(session: Session, run_id: int) -> dict[int, str]:
    """Prompt id → role, of the prompts of a run; empty where they are not known."""
    rows = session.execute(select(PromptUse.prompt_id, PromptUse.role).filter_by(run_id=run_id))
    return dict(rows.tuples().all())


def first_turns_held_out(session: Session) -> set[str]:
    """The keys of the first turns of all that was ever held out from a policy.

    What a run held out counts if it made a policy, or finished an evaluation: its policy may have been trained already.
    Any other has measured nothing. A study's trials are no policies to go on from: what they hold out is not counted,
    and a policy that trains on it later is never compared with one of theirs on it.
    """
    trained = PromptUse.run_id.in_(select(Policy.run_id).where(Policy.status == "trained"))
    measured = PromptUse.run_id.in_(select(Evaluation.run_id).where(Evaluation.finished_at.is_not(None)))
    of_study = select(Policy.run_id).join(Snapshot, Snapshot.id == Policy.snapshot_id)
    of_study = of_study.where(Snapshot.query["study"].as_integer().is_not(None))
    return set(session.scalars(_first_turns(HELD_OUT).where(trained | measured, PromptUse.run_id.not_in(of_study))))


def first_turns_trained_on(
    session: Session, run_ids: Collection[int], asked: Collection[str] | None = None
) -> set[str]:
    """The keys of the first turns of all that these runs trained on; of those asked for alone, if some are."""
    query = _first_turns(TRAIN).where(PromptUse.run_id.in_(run_ids))
    if asked is None:
        return set(session.scalars(query))
    found: set[str] = set()
    for batch in batches(asked, LOOKUP_BATCH):
        found.update(session.scalars(query.where(Prompt.first_turn_key.in_(batch))))
    return found


def known_runs(session: Session, run_ids: Collection[int]) -> set[int]:
    """Those of these runs of which it is known what they trained on."""
    return set(session.scalars(select(PromptUse.run_id).where(PromptUse.run_id.in_(run_ids)).distinct()))


def _first_turns(role: Role) -> Select[tuple[str]]:
    query = select(Prompt.first_turn_key).join(PromptUse, PromptUse.prompt_id == Prompt.id)
    return query.where(PromptUse.role == role).distinct()
