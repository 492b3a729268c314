"""Selected pairs that are nearly labelled: told, and left out if the run says so. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db import runs
from db.engine import as_utc
from db.findings.labelled_pairs import LabelledAlike, LabelledLocation, labelled_locations
from models.labelling.rules import STANDING_RULE
from models.neighbours.labelled import LabelledDifferences
from models.records import Pair, VectorLocation
from models.vectors import BrokenShardError, VectorStore
from tasks.config.curation import CurateConfig
from tasks.progress import say
from tasks.run_kinds import RunAtWork
from tasks.runs import PROMPTS_PER_PAGE


@dataclass(frozen=True, slots=True)
class Kept:
    """The pairs that stay, those that are nearly labelled, and why prompts lost all their pairs: id → reason."""

    pairs: list[Pair]
    alike: list[LabelledAlike]
    reasons: dict[int, str]


class LabelledPairs:
    """The labelled pairs that a run compares its own with: those whose preference stood when the run began.

    Labels that come while it selects, or before it is taken up again, change nothing of it; a preference that changes
    meanwhile counts no more. Pairs whose vectors cannot be read are left out, which is said: they may be another run's.
    """

    def __init__(self, run: RunAtWork[CurateConfig], embedder_id: int, store: VectorStore) -> None:
        """Read them; 4 bytes a component and pair are held."""
        self._select = run.config.select
        self._store = store
        self._keys: list[tuple[int, int]] = []
        self._differences = LabelledDifferences(self._blocks(run, embedder_id))

    def kept(self, pairs: Sequence[Pair], locations: Iterable[VectorLocation]) -> Kept:
        """Tell the pairs that are nearly labelled, and leave them out if the configuration says so.

        Args:
            pairs: what was selected.
            locations: where the vectors of their responses lie, and perhaps of others.
        """
        if not self._keys or not pairs:
            return Kept(list(pairs), [], {})
        places = {location.response_id: location for location in locations}
        different = sorted({(pair.first_response_id, pair.second_response_id) for pair in pairs})
        ids, similarities = self._differences.nearest(
            self._vectors([places[first] for first, _ in different]),
            self._vectors([places[second] for _, second in different]),
        )
        is_alike = (ids >= 0) & (similarities >= self._select.labelled_similarity)
        alike = [
            LabelledAlike(
                prompt_id=places[different[at][0]].prompt_id,
                first_response_id=different[at][0],
                second_response_id=different[at][1],
                labelled_first_id=self._keys[ids[at]][0],
                labelled_second_id=self._keys[ids[at]][1],
                similarity=float(similarities[at]),
                is_left_out=self._select.skips_labelled,
            )
            for at in np.flatnonzero(is_alike)
        ]
        if not self._select.skips_labelled:
            return Kept(list(pairs), alike, {})
        left_out = {(one.first_response_id, one.second_response_id) for one in alike}
        stay = [pair for pair in pairs if (pair.first_response_id, pair.second_response_id) not in left_out]
        lost = {pair.prompt_id for pair in pairs} - {pair.prompt_id for pair in stay}
        return Kept(stay, alike, dict.fromkeys(sorted(lost), "every pair that was selected is nearly labelled already"))

    def _blocks(
        self, run: RunAtWork[CurateConfig], embedder_id: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float16]]]:
        lost = 0
        with run.sessions() as session:
            before = as_utc(runs.get_run(session, run.run_id).started_at)
            blocks = labelled_locations(session, embedder_id, STANDING_RULE, before=before, size=PROMPTS_PER_PAGE)
            for every in blocks:
                readable = self._readable(every)
                block = [one for one in every if {one.first[0], one.second[0]} <= readable]
                lost += len(every) - len(block)
                ids = np.arange(len(self._keys), len(self._keys) + len(block), dtype=np.int64)
                self._keys += [(one.first_response_id, one.second_response_id) for one in block]
                first, second = (
                    self._store.gather([shard for shard, _ in places], [row for _, row in places])
                    for places in ([one.first for one in block], [one.second for one in block])
                )
                if block:
                    yield ids, first, second
        if lost:
            say(f"{lost:,} labelled pairs are compared with none: their vectors cannot be read; antipode vectors check")

    def _readable(self, block: Sequence[LabelledLocation]) -> set[str]:
        """The shards of these pairs that can be read."""
        shards = {shard for one in block for shard, _ in (one.first, one.second)}
        return {shard for shard in shards if self._can_be_read(shard)}

    def _can_be_read(self, shard: str) -> bool:
        try:
            self._store.read_shard(shard)
        except BrokenShardError:
            return False
        return True

    def _vectors(self, locations: Collection[VectorLocation]) -> NDArray[np.float16]:
        return self._store.gather([one.shard for one in locations], [one.row for one in locations])
