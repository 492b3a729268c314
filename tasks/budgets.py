"""What a run may spend on a server, kept in the run's row: a run that is taken up goes on with the rest."""

from __future__ import annotations

from typing import Any, Protocol

from db import runs
from models.chat.budget import Budget
from tasks.database import keep
from tasks.run_kinds import RunAtWork


class BudgetSection(Protocol):
    """The part of a configuration that limits what is spent."""

    @property
    def max_requests(self) -> int | None:
        """Requests, retries too."""

    @property
    def max_cost(self) -> float | None:
        """Money."""


def budget_of(run: RunAtWork[Any], section: BudgetSection) -> Budget:
    """The rest of the run's budget; each expense is stored in the run's row first."""

    def spend(requests: int, cost: float) -> None:
        def store() -> None:
            with run.sessions.begin() as session:
                runs.spend(session, run.run_id, requests, cost)

        keep(store, run.settings)

    with run.sessions() as session:
        record = runs.get_run(session, run.run_id)
        return Budget(
            max_requests=section.max_requests,
            max_cost=section.max_cost,
            spent_requests=record.requests,
            spent_cost=record.cost,
            ledger=spend,
        )
