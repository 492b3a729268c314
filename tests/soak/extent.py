"""How much a soak tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """How much is tried.

    Attributes:
        databases: of SQLite and PostgreSQL, on which acts are killed.
        point_kills: points of each act at which it is killed.
        moment_kills: moments of each act at which it is killed.
        slow_share: the share of that for acts that take seconds.
        outages: outages of PostgreSQL in each act.
        outage_s: how long one lasts.
        seed: of the choice of points and moments.
        only: the acts that are killed; none: all.
    """

    databases: tuple[str, ...] = ("SQLite", "PostgreSQL")
    point_kills: int = 40
    moment_kills: int = 10
    slow_share: float = 0.4
    outages: int = 2
    outage_s: float = 30
    seed: int = 0
    only: tuple[str, ...] = ()
