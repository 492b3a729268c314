"""The strategies that a run names: found, part of its key, the same from its beginning to its end. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from db import pairs, runs
from db.engine import Session
from models.selection import StrategyRule, known_names, load_strategies, unknown_name
from tasks.config.curation import CurateConfig, SelectConfig
from tasks.curation.benchmarks import benchmarks_content
from tasks.errors import StrategyChangedError
from tasks.run_kinds import CURATION

READ_LABELS = frozenset({"margins", "deviations", "is_labelled"})  # what changes when a label comes


def rules_of(select: SelectConfig) -> dict[str, StrategyRule]:
    """The strategies of a configuration, by name, in its order.

    Raises:
        ValueError: If one is named twice, unknown, is not what it should be, or cannot choose within the scope.
    """
    if twice := [name for at, name in enumerate(select.strategies) if name in select.strategies[:at]]:
        raise ValueError(f"select.strategies: {twice[0]} is named twice; name it once")
    rules = load_strategies(select.strategies, map(Path, select.strategy_files))
    several = next((rule.name for rule in rules.values() if rule.needs_several), None)
    if select.scope == "source_pairs" and several:
        raise ValueError(
            f"select.strategies: {several} needs several candidates a prompt, scope source_pairs has two; leave it out"
        )
    return rules


def key_data(config: CurateConfig) -> list[list[str]]:
    """What the key of a run is made of beside its configuration: the code of a user's own strategies.

    Raises:
        ValueError: As `rules_of`.
    """
    return [[rule.name, rule.origin] for rule in rules_of(config.select).values() if rule.origin]


def rules_at_work(session: Session, run_id: int) -> dict[str, StrategyRule]:
    """The strategies of a run, with the code that they had when it was opened.

    Raises:
        StrategyChangedError: If the code of one is another now, or a benchmark's file, which is in the same key.
        SourceError: If a benchmark's file cannot be read any more.
        ValueError: As `rules_of`.
    """
    config = CURATION.stored_config(session, run_id)
    rules = rules_of(config.select)
    if data := key_data(config):
        read = [*benchmarks_content(config), *data]  # as open_run has it
        if runs.get_run(session, run_id).config_key not in config.stored_keys(*read):
            code = ", ".join(name for name, _ in data)
            files = f" or the benchmark {', '.join(config.contamination.files)}" if config.contamination.files else ""
            raise StrategyChangedError(
                f"the code of {code}{files} is not what it was when run {run_id} began; put it back, or curate again: "
                "another code makes a new run"
            )
    return rules


def check_names(session: Session, run_id: int | None, names: Sequence[str]) -> None:
    """Refuse a name that no strategy has: neither here, nor in the run (None: in any).

    Raises:
        LookupError: If there is such a name; it says what there is.
    """
    if not set(names) - set(known_names()):
        return
    known = list(dict.fromkeys([*known_names(), *pairs.strategies_of(session, run_id)]))
    for name in names:
        if name not in known:
            raise LookupError(unknown_name(name, known))


def reading_labels(rules: Mapping[str, StrategyRule]) -> set[str]:
    """The strategies whose choice depends on the labels so far."""
    return {rule.name for rule in rules.values() if READ_LABELS & set(rule.asks)}
