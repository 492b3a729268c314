"""Segments: unit vectors with their ids, which FAISS searches exactly, from memory or as a file mapped from the disk.

Where FAISS can use a GPU, a copy in float16 is there; it proposes, and the float32 vectors here decide.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.index.library import load_faiss

_log = logging.getLogger(__name__)

# Large enough for a matrix product at full speed, small enough that one in memory beside those on disk is little.
SEGMENT_ROWS = 65_536
# Rows normalised at a time, in float32, beside the segment that they go to.
_ROWS_AT_ONCE = 8_192
# GpuIndexFlat refuses a larger k.
_GPU_LIMIT = 2_048


# Ids (n,), vectors (n, d), and whether each of these is divided by its norm.
_Piece = tuple[NDArray[np.int64], NDArray[Any], bool]


class Device:
    """The GPU, if FAISS can use one; else the processor. One for an index, whatever its number of segments."""

    def __init__(self, dimension: int) -> None:
        """Look for a GPU that can search vectors of this dimension; one that cannot is told in the log, once."""
        self._resources = _usable_gpu(dimension)

    @property
    def has_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self._resources is not None

    def copy(self, flat: Any) -> Any:
        """A copy of a flat index in float16 on the GPU, as large as it must be; None without a GPU or room on it."""
        if self._resources is None:
            return None
        copied = _gpu_index(self._resources, flat.d)
        try:
            copied.copyFrom(flat)
        except RuntimeError as error:  # another process holds the memory
            _log.warning("%d vectors are searched on the CPU: the GPU does not take them: %s", flat.ntotal, error)
            return None
        return copied


class Segment:
    """n unit vectors and their ids."""

    def __init__(self, flat: Any, ids: NDArray[np.int64], device: Device) -> None:
        """Take a FAISS `IndexFlatIP` of n unit vectors, in memory or mapped, and their ids (n,) in the same order."""
        self.flat = flat
        self.ids = ids
        self._copy = device.copy(flat)
        self.vectors = vectors_of(flat)
        self.vectors.flags.writeable = False  # a mapped one would end the process

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The inner products (m, w) and rows (m, w) of the w = min(k, n) best, best first."""
        width = min(k, len(self))
        searched = self._copy if self._copy is not None and width <= _GPU_LIMIT else self.flat
        similarities, rows = searched.search(queries, width)
        return similarities, rows

    def part(self, is_wanted: NDArray[np.bool_], device: Device) -> Segment | None:
        """The segment with the rows of a mask (n,) alone: itself for all of them, None for none."""
        if is_wanted.all():
            return self
        rows = np.flatnonzero(is_wanted)
        if not len(rows):
            return None
        flat = _flat_of(self.flat.d, len(rows))
        target = vectors_of(flat)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            target[start : start + _ROWS_AT_ONCE] = self.vectors[rows[start : start + _ROWS_AT_ONCE]]
        return Segment(flat, self.ids[rows], device)


def flat_indexes(
    blocks: Iterable[tuple[ArrayLike, ArrayLike]], *, unit: Iterable[Segment] = (), rows: int = SEGMENT_ROWS
) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    """Flat indexes of at most `rows` vectors with their ids, from blocks of (ids, vectors).

    Each is as large as its vectors; while it is made, float32 copies of some thousand rows are beside it.

    Args:
        blocks: ids (n,) and vectors (n, d) of any norm but zero and any float type, memory-mapped ones included.
        unit: segments whose vectors come first, bit by bit.
        rows: vectors of an index, at most.

    Raises:
        ValueError: If a vector has no direction, ids and vectors are not as many, or dimensions differ.
    """
    held: list[_Piece] = []
    held_rows, dimension = 0, None
    for ids, vectors, is_unit in _pieces(blocks, unit):
        count, dimension = _checked_shape(ids, vectors, dimension)
        for start in range(0, count, rows):
            piece = slice(start, min(start + rows, count))
            if held_rows + (piece.stop - piece.start) > rows:
                yield _joined(held, held_rows)
                held, held_rows = [], 0
            held.append((ids[piece], vectors[piece], is_unit))
            held_rows += piece.stop - piece.start
    if held_rows:
        yield _joined(held, held_rows)


def unit_rows(raw: ArrayLike) -> NDArray[np.float32]:
    """A copy of the rows divided by their norms, which stored float16 rows are only to 5e-4: cosine asks for it."""
    vectors = np.array(raw, dtype=np.float32, order="C")
    if vectors.ndim != 2:
        raise ValueError(f"vectors must be (n, d), got {vectors.shape}")
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    unusable = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if unusable.size:
        raise ValueError(
            f"{unusable.size} of {len(vectors)} vectors have no direction, the first at row {unusable[0]} with norm "
            f"{norms[unusable[0]]}; leave out responses without tokens"
        )
    vectors /= norms[:, None]
    return vectors


def vectors_of(flat: Any) -> NDArray[np.float32]:
    """The vectors (n, d) of a flat index, as they lie in it; it must live as long as they are used."""
    faiss = load_faiss()

    view: NDArray[np.float32] = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
    return view.reshape(flat.ntotal, flat.d)


def _pieces(blocks: Iterable[tuple[ArrayLike, ArrayLike]], unit: Iterable[Segment]) -> Iterator[_Piece]:
    for segment in unit:
        yield segment.ids, segment.vectors, True
    for ids, vectors in blocks:
        yield np.asarray(ids, dtype=np.int64), np.asarray(vectors), False


def _checked_shape(ids: NDArray[np.int64], vectors: NDArray[Any], dimension: int | None) -> tuple[int, int]:
    shape = np.shape(vectors)
    if len(shape) != 2:
        raise ValueError(f"vectors must be (n, d), got {shape}")
    if ids.shape != shape[:1]:
        raise ValueError(f"a block needs one id for each of its {shape[0]} vectors, got {ids.shape}")
    if dimension is not None and shape[1] != dimension:
        raise ValueError(f"a block has {shape[1]} dimensions, the ones before it {dimension}")
    return shape[0], shape[1]


def _joined(held: list[_Piece], count: int) -> tuple[Any, NDArray[np.int64]]:
    """The pieces, which are taken out of the list, as one index, with their ids."""
    flat = _flat_of(held[0][1].shape[1], count)
    target, at, all_ids = vectors_of(flat), 0, list[NDArray[np.int64]]()
    while held:  # each piece is let go once it is read: a mapped one takes memory from then on
        ids, vectors, is_unit = held.pop(0)
        all_ids.append(ids)
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            rows = vectors[start : start + _ROWS_AT_ONCE]
            block = rows if is_unit else unit_rows(rows)
            target[at : at + len(block)] = block
            at += len(block)
    return flat, np.concatenate(all_ids)


def _flat_of(dimension: int, count: int) -> Any:
    """A flat index with room for exactly `count` vectors, to be written into `vectors_of`: `add` would double it."""
    faiss = load_faiss()

    flat = faiss.IndexFlatIP(dimension)
    flat.codes.resize(count * dimension * np.dtype(np.float32).itemsize)
    flat.ntotal = count
    return flat


def _gpu_index(resources: Any, dimension: int) -> Any:
    faiss = load_faiss()

    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = True
    return faiss.GpuIndexFlatIP(resources, dimension, config)


def _usable_gpu(dimension: int) -> Any:
    """The resources of a GPU that searched a probe, or None."""
    faiss = load_faiss()

    if not hasattr(faiss, "GpuIndexFlatIP") or faiss.get_num_gpus() == 0:
        return None
    try:
        resources = faiss.StandardGpuResources()
        index = _gpu_index(resources, dimension)
        probe = np.ones((1, dimension), dtype=np.float32)
        index.add(probe)
        index.search(probe, 1)
    except RuntimeError as error:  # a build without kernels for this GPU: faiss-gpu-cu12 1.13.2 on an H100
        _warn_once(f"vectors are searched on the CPU: faiss cannot use the GPU: {error}")
        return None
    return resources


@cache
def _warn_once(line: str) -> None:
    _log.warning("%s", line)
