"""Indexes of FAISS's factory strings (`IVF4096,SQ8`, `HNSW32`, `OPQ16,IVF256,PQ16`): they propose, and may miss some.

What they find is ranked by the exact vectors beside them, so of a quantiser only what it overlooks is lost. How much
that is, is measured when one is made.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.index.library import load_faiss

_log = logging.getLogger(__name__)

FLAT = "Flat"  # exact, whatever the number
# A number of lists or links in the billions would take all memory before a vector is seen.
_QUANTISER = r"Flat|SQ4|SQ8|SQfp16|PQ\d{1,4}(x\d{1,2})?"
_ALLOWED = re.compile(
    r"((OPQ\d{1,4}(_\d{1,5})?|PCAR?\d{1,5}),)?"
    rf"(IVF\d{{1,6}},({_QUANTISER})|HNSW\d{{1,3}}(,Flat|,SQ8)?|PQ\d{{1,4}}(x\d{{1,2}})?)"
)
_SEED = 1234
# k-means wants at least 39 vectors a centroid (FAISS warns below); more than 256 it leaves out itself. So few of them,
# and 5 rounds in place of FAISS's 10, find 0.931 where 64 and 10 find 0.946 of the neighbours in the same lists
# (200,000 prompts, 32 of 2,048 lists), in a third of the time; `tune` then looks into as many lists as it takes.
TRAINING_ROWS_A_LIST, _TRAINING_ROWS, TRAINING_ROUNDS = 39, 65_536, 5
# Searches are widened, doubling, until so many of the true neighbours are found, or the limit is reached.
_RECALL_WANTED = 0.95
_EFFORTS = {"nprobe": (8, 1_024), "efSearch": (64, 1_024)}
_GPU_LIMIT = 2_048


class FactoryError(ValueError):
    """A factory string that makes no index of these vectors; it says why."""


def check_factory(factory: str, dimension: int | None) -> None:
    """Refuse a string that makes no index of vectors of this dimension (None: not known yet).

    Raises:
        FactoryError: With what is wrong with it.
    """
    if factory in ("", FLAT):
        return
    if not _ALLOWED.fullmatch(factory):
        raise FactoryError(
            f"{factory!r} is no index that is known here; give Flat, IVF… (IVF1024,SQ8), HNSW… (HNSW32) or PQ… (PQ16), "
            "an IVF… also behind OPQ…, or PCA…"
        )
    if dimension is not None:
        _empty(factory, dimension)


def factory_of_size(count: int) -> str:
    """The string for more vectors than are searched exactly: 4 √n lists, as FAISS's guidelines have it, of 8 bits."""
    return f"IVF{2 ** round(math.log2(4 * math.sqrt(count)))},SQ8"


class Factory:
    """An index that proposes positions among the first `len` vectors of a `VectorIndex`."""

    def __init__(self, index: Any, *, effort: int = 0) -> None:
        """Take a trained FAISS index, in memory or mapped; `effort`: lists or nodes visited a search, 0: as it is."""
        self.index = index
        self.effort = effort
        if effort:
            _set_effort(index, effort)
        self._copy = _on_gpu(index)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def has_gpu(self) -> bool:
        """Whether a copy of it is on a GPU."""
        return self._copy is not None

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Similarities (m, w), approximate, and positions (m, w) of the w = min(k, n) best; -1 where none was found."""
        width = min(k, len(self))
        searched = self._copy if self._copy is not None and width <= _GPU_LIMIT else self.index
        similarities, positions = searched.search(queries, width)
        return similarities, positions

    def tune(self, measure: Callable[[], float]) -> float:
        """Visit more, doubling, until `measure` (a recall, 0 to 1) is high enough; return what it is then."""
        name = _effort_name(self.index)
        if name is None:
            return measure()
        effort, limit = _EFFORTS[name]
        limit = min(limit, _lists(self.index) or limit)  # all lists are all there is
        while True:
            self.effort = effort
            for index in (self.index, self._copy):
                if index is not None:
                    _set_effort(index, effort)
            recall = measure()
            if recall >= _RECALL_WANTED or effort >= limit:
                return recall
            effort *= 2


def train(factory: str, vectors: list[NDArray[np.float32]]) -> Any:
    """A FAISS index for all these unit vectors, (n, d) in pieces, without them; the same for the same in this order.

    Raises:
        FactoryError: If the string makes none of vectors of this dimension, or of so few.
    """
    index = _empty(factory, vectors[0].shape[1])
    if _lists(index):
        load_faiss().extract_index_ivf(index).cp.niter = TRAINING_ROUNDS
    starts = np.cumsum([0, *map(len, vectors)])
    wanted = max(_TRAINING_ROWS, TRAINING_ROWS_A_LIST * _lists(index))
    chosen = np.arange(starts[-1])
    if len(chosen) > wanted:
        chosen = np.sort(np.random.default_rng(_SEED).choice(starts[-1], size=wanted, replace=False))
    pieces = [
        piece[chosen[(chosen >= start) & (chosen < start + len(piece))] - start]
        for piece, start in zip(vectors, starts, strict=False)
    ]
    sample = np.concatenate(pieces)
    del pieces
    try:
        index.train(sample)
    except RuntimeError as error:
        raise FactoryError(f"{factory} cannot be made of {starts[-1]:,} vectors: {_reason(error)}") from error
    return index


def write(index: Any, put: Callable[[bytes], object]) -> None:
    """Hand the bytes of any FAISS index's file to `put`, one piece after the other.

    Raises:
        OSError: What `put` raised. FAISS's own writer has no error of the system, and none at all where the last few
            bytes find no room.
    """
    faiss = load_faiss()

    failures: list[OSError] = []
    untyped: Any = faiss  # its stubs do not know the writer

    def put_or_keep(content: bytes) -> None:
        try:
            put(content)
        except OSError as error:
            failures.append(error)

    faiss.write_index(index, untyped.PyCallbackIOWriter(put_or_keep))
    if failures:
        raise failures[0]


def read(path: Path) -> Any:
    """Map any FAISS index from its file.

    Raises:
        RuntimeError: If it is none.
    """
    faiss = load_faiss()

    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def _empty(factory: str, dimension: int) -> Any:
    faiss = load_faiss()

    try:
        return faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise FactoryError(
            f"{factory} makes no index of vectors of {dimension} components: {_reason(error)}"
        ) from error


def _lists(index: Any) -> int:
    faiss = load_faiss()

    try:
        return int(faiss.extract_index_ivf(index).nlist)
    except RuntimeError:
        return 0


def _effort_name(index: Any) -> str | None:
    faiss = load_faiss()

    if _lists(index):
        return "nprobe"
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    return "efSearch" if isinstance(inner, faiss.IndexHNSW) else None


def _set_effort(index: Any, effort: int) -> None:
    faiss = load_faiss()

    name = "nprobe" if hasattr(index, "nprobe") else _effort_name(index)
    if name is None:
        return
    if hasattr(index, name):
        setattr(index, name, effort)
        return
    is_on_gpu = hasattr(faiss, "GpuParameterSpace") and type(index).__name__.startswith("Gpu")
    space = faiss.GpuParameterSpace() if is_on_gpu else faiss.ParameterSpace()
    space.set_index_parameter(index, name, effort)


def _on_gpu(index: Any) -> Any:
    """A copy on the GPU, where FAISS can hold this kind there (by cuVS in a build that has it); else None."""
    faiss = load_faiss()

    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    options = faiss.GpuClonerOptions()
    options.useFloat16 = True
    try:
        resources = faiss.StandardGpuResources()
        copied = faiss.index_cpu_to_gpu(resources, 0, index, options)
        copied.search(np.zeros((1, index.d), dtype=np.float32), 1)
    except RuntimeError as error:
        _log.warning("this index is searched on the CPU: %s", _reason(error))
        return None
    return copied


def _reason(error: RuntimeError) -> str:
    """The end of what FAISS says, without its function and file: one line."""
    line = " ".join(str(error).split())
    said = line.rpartition("cpp:")[2].partition(": ")[2] or line
    return said.partition("failed: ")[2] or said
