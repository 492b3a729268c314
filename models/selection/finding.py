"""Strategies by their names: the shipped ones, those of installed packages, those of files that a run names.

A package offers them as entry points of the group `antipode.strategies`, a file as functions whose names do not begin
with `_`. Shipped names cannot be taken.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from models.guesses import guess
from models.records import STRATEGY_PATTERN, Strategy, shortened
from models.selection.asking import LONGEST_PROBLEM, StrategyRule, rule_of
from models.selection.rules import SHIPPED

ENTRY_POINTS = "antipode.strategies"


def load_strategies(names: Iterable[Strategy], files: Iterable[Path] = ()) -> dict[Strategy, StrategyRule]:
    """The strategies of these names; files before packages, where both have one of a name.

    Raises:
        ValueError: if a name is unknown, or a file or package cannot be read or does not hold what it should.
    """
    of_files = _of_files(files)
    return {name: _found(name, of_files) for name in names}


def rule_named(name: Strategy) -> StrategyRule:
    """A shipped or installed strategy.

    Raises:
        ValueError: as `load_strategies`.
    """
    return _found(name, {})


def known_names() -> tuple[Strategy, ...]:
    """The shipped strategies in the order in which they are shown, then the installed ones by name."""
    return (*SHIPPED, *sorted(set(_installed()) - set(SHIPPED)))


def unknown_name(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not there."""
    names = list(known)
    return f"there is no strategy {shortened(name, 60)!r}; {guess(name, names)}there are: {', '.join(names) or 'none'}"


def _found(name: Strategy, of_files: Mapping[str, StrategyRule]) -> StrategyRule:
    if name in SHIPPED:
        return SHIPPED[name]
    if name in of_files:
        return of_files[name]
    if (entry := _installed().get(name)) is not None:
        return _of_package(entry)
    known = (*known_names(), *sorted(of_files))
    raise ValueError(f"{unknown_name(name, known)} (a package's entry points {ENTRY_POINTS}, or strategy_files)")


def _installed() -> dict[str, EntryPoint]:
    offered = entry_points(group=ENTRY_POINTS)
    return {entry.name: entry for entry in offered if re.fullmatch(STRATEGY_PATTERN, entry.name)}


def _of_package(entry: EntryPoint) -> StrategyRule:
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    try:
        function = entry.load()
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        words = shortened(f"{type(error).__name__}: {error}", LONGEST_PROBLEM)
        raise ValueError(f"strategy {entry.name} of {package} ({entry.value}) cannot be imported: {words}") from error
    return rule_of(entry.name, function, origin=package)


def _of_files(files: Iterable[Path]) -> dict[str, StrategyRule]:
    found: dict[str, StrategyRule] = {}
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ValueError(f"the file of strategies {path} cannot be read: {why}; name one that is there") from error
        for name, rule in _of_file(str(path), content).items():
            if name in SHIPPED or name in found:
                whose = "shipped" if name in SHIPPED else "in another file"
                raise ValueError(f"{path}: there is a strategy {name} {whose}; give it another name")
            found[name] = rule
    return found


@lru_cache(maxsize=32)
def _of_file(path: str, content: bytes) -> dict[str, StrategyRule]:
    """The functions of a file, by the content that it had: a file is run once for each."""
    origin = hashlib.sha256(content).hexdigest()
    spec = importlib.util.spec_from_loader(f"strategies_of_{origin[:16]}", loader=None, origin=path)
    assert spec is not None  # it has no loader to be found
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and type hints look there
    try:
        exec(compile(content, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        words = shortened(f"{type(error).__name__}: {error}", LONGEST_PROBLEM)
        raise ValueError(f"{path} cannot be run as a file of strategies: {words}") from error
    own = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == spec.name and re.fullmatch(STRATEGY_PATTERN, name)
    }
    if not own:
        raise ValueError(f"{path} holds no strategy: expected a function whose name does not begin with _")
    try:
        return {name: rule_of(name, value, origin=origin) for name, value in own.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
