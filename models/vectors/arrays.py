"""The arrays of a shard: which they are, what they are made of, what they are called. Knows no folder and no URL."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"vectors": np.float16, "norms": np.float32, "ids": np.int64}
FILES = tuple(f"{part}.npy" for part in DTYPES)
_READ_BYTES = 2**24  # what is hashed at a time, so that a shard larger than memory can be checked


def checked(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """A shard's arrays, of raw embeddings (n, d) and ids (n,).

    Raises:
        ValueError: If a row is NaN, infinite or zero, an id occurs twice, or the shapes do not fit.
    """
    if vectors.ndim != 2 or 0 in vectors.shape or ids.shape != (len(vectors),):
        raise ValueError(
            f"a shard needs (n, d) vectors and (n,) ids, n and d >= 1, got {vectors.shape} and {ids.shape}"
        )
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"response id {unique[counts > 1][0]} occurs more than once in the shard; give each id once")
    # Squares are summed in float64: a large float32 component squared would overflow.
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)).astype(np.float32)
    unusable = ~np.isfinite(norms) | (norms == 0)
    if unusable.any():
        row = int(np.flatnonzero(unusable)[0])
        raise ValueError(
            f"{int(unusable.sum())} of {len(ids)} embeddings have no direction, the first that of response {ids[row]} "
            f"with norm {norms[row]}; leave out responses without tokens"
        )
    return {"vectors": (vectors / norms[:, None]).astype(np.float16), "norms": norms, "ids": ids}


def content_name(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A shard's name: the hash of what its arrays hold, in 32 hex digits."""
    digest = hashlib.sha256()
    for part, array in arrays.items():
        digest.update(f"{part} {array.shape} ".encode())
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, len(content), _READ_BYTES):
            digest.update(content[start : start + _READ_BYTES].data)
    return digest.hexdigest()[:32]


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an .npy file. `numpy.save` to a file tells neither path nor cause of a full disk."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    try:
        path.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: free the disk and run again", str(path)) from error
