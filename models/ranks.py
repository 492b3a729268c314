"""Ranks with ties shared, in numpy alone: `scipy.stats` takes longer to load than a run takes to rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Ranks from 1 down the first axis of (n, …) values without NaN, float64; equal values share their mean rank."""
    if not values.size:
        return np.zeros(values.shape)
    order = np.argsort(values, axis=0, kind="stable")
    is_first = np.ones(values.shape, dtype=np.bool_)
    in_order = np.take_along_axis(values, order, axis=0)
    is_first[1:] = in_order[1:] != in_order[:-1]
    del in_order
    is_last = np.ones(values.shape, dtype=np.bool_)
    is_last[:-1] = is_first[1:]
    places = np.arange(len(values), dtype=np.int32).reshape(-1, *[1] * (values.ndim - 1))
    first = np.where(is_first, places, np.int32(0))
    np.maximum.accumulate(first, axis=0, out=first)
    last = np.where(is_last, places, np.int32(len(values)))[::-1]
    np.minimum.accumulate(last, axis=0, out=last)
    first += last[::-1]  # twice the mean place
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, first, axis=0)
    ranks *= 0.5
    ranks += 1
    return ranks
