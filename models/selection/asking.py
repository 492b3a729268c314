"""What a strategy is: a function of arrays, which it asks for by the names of its parameters, to a cost of each pair.

Ours and a user's are the same. With K candidates in a group the function gives a (K, K) array: the pair (i, j), i < j,
with the smallest number is chosen first, of equal ones the first in the order (0, 1), (0, 2), ..., (1, 2); what is
infinite is never chosen. Numbers of what is no valid pair, and those below the diagonal, are not read.

    def middling(similarity):
        return abs(similarity - 0.5)

It sees one group, so that nothing of another can reach it. With the attribute `over_groups = True` it sees b groups of
one size at once, as the last axis of every array, and gives (K, K, b); it must then do with each what it would do with
it alone. `needs_several = True` refuses pairs that a source made, which are groups of two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.records import shortened
from models.selection.blocks import Block
from models.selection.similarity import Floats

Function = Callable[..., Any]

# What may be asked for, with its shape for one group; over b groups each array has them as its last axis.
ASKED = {
    "similarity": "(K, K) float32: cosines, NaN for an embedding that is not usable",
    "lengths": "(K,) int64: characters of each response",
    "embeddings": "(K, d) float32",
    "margins": "(K, K): expected reward of i less that of j, from the labels so far; None below 25 labels",
    "deviations": "(K, K): the standard deviation of each margin; None below 25 labels",
    "is_valid": "(K, K) bool: the two differ and both are usable",
    "is_labelled": "(K, K) bool: the pair has a preference already",
    "seed": "the run's seed",
    "group_seed": "an integer: of the run's seed and what the group holds",
    "count": "how many pairs will be taken: the order beyond need not be told",
}
PER_GROUP = frozenset(ASKED) - {"seed", "count"}
LONGEST_PROBLEM = 300  # characters of what a function said


class StrategyError(ValueError):
    """A strategy failed, or gave something that is no order of pairs.

    Attributes:
        strategy: its name.
        group: the number of the group it failed on.
        problem: what was wrong.
    """

    def __init__(self, strategy: str, group: int, problem: str) -> None:
        self.strategy = strategy
        self.group = group
        self.problem = problem
        super().__init__(strategy, group, problem)

    def __str__(self) -> str:
        return f"strategy {self.strategy}, group {self.group}: {self.problem}"


@dataclass(frozen=True, slots=True)
class StrategyRule:
    """A strategy by its name.

    Attributes:
        function: as the module says.
        over_groups: whether it sees many groups at once.
        needs_several: whether pairs of two given responses are nothing it can choose among.
        tolerance: costs this close are equal.
        meaning: what it chooses, a sentence; empty if its author says nothing.
        origin: a hash or a version of its code; empty for ours.
    """

    name: str
    function: Function
    over_groups: bool = False
    needs_several: bool = False
    tolerance: float = 0.0
    meaning: str = ""
    origin: str = ""

    @property
    def asks(self) -> tuple[str, ...]:
        """The names of what it asks for."""
        return tuple(inspect.signature(self.function).parameters)


def rule_of(name: str, function: object, *, origin: str = "") -> StrategyRule:
    """A function of a user's as a strategy.

    Raises:
        ValueError: if it is no function, or asks for what is not there.
    """
    if not callable(function):
        raise ValueError(f"strategy {name} must be a function, got {type(function).__name__}")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as error:  # min, int, numpy.add
        raise ValueError(f"strategy {name} has no parameters to be read; write it as a Python function") from error
    unknown = [p.name for p in parameters if p.name not in ASKED or p.kind in (p.POSITIONAL_ONLY, p.VAR_KEYWORD)]
    if unknown or not parameters:
        asked = f"asks for {unknown[0]}" if unknown else "asks for nothing"
        raise ValueError(f"strategy {name} {asked}; it may ask for {', '.join(ASKED)} (a helper's name begins with _)")
    return StrategyRule(
        name,
        function,
        over_groups=bool(getattr(function, "over_groups", False)),
        needs_several=bool(getattr(function, "needs_several", False)),
        meaning=" ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()),
        origin=origin,
    )


class Given:
    """What the strategies of one block ask for, each thing made once."""

    def __init__(self, block: Block, *, seed: int) -> None:
        self.block = block
        self._seed = seed
        self._made: dict[str, Any] = {}

    def costs(self, rule: StrategyRule, count: int) -> Floats:
        """(P, b) costs of every pair; ∞ for what is not valid.

        Raises:
            StrategyError: if the function raises, or gives another shape, no numbers, or NaN for a valid pair. Its
                group counts within the block.
        """
        given = {name: count if name == "count" else self._get(name) for name in rule.asks}
        size, groups = self.block.is_usable.shape
        if rule.over_groups:
            costs = _called(rule, given, 0, (size, size, groups))
        else:
            costs = np.empty((size, size, groups))
            for group in range(groups):
                own = {name: _of_group(name, value, group) for name, value in given.items()}
                costs[:, :, group] = _called(rule, own, group, (size, size))
        of_pairs: Floats = costs[np.triu_indices(size, 1)]
        if (is_missing := np.isnan(of_pairs) & self.block.is_valid).any():
            group = int(is_missing.any(axis=0).argmax())
            raise StrategyError(rule.name, group, f"gave NaN for {int(is_missing[:, group].sum())} valid pairs")
        infinity = of_pairs.dtype.type(np.inf)
        return np.where(self.block.is_valid, of_pairs, infinity)

    def _get(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Any:
        block = self.block
        if name == "seed":
            return self._seed
        if name in ("margins", "deviations"):
            self._made["margins"], self._made["deviations"] = block.margins()
            return self._made[name]
        array = _MADE[name](block, self._seed).view()
        array.flags.writeable = False  # another strategy reads it too
        return array


_MADE: dict[str, Callable[[Block, int], NDArray[Any]]] = {
    "similarity": lambda block, _seed: block.similarity,
    "lengths": lambda block, _seed: block.known_lengths,
    "embeddings": lambda block, _seed: np.moveaxis(block.candidates, 0, -1),
    "is_valid": lambda block, _seed: block.matrix_of(block.is_valid, fill=False),
    "is_labelled": lambda block, _seed: block.is_labelled,
    "group_seed": lambda block, seed: block.words(seed),
}


def _of_group(name: str, value: Any, group: int) -> Any:
    """A copy, which the function may change; what is one number a group as Python's."""
    if name not in PER_GROUP or value is None:
        return value
    own = value[..., group]
    return own.copy() if own.ndim else own.item()


def _called(rule: StrategyRule, given: dict[str, Any], group: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """What the function gives, as float32 or float64 of the shape."""
    try:
        costs = np.asarray(rule.function(**given))
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        raise StrategyError(rule.name, group, shortened(words, LONGEST_PROBLEM)) from error
    if costs.shape != shape:
        raise StrategyError(rule.name, group, f"must give an array of shape {shape}, gave {costs.shape}")
    if costs.dtype == np.float32:
        return costs
    if costs.dtype.kind not in "biuf":
        raise StrategyError(rule.name, group, f"must give numbers, gave {costs.dtype}")
    return costs.astype(np.float64)
