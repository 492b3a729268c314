"""The settings of an earlier run, for another one like it. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from db import runs
from tasks.config.section import RunConfig
from tasks.database import open_database
from tasks.run_kinds import ALIGNMENT, ALIGNMENT_IN_ROUNDS, CURATION, LABELLING, STUDY, RunKind
from tasks.settings import Settings

_KINDS: dict[str, RunKind[Any]] = {
    kind.name: kind for kind in (CURATION, LABELLING, ALIGNMENT, ALIGNMENT_IN_ROUNDS, STUDY)
}


@dataclass(frozen=True, slots=True)
class EarlierSettings:
    """A run and its configuration, as it was stored: names whose meaning changes stand for what they meant then."""

    run_id: int
    name: str
    config: RunConfig


def earlier_settings(kind: str, run: str, settings: Settings) -> EarlierSettings:
    """The settings of a run of a kind, given as an id, a name (its newest) or `last`.

    Raises:
        LookupError: If there is none.
    """
    with open_database(settings) as sessions, sessions() as session:
        found = runs.find_of_kind(session, kind, run)
        return EarlierSettings(found.id, found.name, _KINDS[kind].read(found.config))
