"""Selection of embeddings that lie on a GPU: there where a kernel knows the rule, elsewhere by way of the host.

easy, hard and, up to 16 candidates, centroid, one pair each, have kernels (`models.selection.gpu_kernels`); they
give what the host gives, but for rounding at the edge of a tie. All else is copied there, where every rule is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.selection.blocks import Lengths, group_bounds
from models.selection.records import Reason, SelectedPairs, nothing_selected
from models.selection.similarity import TOLERANCE, Floats

if TYPE_CHECKING:
    from torch import Tensor

EASY_AND_HARD = ("easy", "hard")
GATHERED_BYTES = 1 << 30  # rows of groups that are no neighbours, copied at a time
OnHost = Callable[[Floats, NDArray[np.integer]], SelectedPairs]


def select_tensors(
    embeddings: Tensor, offsets: NDArray[np.integer], strategies: Sequence[str], *, centroid: OnHost
) -> dict[str, SelectedPairs]:
    """One pair a group by easy, hard or centroid, as `select_pairs`.

    Args:
        embeddings: (n, d) float16, bfloat16 or float32 on a CUDA device.
        offsets: (g + 1,) as `select_several`.
        strategies: of easy, hard, centroid.
        centroid: the host's, from rows and offsets: for groups that the kernel does not take.

    Raises:
        ValueError: as `select_several`.
    """
    if embeddings.ndim != 2 or not embeddings.shape[1]:
        raise ValueError(f"embeddings must be (n, d) with d >= 1, got shape {tuple(embeddings.shape)}")
    starts, sizes = group_bounds(offsets, row_count=len(embeddings))
    found = {name: nothing_selected(sizes) for name in strategies}
    for groups, rows in _blocks(embeddings, starts, sizes):
        for name, part in _of_block(rows, strategies, centroid).items():
            _write(found[name], part, groups, starts[groups])
    return found


def has_kernels(embeddings: Tensor, strategies: Sequence[str]) -> bool:
    """Whether the rows are where kernels run and of a kind they take, and every strategy is one they know."""
    import torch

    dtypes = (torch.float16, torch.bfloat16, torch.float32)
    return (
        embeddings.is_cuda
        and embeddings.dtype in dtypes
        and all(name in (*EASY_AND_HARD, "centroid") for name in strategies)
    )


def as_array(embeddings: Tensor) -> Floats:
    """The rows on the host, those of a CPU tensor without a copy; bfloat16, which NumPy lacks, as float32."""
    import torch

    rows: Floats = (embeddings.float() if embeddings.dtype == torch.bfloat16 else embeddings).detach().cpu().numpy()
    return rows


def _blocks(embeddings: Tensor, starts: Lengths, sizes: Lengths) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
    """Groups of one size, two candidates or more, and their rows (b, K, d): a view where they are neighbours."""
    import torch

    dimension = embeddings.shape[1]
    for size in map(int, np.unique(sizes[sizes >= 2])):
        groups = np.flatnonzero(sizes == size)
        if starts[groups[-1]] - starts[groups[0]] == (len(groups) - 1) * size:
            first = int(starts[groups[0]])
            rows = embeddings[first : first + len(groups) * size]
            yield groups, rows.contiguous().view(len(groups), size, dimension)
            continue
        step = max(1, GATHERED_BYTES // (size * dimension * embeddings.element_size()))
        for begin in range(0, len(groups), step):
            part = groups[begin : begin + step]
            places = torch.from_numpy(starts[part, None] + np.arange(size)).to(embeddings.device)
            yield part, embeddings[places]


def _of_block(rows: Tensor, strategies: Sequence[str], centroid: OnHost) -> dict[str, SelectedPairs]:
    """Candidates count within their group."""
    from models.selection.gpu_kernels import LARGEST_SPLIT, pick, split

    groups, size, _ = rows.shape
    splits = "centroid" in strategies and size <= LARGEST_SPLIT
    picks, cosines, counts, matrices = pick(rows, keeps_cosines=splits)
    usable, pair_count = counts.cpu().numpy()
    found = {
        name: _selected(picks[turn].cpu().numpy(), cosines[turn].cpu().numpy(), usable, pair_count, size)
        for turn, name in enumerate(EASY_AND_HARD)
    }
    if matrices is not None:
        central, central_cosines = (values.cpu().numpy() for values in split(matrices))
        # Two central ones that are no valid pair, and groups with a candidate that is not usable: rare.
        is_sure = (usable == size) & (central_cosines < 1 - TOLERANCE)
        found["centroid"] = _selected(central, central_cosines, usable, np.where(is_sure, pair_count, 0), size)
        _fill(found["centroid"], rows, np.flatnonzero(~is_sure), centroid)
    elif "centroid" in strategies:
        found["centroid"] = nothing_selected(np.full(groups, size, np.int64))
        _fill(found["centroid"], rows, np.arange(groups), centroid)
    return {name: found[name] for name in strategies}


def _fill(selected: SelectedPairs, rows: Tensor, groups: NDArray[np.intp], on_host: OnHost) -> None:
    """Select some groups of a block on the host."""
    import torch

    size = rows.shape[1]
    step = max(1, GATHERED_BYTES // rows[0].nbytes)
    for start in range(0, len(groups), step):
        part = groups[start : start + step]
        own = rows[torch.from_numpy(part).to(rows.device)].flatten(0, 1)
        _write(selected, on_host(as_array(own), np.arange(0, len(own) + 1, size)), part, -size * np.arange(len(part)))


def _write(into: SelectedPairs, part: SelectedPairs, groups: NDArray[np.intp], shifts: Lengths) -> None:
    """Set some groups, their row numbers shifted."""
    into.first[groups] = np.where(part.has_pair, part.first + shifts, -1)
    into.second[groups] = np.where(part.has_pair, part.second + shifts, -1)
    for name in ("similarity", "reason", "rank", "pair_count"):
        getattr(into, name)[groups] = getattr(part, name)


def _selected(
    picks: NDArray[np.int32],
    cosines: NDArray[np.float32],
    usable: NDArray[np.int32],
    pair_count: NDArray[np.int32],
    size: int,
) -> SelectedPairs:
    """What kernels give, candidates counted within their group."""
    has_pair = pair_count > 0
    nothing = np.select(
        [usable == 0, usable == 1], [Reason.NO_USABLE_EMBEDDING, Reason.ONE_USABLE_EMBEDDING], Reason.ALL_IDENTICAL
    )
    return SelectedPairs(
        first=np.where(has_pair, picks[0], -1).astype(np.int64),
        second=np.where(has_pair, picks[1], -1).astype(np.int64),
        similarity=np.where(has_pair, np.maximum(cosines, -1), np.nan).astype(np.float32),
        reason=np.where(has_pair, Reason.PAIR_CHOSEN, nothing).astype(np.uint8),
        rank=np.where(has_pair, picks[2], 0).astype(np.int32),
        pair_count=pair_count.astype(np.int32),
    )
