"""Where a labelling run sends each pair: to people, or to its cheap annotator. Settled once. No commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.engine import INSERT_BATCH, batches, record_of, row_of
from db.schema import labels
from models.labelling.records import PairKey


@dataclass(frozen=True, slots=True)
class Route:
    """Where a pair goes, and why.

    Attributes:
        first_response_id: the pair's lower response id.
        second_response_id: its higher one.
        to_people: whether people are asked, and not the cheap annotator.
        probability: that the first is preferred, as the labels let expect when it was settled; None: nothing is known.
        certainty: how sure the side is that is expected to win, 1/2 to 1; None where nothing is known.
    """

    first_response_id: int
    second_response_id: int
    to_people: bool
    probability: float | None
    certainty: float | None

    @property
    def pair(self) -> PairKey:
        """The pair that is sent."""
        return PairKey(self.first_response_id, self.second_response_id)


def add_routes(session: Session, run_id: int, routes: Iterable[Route]) -> None:
    """Store where a run's pairs go; it is settled once, in one transaction."""
    for batch in batches(routes, INSERT_BATCH):
        session.connection().execute(insert(labels.Route), [{"run_id": run_id, **row_of(route)} for route in batch])


def routes_of(session: Session, run_id: int) -> list[Route]:
    """Where a run's pairs go, by ids; empty until it is settled."""
    table = labels.Route
    query = select(table).filter_by(run_id=run_id).order_by(table.first_response_id, table.second_response_id)
    return [record_of(Route, row) for row in session.scalars(query)]
