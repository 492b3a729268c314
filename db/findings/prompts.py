"""What the check of a run's prompts found: groups of nearly the same ones, and which are left out. No commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from db.engine import batches, take_writing_turn
from db.prompts import LOOKUP_BATCH
from db.schema import curation


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts that are nearly the same: how many, and the texts of the first few."""

    id: int
    size: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptGroups:
    """All groups of a run: how many, how many prompts are in them, and the largest few."""

    count: int
    prompts: int
    largest: tuple[PromptGroup, ...]


def store_groups(session: Session, run_id: int, groups: Mapping[int, int]) -> None:
    """Store the groups of a run's prompts: prompt id → the lowest id of its group."""
    _set(session, run_id, "group_id", groups)


def leave_out(session: Session, run_id: int, reasons: Mapping[int, str]) -> None:
    """Say that no pair of these prompts is selected: prompt id → reason."""
    _set(session, run_id, "left_out", reasons)


def left_out_prompts(session: Session, run_id: int, prompt_ids: Sequence[int]) -> dict[int, str]:
    """Which of these prompts no pair is selected of: prompt id → reason."""
    table = curation.RunPrompt
    query = select(table.prompt_id, table.left_out).where(table.run_id == run_id, table.left_out.is_not(None))
    return {
        prompt_id: reason
        for batch in batches(prompt_ids, LOOKUP_BATCH)
        for prompt_id, reason in session.execute(query.where(table.prompt_id.in_(batch)))
        if reason is not None
    }


def finish_check(session: Session, run_id: int) -> None:
    """Say that the run's prompts are checked: what was found stays as it is."""
    session.execute(update(curation.Run).filter_by(id=run_id).values(has_checked_prompts=True))


def is_checked(session: Session, run_id: int) -> bool:
    """Whether the run's prompts are checked."""
    return bool(session.scalar(select(curation.Run.has_checked_prompts).filter_by(id=run_id)))


def prompt_groups_of(session: Session, run_id: int, *, shown: int, examples: int) -> PromptGroups:
    """The groups of a run; of the largest `shown` the texts of the first `examples` prompts each."""
    table, size = curation.RunPrompt, func.count()
    of_run = (
        select(table.group_id, size.label("size"))
        .where(table.run_id == run_id, table.group_id.is_not(None))
        .group_by(table.group_id)
    )
    sizes = of_run.subquery()
    count, prompts = session.execute(select(func.count(), func.coalesce(func.sum(sizes.c.size), 0))).one()
    largest = session.execute(of_run.order_by(size.desc(), table.group_id).limit(shown)).tuples().all()
    texts = select(curation.Prompt.text).join(table, table.prompt_id == curation.Prompt.id)
    return PromptGroups(
        count=count,
        prompts=int(prompts),
        largest=tuple(
            PromptGroup(
                group_id,
                group_size,
                tuple(
                    session.scalars(
                        texts.where(table.run_id == run_id, table.group_id == group_id)
                        .order_by(table.prompt_id)
                        .limit(examples)
                    )
                ),
            )
            for group_id, group_size in largest
            if group_id is not None
        ),
    )


def _set(session: Session, run_id: int, column: str, values: Mapping[int, object]) -> None:
    if not values:
        return
    take_writing_turn(session)
    table = curation.RunPrompt.__table__
    session.connection().execute(
        update(curation.RunPrompt)
        .where(table.c.run_id == run_id, table.c.prompt_id == bindparam("of_prompt"))
        .values({column: bindparam("found")}),
        [{"of_prompt": prompt_id, "found": value} for prompt_id, value in values.items()],
    )
