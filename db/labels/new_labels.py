"""What labels have come since a snapshot: counted, not read. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, except_, func, select, tuple_, union_all
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.labels.queueing.edits import edited_pairs
from db.schema.curation import Pair
from db.schema.labels import Preference, SnapshotRow
from models.labelling.rules import STANDING_RULE


@dataclass(frozen=True, slots=True)
class NewLabels:
    """Preferences beside the snapshot that was trained on last.

    `new`: with a chosen and a rejected response, and not in that snapshot as they are now. `trained`: its rows.
    `agreement`: the mean share of the votes behind an outcome, over all pairs with two votes or more; None without any.
    `newest_at`: when the newest label came; None without any.
    """

    new: int
    trained: int
    agreement: float | None
    newest_at: datetime | None


def new_labels(
    session: Session,
    *,
    snapshot_id: int | None,
    run_id: int | None,
    strategies: Sequence[str],
    min_support: float,
    min_votes: int = 1,
) -> NewLabels:
    """Count the preferences on selected pairs (of one run, of some strategies) that are not in the snapshot."""
    is_selected = _is_selected(run_id, strategies)
    is_first = Preference.outcome == "first"
    chosen = case((is_first, Preference.first_response_id), else_=Preference.second_response_id)
    rejected = case((is_first, Preference.second_response_id), else_=Preference.first_response_id)
    decisive = select(chosen.label("chosen"), rejected.label("rejected")).where(
        is_selected,
        Preference.outcome.in_(("first", "second")),
        Preference.support >= min_support,
        Preference.vote_count >= min_votes,
    )
    trained_rows = select(SnapshotRow.chosen_response_id, SnapshotRow.rejected_response_id).where(
        SnapshotRow.snapshot_id == snapshot_id
    )
    # As EXCEPT, not as a join or NOT EXISTS: for those either database may read the snapshot once a preference.
    new_count = select(func.count()).select_from(except_(decisive, trained_rows).subquery())
    agreement = select(func.avg(Preference.support)).where(is_selected, Preference.vote_count >= 2)
    newest_at = session.scalar(select(func.max(Preference.updated_at)).where(is_selected))
    return NewLabels(
        new=session.scalar(new_count) or 0,
        trained=session.scalar(select(func.count()).where(SnapshotRow.snapshot_id == snapshot_id)) or 0,
        agreement=session.scalar(agreement),
        newest_at=newest_at and as_utc(newest_at),
    )


def rows_beyond(session: Session, snapshot_id: int, old_snapshot_id: int | None) -> int:
    """How many rows of a snapshot an older one does not have as they are (all, if there is none)."""
    columns = (SnapshotRow.chosen_response_id, SnapshotRow.rejected_response_id)
    now = select(*columns).where(SnapshotRow.snapshot_id == snapshot_id)
    before = select(*columns).where(SnapshotRow.snapshot_id == old_snapshot_id)
    return session.scalar(select(func.count()).select_from(except_(now, before).subquery())) or 0


def _is_selected(run_id: int | None, strategies: Sequence[str]) -> ColumnElement[bool]:
    """Whether a preference under the standing rule is about a selected pair; those of comparisons are not."""
    # As IN, not as EXISTS: SQLite may look a preference's pair up among all pairs of the run.
    selected = select(Pair.first_response_id, Pair.second_response_id)
    if run_id is not None:
        selected = selected.where(Pair.run_id == run_id)
    if strategies:
        selected = selected.where(Pair.strategy.in_(strategies))
    pair = tuple_(Preference.first_response_id, Preference.second_response_id)
    return and_(Preference.rule == STANDING_RULE, pair.in_(union_all(selected, edited_pairs(run_id, strategies))))
