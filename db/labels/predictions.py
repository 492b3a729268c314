"""What a reward head expects of pairs, kept by run. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.engine import batches, row_of
from db.schema import labels
from db.schema.base import utc_now
from models.labelling.records import PairKey

BATCH = 2_000
_KEY = ("run_id", "first_response_id", "second_response_id")
_VALUES = ("probability", "low", "high", "margin", "deviation", "label_count")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head expects of a pair, `first_response_id < second_response_id`.

    Attributes:
        first_response_id: the pair's lower response id.
        second_response_id: its higher one.
        probability: that the first is preferred where one is, 0 to 1.
        low: the lower bound of its 90 % interval.
        high: the upper one.
        margin: the mean of the first's reward minus the second's, in nats.
        deviation: the margin's standard deviation.
        label_count: how many labels the head was fitted to.
        created_at: when it was stored (UTC); None before.
    """

    first_response_id: int
    second_response_id: int
    probability: float
    low: float
    high: float
    margin: float
    deviation: float
    label_count: int
    created_at: datetime | None = None

    @property
    def pair(self) -> PairKey:
        """The pair that it is about."""
        return PairKey(self.first_response_id, self.second_response_id)


def store_predictions(session: Session, run_id: int, predictions: Iterable[Prediction]) -> None:
    """Store what is expected of pairs of a run, in the place of what was expected of the same pairs before."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(labels.Prediction.__table__)  # type: ignore[arg-type]
    new_values = {name: statement.excluded[name] for name in (*_VALUES, "created_at")}
    upsert = statement.on_conflict_do_update(index_elements=_KEY, set_=new_values)
    now = utc_now()
    for batch in batches(predictions, BATCH):
        rows = [{**row_of(one), "run_id": run_id, "created_at": one.created_at or now} for one in batch]
        session.connection().execute(upsert, rows)


def forget_predictions(session: Session, run_id: int) -> None:
    """Forget what was expected of a run's pairs: the labels it came from have changed."""
    session.execute(delete(labels.Prediction).filter_by(run_id=run_id))
