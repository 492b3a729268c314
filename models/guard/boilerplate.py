"""What boilerplate is: how near another response must be, how long a text. counting.py counts, sketches.py sieves."""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.selection.similarity import as_float32

LEAST_SIMILARITY = 0.98
# Letters and digits. A shorter answer (“Yes.”, “Paris”, a number) is often right under many prompts.
SHORTEST_BOILERPLATE = 25


def is_boilerplate_length(text: str) -> bool:
    """Whether a text is long enough to be called boilerplate: 25 letters and digits."""
    return sum(1 for _ in islice(filter(str.isalnum, text), SHORTEST_BOILERPLATE)) == SHORTEST_BOILERPLATE


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The vectors (n, d), none zero, divided by their norms."""
    rows = as_float32(vectors)
    if vectors.dtype != np.float16:
        rows = rows.copy()  # what was converted is nobody else's
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows
