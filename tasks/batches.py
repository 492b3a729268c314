"""A run's batches in the database, with what is spent on them, in one transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db import runs
from db.labels import batches
from models.chat.batch_records import Batch, Service
from models.chat.batches import Batching
from tasks.config.servers import AskedServer
from tasks.database import keep
from tasks.progress import say
from tasks.run_kinds import RunAtWork


def batching_of(run: RunAtWork[Any], section: AskedServer, *, purpose: str, model: str, url: str) -> Batching | None:
    """What the run's questions in batches need; None where they are asked one by one."""
    if section.mode != "batch":
        return None
    return Batching(ledger=DatabaseBatches(run, Service(purpose, url, model)), poll_s=section.batch_poll_s, tell=say)


class DatabaseBatches:
    """A ledger of batches that outlives the process."""

    def __init__(self, run: RunAtWork[Any], service: Service) -> None:
        self._run = run
        self._service = service

    def under_way(self) -> Sequence[Batch]:
        """The run's batches on this service whose results are not stored yet."""
        with self._run.sessions() as session:
            return batches.under_way(session, self._run.run_id, service=self._service)

    def plan(self, batch: Batch, requests: int, cost: float) -> None:
        """Store a new batch, and count what it can cost as spent."""

        def store() -> None:
            with self._run.sessions.begin() as session:
                runs.spend(session, self._run.run_id, requests, cost)
                batches.add(session, self._run.run_id, batch, service=self._service)

        keep(store, self._run.settings)

    def change(self, batch: Batch) -> None:
        """Store how far a batch is."""

        def store() -> None:
            with self._run.sessions.begin() as session:
                batches.change(session, batch)

        keep(store, self._run.settings)

    def close(self, batch: Batch, requests: int, cost: float) -> None:
        """Store that a batch is done, and add the differences to what is spent."""

        def store() -> None:
            with self._run.sessions.begin() as session:
                runs.spend(session, self._run.run_id, requests, cost)
                batches.change(session, batch)

        keep(store, self._run.settings)
