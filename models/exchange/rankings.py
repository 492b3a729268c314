"""Rankings of more than two responses as people give them, and the pairs that each says something of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Literal, NamedTuple

from models.ingestion.fields import RowError, described
from models.records import MAX_CANDIDATES, MAX_ID, content_key

_LONGEST_TEXT = 10_000  # characters of a ranking as JSON in a cell


class RankedPair(NamedTuple):
    """Two responses of a ranking, with the side of the better one; a tie where they share a place."""

    left_response_id: int
    right_response_id: int
    verdict: Literal["left", "right", "tie"]


def ranked_pairs(value: object) -> list[RankedPair]:
    """Give every two responses of a ranking, n (n − 1) / 2 of n, in its order.

    A ranking has no sides: a coin that falls alike for the same two puts one on the left, so that how often the left
    one won says nothing of who ranks.

    Args:
        value: response ids, the best first, those that share a place as a list of their own: `[12, [10, 11], 13]`; also
            as JSON text (CSV).

    Raises:
        RowError: it is something else, names a response twice, or fewer than 2 or more than 64 of them.
    """
    places = [(place, id_) for place, item in enumerate(_items(value)) for id_ in _ids(item)]
    ids = [id_ for _, id_ in places]
    if len(set(ids)) < len(ids) or not 2 <= len(ids) <= MAX_CANDIDATES:
        raise RowError(f"ranking: expected 2 to {MAX_CANDIDATES} different response ids, got {described(value)}")
    pairs = []
    for (place, better), (later, worse) in combinations(places, 2):
        is_better_left = _is_smaller_left(better, worse) == (better < worse)
        left, right = (better, worse) if is_better_left else (worse, better)
        pairs.append(RankedPair(left, right, "tie" if place == later else "left" if is_better_left else "right"))
    return pairs


def _is_smaller_left(one: int, other: int) -> bool:
    return int(content_key(min(one, other), max(one, other), "ranking")[:8], 16) % 2 == 0


def _items(value: object) -> list[object]:
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise RowError(f"ranking: expected a list such as [12, [10, 11]], got {described(value)}") from None
    if not isinstance(value, list):
        raise RowError(f"ranking: expected a list of response ids, got {described(value)}")
    return value


def _ids(item: object) -> Iterator[int]:
    for id_ in item if isinstance(item, list) else [item]:
        number = int(id_) if isinstance(id_, str) and id_.isdecimal() and len(id_) <= len(str(MAX_ID)) else id_
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_ID:
            raise RowError(f"ranking: expected response ids (whole numbers from 1), got {described(id_)}")
        yield number
