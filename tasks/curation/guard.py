"""The guard's step: what is not worth a pair is found in every candidate, and left out of the pairing or marked.

A pure function of the run's candidates, their vectors and the configuration: a run that was killed in it begins it
anew and stores the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from db import embeddings, prompts, responses
from db.embeddings import EmbedderRecord
from db.engine import batches, refresh_statistics
from db.findings import guard_flags
from db.findings.guard_flags import GuardedCandidate, GuardFlag
from models.guard import (
    Finding,
    LanguageReader,
    Sieve,
    is_boilerplate_length,
    least_nearness,
    left_out,
    nearness,
    prompt_counts,
    text_findings,
)
from models.records import StoredPrompt, VectorLocation
from models.selection.similarity import as_float32, group_similarities
from models.vectors import VectorStore
from tasks.config.curation import CurateConfig
from tasks.curation.engines import vector_store
from tasks.progress import Advance, say, stage_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages

Ids = NDArray[np.int64]

_QUERY_BYTES = 2**27  # of float32 vectors that are compared with all candidates in one reading of them
_ROWS = 2_048  # vectors whose prompts' similarities are computed together


@dataclass(frozen=True, slots=True)
class _Embedded:
    """The run's candidates that have a vector, in the order of the pages: 21 bytes each."""

    dimension: int
    ids: Ids
    prompt_ids: Ids
    nearness: NDArray[np.float32]
    may_be_boilerplate: NDArray[np.bool_]


@task(name="guard", task_run_name="guard for run {run_id}", cache_policy=NO_CACHE)
def guard(run_id: int) -> None:
    """Store which rules hold for the run's candidates, and which of them are left out of the pairing."""
    with run_at_work(run_id, CURATION) as run:
        with run.sessions() as session:
            total = prompts.count_run_prompts(session, run_id)
            embedder = embeddings.embedder_of_run(session, run_id)
        stage = _GuardStage(run, embedder, vector_store(embedder.key, run.settings))
        with stage_progress("guard", 2 * total, "prompts, each read twice") as advance:
            stage.run(advance)
        with run.sessions.begin() as session:
            refresh_statistics(session, "guard_flags")
        _tell(run)


class _GuardStage:
    """Reads candidates and vectors, applies the rules, stores what they find; twice over the prompts, page by page."""

    def __init__(self, run: RunAtWork[CurateConfig], embedder: EmbedderRecord, store: VectorStore) -> None:
        self._sessions = run.sessions
        self._run_id = run.run_id
        self._config = run.config
        self._active = run.config.guard.active_rules(run.config.select.scope)
        self._settings = run.settings
        self._embedder = embedder
        self._store = store
        self._reader = LanguageReader()

    def run(self, advance: Advance) -> None:
        embedded = self._embedded(advance)
        least = least_nearness(embedded.nearness)
        counts = self._prompt_counts(embedded)
        done = 0
        for page, candidates in self._pages():
            found = self._text_findings(page, candidates)
            with_vector = [candidate.response_id for candidate in candidates if candidate.shard is not None]
            of_page = slice(done, done + len(with_vector))
            done += len(with_vector)
            near, of_prompts = embedded.nearness[of_page], counts[of_page]
            for at in np.flatnonzero(of_prompts > self._config.guard.boilerplate_prompts).tolist():
                found[with_vector[at]].append(Finding("boilerplate", int(of_prompts[at])))
            for at in [] if least is None else np.flatnonzero(near < least).tolist():
                found[with_vector[at]].append(Finding("outlier", float(near[at])))
            flags = self._flags(candidates, found)
            with self._sessions.begin() as session:
                guard_flags.add_flags(session, self._run_id, flags)
            advance(len(page))

    def _pages(self) -> Iterator[tuple[list[StoredPrompt], list[GuardedCandidate]]]:
        for page in prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE):
            ids = [prompt.id for prompt in page]
            with self._sessions() as session:
                candidates = guard_flags.guarded_candidates(session, self._run_id, self._embedder.id, ids)
            yield page, candidates

    def _embedded(self, advance: Advance) -> _Embedded:
        """The first time over the prompts: how near each candidate is to its prompt's others."""
        ids, prompt_ids, near = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        dimension = 1
        with self._sessions() as session:
            sieve = Sieve(responses.candidate_counts(session, self._run_id).responses)
        for page in prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE):
            locations = self._locations([prompt.id for prompt in page])
            of_prompts = np.array([location.prompt_id for location in locations], np.int64)
            offsets = np.append(np.flatnonzero(np.diff(of_prompts, prepend=-1)), len(of_prompts))
            ids.append(np.array([location.response_id for location in locations], np.int64))
            prompt_ids.append(of_prompts)
            vectors = self._vectors(locations)
            near.append(nearness(vectors, offsets))
            if locations:
                sieve.add(vectors, of_prompts)
                dimension = vectors.shape[1]
            advance(len(page))
        may_be = sieve.may_be_boilerplate(beyond=self._config.guard.boilerplate_prompts)
        return _Embedded(dimension, np.concatenate(ids), np.concatenate(prompt_ids), np.concatenate(near), may_be)

    def _prompt_counts(self, embedded: _Embedded) -> Ids:
        """Under how many prompts of the run each candidate, or a near one, stands; 1 where that is not asked: (n,)."""
        counts = np.ones(len(embedded.ids), np.int64)
        for asked in batches(self._asked(embedded), max(1, _QUERY_BYTES // (4 * embedded.dimension))):
            vectors = self._vectors([location for _, location in asked])
            counts[[place for place, _ in asked]] = prompt_counts(vectors, lambda: self._blocks(embedded))
        return counts

    def _asked(self, embedded: _Embedded) -> Iterator[tuple[int, VectorLocation]]:
        """Where those lie that may be boilerplate and are long enough, each after its place in the order of pages."""
        may_be = np.flatnonzero(embedded.may_be_boilerplate)
        of_whom = embedded.prompt_ids[may_be]
        for prompt_ids in batches(np.unique(of_whom).tolist(), PROMPTS_PER_PAGE):
            places = may_be[np.isin(of_whom, prompt_ids)]
            place_of = dict(zip(embedded.ids[places].tolist(), places.tolist(), strict=True))
            with self._sessions() as session:
                candidates = guard_flags.guarded_candidates(session, self._run_id, self._embedder.id, prompt_ids)
            for one in candidates:
                if one.response_id in place_of and is_boilerplate_length(one.text):
                    yield place_of[one.response_id], _location(one)

    def _blocks(self, embedded: _Embedded) -> Iterator[tuple[NDArray[np.float16], Ids]]:
        """The vectors of all candidates, page by page, and of which prompt each is."""
        for prompt_ids in batches(np.unique(embedded.prompt_ids).tolist(), PROMPTS_PER_PAGE):
            locations = self._locations(prompt_ids)
            yield self._vectors(locations), np.array([location.prompt_id for location in locations], np.int64)

    def _text_findings(
        self, page: Sequence[StoredPrompt], candidates: Sequence[GuardedCandidate]
    ) -> defaultdict[int, list[Finding]]:
        """What the rules on texts find, and the cut ones, by response."""
        of_id = {prompt.id: prompt.prompt for prompt in page}
        found: defaultdict[int, list[Finding]] = defaultdict(list)
        for one in candidates:
            has_vector = one.shard is not None or one.is_left_out  # what is left out before is not embedded
            findings = text_findings(of_id[one.prompt_id], one.text, self._reader, has_vector=has_vector)
            if one.is_cut:
                findings.append(Finding("cut", float(len(one.text))))
            if findings:
                found[one.response_id] = findings
        return found

    def _flags(self, candidates: Sequence[GuardedCandidate], found: Mapping[int, Sequence[Finding]]) -> list[GuardFlag]:
        """A flag for each finding. Left out are those that the active rules leave out, and what cannot be paired."""
        of_prompts = [list(group) for _, group in groupby(candidates, key=lambda candidate: candidate.prompt_id)]
        of_prompts = [group for group in of_prompts if any(one.response_id in found for one in group)]
        is_out = self._is_out(of_prompts, found)
        return [
            GuardFlag(one.response_id, one.prompt_id, finding, is_out[one.response_id] and self._is_why(one, finding))
            for group in of_prompts
            for one in group
            for finding in found.get(one.response_id, ())
        ]

    def _is_out(
        self, of_prompts: Sequence[Sequence[GuardedCandidate]], found: Mapping[int, Sequence[Finding]]
    ) -> dict[int, bool]:
        """Whether the candidates of these prompts are left out, by response."""
        is_out = {one.response_id: one.shard is None for group in of_prompts for one in group}
        paired = [[one for one in group if one.shard is not None] for group in of_prompts]
        for group, similarity in zip(paired, self._similarities(paired), strict=True):
            ids = [one.response_id for one in group]
            findings = [found.get(id_, ()) for id_ in ids]
            is_out |= zip(ids, left_out(findings, similarity, self._active), strict=True)
        return is_out

    def _similarities(self, of_prompts: Sequence[Sequence[GuardedCandidate]]) -> list[NDArray[np.float32] | None]:
        """The (K, K) cosines of each prompt's candidates; None where pairs were made already, or there is no vector."""
        similarities: list[NDArray[np.float32] | None] = [None] * len(of_prompts)
        of_size: defaultdict[int, list[int]] = defaultdict(list)
        for at, group in enumerate(of_prompts if self._config.select.scope != "source_pairs" else ()):
            of_size[len(group)].append(at)
        of_size.pop(0, None)
        for size, places in of_size.items():
            for some in batches(places, max(1, _ROWS // size)):
                vectors = as_float32(self._vectors([one for at in some for one in of_prompts[at]]))
                cosines = group_similarities(vectors.reshape(len(some), size, -1))
                for at, of_one in zip(some, np.moveaxis(cosines, 2, 0), strict=True):
                    similarities[at] = of_one
        return similarities

    def _is_why(self, candidate: GuardedCandidate, finding: Finding) -> bool:
        """Whether this finding is a reason for which a candidate is left out, not only one that is marked beside it."""
        if candidate.is_left_out or candidate.shard is None:
            return finding.rule in ("cut", "empty")
        return finding.rule in self._active

    def _locations(self, prompt_ids: Sequence[int]) -> list[VectorLocation]:
        with self._sessions() as session:
            return embeddings.vector_locations(session, self._run_id, self._embedder.id, prompt_ids, has_guarded=True)

    def _vectors(self, places: Sequence[GuardedCandidate | VectorLocation]) -> NDArray[np.float16]:
        """(n, d); (0, 1) where there is nothing to read."""
        if not places:
            return np.empty((0, 1), dtype=np.float16)
        return self._store.gather([place.shard or "" for place in places], [place.row or 0 for place in places])


def _location(candidate: GuardedCandidate) -> VectorLocation:
    """Where a candidate's vector lies, which has one."""
    return VectorLocation(candidate.prompt_id, candidate.response_id, candidate.shard or "", candidate.row or 0)


def _tell(run: RunAtWork[CurateConfig]) -> None:
    """Say what the guard left out and what it marked, rule by rule."""
    with run.sessions() as session:
        counts = guard_flags.guard_counts(session, run.run_id)
        pair_count = guard_flags.left_out_source_pairs(session, run.run_id)
    if counts.rules:
        pairs = f", with them {pair_count:,} pairs that sources made" if pair_count else ""
        say(f"guard: {counts.words}{pairs}; see the view left_out_candidates, or take all: --guard.none")
