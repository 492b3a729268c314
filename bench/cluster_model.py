"""A Ray cluster in virtual time: how long a stage takes whose pieces take so long. Sleeps nowhere, knows no Ray.

It cuts calls as the pool does (`models.processes.ray_pool`), hands pieces out as the pool does, and has the run's host
write a shard's rows before it asks for the next one, as the steps do.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.processes.ray_pool import IN_FLIGHT, piece_starts

MOST_SHARDS = 100  # of a stage; the rest takes as long each


class StageTime(NamedTuple):
    """Seconds of a stage.

    Attributes:
        wall: from its first call to its last row.
        at_work: of all actors together.
        host: of the run's host alone, while no actor has work.
    """

    wall: float
    at_work: float
    host: float

    def __add__(self, other: tuple[float, ...]) -> StageTime:  # type: ignore[override]
        return StageTime(*(one + another for one, another in zip(self, other, strict=True)))


def call_seconds(pieces: Sequence[float], actors: int, piece_s: float = 0.0) -> float:
    """How long a call takes whose pieces take so long: an actor holds two at most, and gets one when one is done.

    `piece_s` is what the driver takes for a piece, half to hand it out and half to take what came of it, one after the
    other; actors work meanwhile, if they hold another.
    """
    waiting, driver = deque(pieces), 0.0
    held = [deque[tuple[float, float]]() for _ in range(actors)]  # since when, and how long
    for _ in range(IN_FLIGHT):
        for of in held:
            if waiting:
                driver += piece_s / 2
                of.append((driver, waiting.popleft()))
    ends: list[tuple[float, int]] = []

    def begin(actor: int, free: float) -> None:
        if held[actor]:
            since, seconds = held[actor].popleft()
            heapq.heappush(ends, (max(free, since) + seconds, actor))

    for actor in range(actors):
        begin(actor, 0.0)
    while ends:
        end, actor = heapq.heappop(ends)
        driver = max(driver, end) + piece_s / 2
        if waiting:
            driver += piece_s / 2
            held[actor].append((driver, waiting.popleft()))
        begin(actor, end)
    return driver


def piece_seconds(items: NDArray[np.float64], actors: int) -> list[float]:
    """What the pieces take that the pool cuts a call into, whose items take so long, (n,)."""
    sums: list[float] = np.add.reduceat(items, list(piece_starts(len(items), actors))).tolist()
    return sums


def stage_seconds(
    item_count: int,
    *,
    per_shard: int,
    actors: int,
    item_seconds: Callable[[int], NDArray[np.float64]],
    host_s: float,
    piece_s: float,
) -> StageTime:
    """A stage of so many items.

    Args:
        item_count: prompts to sample for, or responses to embed.
        per_shard: items of a call.
        actors: models at once.
        item_seconds: seconds that a GPU takes for each of n items, drawn anew.
        host_s: what the run's host takes for an item's rows, once a call has come back.
        piece_s: what the driver takes for a piece beside the model.
    """
    shards = max(1, round(item_count / per_shard))
    total = StageTime(0.0, 0.0, 0.0)
    drawn = min(shards, MOST_SHARDS)
    for _ in range(drawn):
        items = item_seconds(per_shard)
        pieces = piece_seconds(items, actors)
        host = per_shard * host_s
        total += (call_seconds(pieces, actors, piece_s) + host, float(items.sum()), host)
    return StageTime(*(part * shards / drawn for part in total))
