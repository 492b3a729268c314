"""How the index of a factory string is made: trained on some vectors, filled with all of them, and measured.

Filling compares each vector with the centre of every list, which is most of the work. Other hosts can do that, each
with an `Encoder`; the index is the one that would have been made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.index import VectorIndex
from models.index.factory import Factory, train
from models.index.library import load_faiss
from models.index.manifest import Recall
from models.index.segments import Device, Segment

_ROWS_AT_ONCE = 16_384
MEASURED, _NEIGHBOURS, _SEED = 1_000, 10, 0

OnRows = Callable[[int, int], None]  # told how many vectors are done, and how many there are
Encode = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
# From a trained index without vectors, serialised, to what encodes vectors by it as long as it is entered.
Encoders = Callable[[NDArray[np.uint8]], AbstractContextManager[Encode]]


class Encoder:
    """Encodes vectors by a trained index, on a host that need not have the vectors."""

    def __init__(self, trained: NDArray[np.uint8]) -> None:
        """Take the index without its vectors, serialised by FAISS: bytes (b,)."""
        self._index = load_faiss().deserialize_index(trained)

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The list and the code of each unit vector (n, d), as FAISS's standalone codec writes them: (n, c)."""
        codes: NDArray[np.uint8] = self._index.sa_encode(np.ascontiguousarray(vectors))
        return codes


def make(
    factory: str, segments: Sequence[Segment], device: Device, *, encoders: Encoders | None, on_rows: OnRows
) -> tuple[Factory, Recall]:
    """The index of a factory string over all vectors of these segments, and how many true neighbours it finds.

    Raises:
        FactoryError: As of `train`.
    """
    vectors = [segment.vectors for segment in segments]
    index = train(factory, vectors)
    fill(index, vectors, encoders=encoders, on_rows=on_rows)
    proposer = Factory(index)
    return proposer, _measured(segments, proposer, device)


def fill(
    index: Any,
    vectors: Sequence[NDArray[np.float32]],
    *,
    encoders: Encoders | None = None,
    on_rows: OnRows = lambda done, total: None,
) -> None:
    """Add unit vectors, (n, d) in pieces, to a trained FAISS index; encoded by `encoders`, if that can be.

    A graph (HNSW) has no codes, and is made here.
    """
    done, total = 0, sum(map(len, vectors))
    if encoders is None or not _has_codes(index):
        for piece in vectors:
            for block in (piece[start : start + _ROWS_AT_ONCE] for start in range(0, len(piece), _ROWS_AT_ONCE)):
                index.add(np.ascontiguousarray(block))
                on_rows(done := done + len(block), total)
        return
    faiss = load_faiss()
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    with encoders(faiss.serialize_index(index)) as encode:
        for piece in vectors:
            inner.add_sa_codes(encode(piece), np.arange(done, done + len(piece)))
            on_rows(done := done + len(piece), total)
    index.ntotal = inner.ntotal


def _has_codes(index: Any) -> bool:
    try:
        return bool(index.sa_code_size())
    except RuntimeError:
        return False


def _measured(segments: Sequence[Segment], proposer: Factory, device: Device) -> Recall:
    """Widen the factory's searches as far as is worth it; compare with exact search on a sample, itself left out.

    Of equally similar vectors any is right: what is as similar as the last true neighbour counts as found.
    """
    exact, approximate = VectorIndex(segments, device), VectorIndex(segments, device, proposer)
    rows = np.random.default_rng(_SEED).permutation(len(exact))[:MEASURED]
    ids, vectors = exact.rows(np.sort(rows))
    own = [(int(id_),) for id_ in ids]
    last = exact.least_of_nearest(vectors, _NEIGHBOURS + 1)[:, None]  # the vector itself, or its equal, is among them
    true_count = min(_NEIGHBOURS, len(exact) - 1)

    def recall() -> float:
        similarities = approximate.search(vectors, _NEIGHBOURS, exclude=own)[1]
        return float((similarities >= last - 1e-6).sum() / (true_count * len(rows))) if true_count else 1.0

    return Recall(proposer.tune(recall), len(rows))
