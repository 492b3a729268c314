"""Which pairs a configuration names. Knows no Prefect."""

from __future__ import annotations

from db import runs
from db.engine import Session
from db.labels import labelling
from models.labelling.records import PairKey
from tasks.config.exchange import PairsConfig
from tasks.curation.strategies import check_names
from tasks.errors import NothingToDoError


def chosen_pairs(session: Session, config: PairsConfig) -> tuple[int, list[PairKey]]:
    """The curation run and its different pairs of these strategies, by prompt.

    Raises:
        LookupError: If there is no such curation run, or no such strategy.
        NothingToDoError: If it has no pair that fits.
    """
    run_id = runs.find_run(session, config.run)
    check_names(session, run_id, config.strategies)
    pairs = labelling.pair_keys(session, run_id, strategies=config.strategies, limit=config.limit)
    if not pairs:
        names = " or ".join(config.strategies) or "any strategy"
        raise NothingToDoError(f"run {run_id} has no pair of {names}; see: antipode runs")
    return run_id, pairs
