"""How many preferences each strategy of a run has: pairs without a vote make arms unequal. Knows no Prefect."""

from __future__ import annotations

from db import pairs, runs
from db.engine import Session
from db.labels import labelling, preferences
from models.labelling.rules import STANDING_RULE
from tasks.config.exchange import PreferencesConfig


def unequal_arms(session: Session, run_id: int | None) -> str | None:
    """What to say where strategies of a run (None: of all) have unequal numbers of preferences; None where they do not.

    Preferences are those by majority of all annotators. A strategy without any is no arm.
    """
    every = {name: _preference_count(session, run_id, name) for name in pairs.strategies_of(session, run_id)}
    counts = {name: count for name, count in every.items() if count}
    if len(set(counts.values())) < 2:
        return None
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"preferences by strategy, by majority of all annotators: {told}; policies of single strategies compare with "
        f"as many each (antipode align --data.limit {min(counts.values())}), and on the same held-out pairs by: "
        "antipode study label-efficiency --learner alignment --labels stored"
    )


def unequal_arms_asked_for(session: Session, config: PreferencesConfig) -> str | None:
    """The same where preferences of some strategies alone are asked for, of the run that is named.

    None too where they are not those by majority of all annotators, of which the numbers are.
    """
    is_standing = config.rule == STANDING_RULE and not config.annotators
    is_standing = is_standing and not config.min_support and config.min_votes == 1
    if not config.strategies or not is_standing:
        return None
    return unequal_arms(session, None if config.run == "all" else runs.find_run(session, config.run))


def _preference_count(session: Session, run_id: int | None, strategy: str) -> int:
    keys = labelling.pair_keys(session, run_id, strategies=(strategy,))
    outcomes = preferences.outcome_counts(session, STANDING_RULE, keys)
    return outcomes.get("first", 0) + outcomes.get("second", 0)
