"""The selection step: vectors in, pairs of each prompt and strategy out (or a share of the pairs that sources made)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from db import embeddings, pairs, prompts, responses, runs
from db.embeddings import EmbedderRecord
from db.engine import Session, refresh_statistics
from db.findings.labelled_pairs import store_labelled_alike
from db.findings.prompts import left_out_prompts
from db.labels import standing
from models.head import MIN_LABELS
from models.labelling.records import PairKey
from models.records import Pair, VectorLocation
from models.selection import (
    MAX_CANDIDATES,
    Margins,
    Reason,
    SelectedPairs,
    StrategyError,
    StrategyRule,
    correlation_of_pairs,
    mean_correlation,
    pair_similarities,
    rank_pairs,
    select_several,
)
from models.vectors import VectorStore
from tasks.config.curation import CurateConfig
from tasks.curation.drawing import draw_prompts, undrawn_prompts
from tasks.curation.engines import vector_store
from tasks.curation.heads import head_of
from tasks.curation.labelled_pairs import LabelledPairs
from tasks.curation.strategies import reading_labels, rules_at_work
from tasks.errors import StrategyFailedError
from tasks.progress import Advance, say, stage_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages
from tasks.settings import Settings

Correlations = NDArray[np.float64]


@task(name="select", task_run_name="select for run {run_id}", cache_policy=NO_CACHE)
def select(run_id: int) -> None:
    """Select the run's pairs by each strategy; store them, and for each prompt without a pair the reason.

    Raises:
        StrategyFailedError: If a user's own strategy fails; the run can be taken up once it does not.
        StrategyChangedError: If the code of one changed since the run was opened.
    """
    with run_at_work(run_id, CURATION) as run:
        with run.sessions() as session:
            total = prompts.count_run_prompts(session, run_id)
            embedder = embeddings.embedder_of_run(session, run_id)
            rules = rules_at_work(session, run_id)
            has_margins = run.config.select.scope == "prompt"  # pairs that sources made are ranked without a head
            margins = _margins(session, rules, embedder, run.settings) if has_margins else None
        store = vector_store(embedder.key, run.settings)
        stage = _SelectionStage(run, embedder.id, store, rules=rules, margins=margins)
        with stage_progress("select", total, "prompts") as advance:
            if run.config.select.scope == "prompt":
                draw_prompts(run, embedder)
                stage.run_per_prompt(advance)
            else:
                stage.run_over_source_pairs()
                advance(total)
        with run.sessions.begin() as session:
            refresh_statistics(session, "pairs")


@dataclass(frozen=True, slots=True)
class _Page:
    """What selection reads of a page of prompts: where vectors lie, lengths by response id, pairs with a preference."""

    locations: list[VectorLocation]
    lengths: Mapping[int, int]
    labelled: Collection[PairKey]


class _SelectionStage:
    """Reads where vectors lie, selects, stores."""

    def __init__(
        self,
        run: RunAtWork[CurateConfig],
        embedder_id: int,
        store: VectorStore,
        *,
        rules: Mapping[str, StrategyRule],
        margins: Margins | None,
    ) -> None:
        self._sessions = run.sessions
        self._run_id = run.run_id
        self._config = run.config
        self._embedder_id = embedder_id
        self._store = store
        self._labelled = LabelledPairs(run, embedder_id, store)
        self._rules = rules
        self._margins = margins
        self._reading_labels = reading_labels(rules)

    def run_per_prompt(self, advance: Advance) -> None:
        """Select the pairs of each prompt and strategy, a page of prompts at a time (REAL's SHP-2 setting)."""
        correlations = [np.empty(0)]
        for page in prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE):
            ids = [prompt.id for prompt in page]
            with self._sessions() as session:
                left_out = left_out_prompts(session, self._run_id, ids)
                unread = left_out.keys() | undrawn_prompts(session, self._run_id, ids)
                ids = [id_ for id_ in ids if id_ not in unread]
                read = self._read(session, ids)
                short = responses.prompts_left_short(session, self._run_id, ids)
            selected, reasons, page_correlations = self._select_for(ids, read)
            reasons |= {id_: f"{reasons[id_]}, others were cut at max_tokens" for id_ in short & reasons.keys()}
            correlations.append(page_correlations)
            kept = self._labelled.kept(selected, read.locations)
            with self._sessions.begin() as session:
                pairs.add_pairs(session, self._run_id, self._without_settled(session, kept.pairs))
                store_labelled_alike(session, self._run_id, kept.alike)
                runs.set_skipped(session, self._run_id, reasons | left_out | kept.reasons)
                # A prompt that was too long for a generator may have a pair of other responses.
                runs.clear_skipped(session, self._run_id, sorted({pair.prompt_id for pair in kept.pairs}))
            advance(len(page))
        with self._sessions.begin() as session:
            runs.set_length_correlation(session, self._run_id, mean_correlation(np.concatenate(correlations)))

    def _read(self, session: Session, prompt_ids: Sequence[int]) -> _Page:
        locations = embeddings.vector_locations(session, self._run_id, self._embedder_id, prompt_ids)
        ids = [location.response_id for location in locations]
        labelled = standing.pairs_with_preference(session, ids) if self._reading_labels else ()
        return _Page(locations, responses.text_lengths(session, ids), labelled)

    def _without_settled(self, session: Session, selected: Sequence[Pair]) -> list[Pair]:
        """The pairs without those of strategies that read labels, where the run has theirs already.

        A run that is taken up after labels came would else choose a second pair for a prompt.
        """
        if not self._reading_labels:
            return list(selected)
        prompt_ids = sorted({pair.prompt_id for pair in selected})
        settled = pairs.prompts_with_pairs(session, self._run_id, self._reading_labels, prompt_ids)
        return [pair for pair in selected if (pair.strategy, pair.prompt_id) not in settled]

    def run_over_source_pairs(self) -> None:
        """Rank all pairs of the sources; each strategy selects its share (REAL's HH-RLHF setting)."""
        with self._sessions() as session:
            located = pairs.source_pair_locations(session, self._run_id, self._embedder_id)
            left_out = left_out_prompts(session, self._run_id, sorted({pair.first.prompt_id for pair in located}))
            located = [pair for pair in located if pair.first.prompt_id not in left_out]
            ids = {location.response_id for pair in located for location in (pair.first, pair.second)}
            of_text = responses.text_lengths(session, sorted(ids))
        lengths = np.array(
            [(of_text[pair.first.response_id], of_text[pair.second.response_id]) for pair in located], dtype=np.int64
        ).reshape(-1, 2)
        prompt_ids = np.array([pair.first.prompt_id for pair in located], dtype=np.int64)
        similarity = self._similarities([(pair.first, pair.second) for pair in located])
        selected = []
        for strategy, rule in self._rules.items():
            with _failing_on(prompt_ids):
                positions = rank_pairs(
                    similarity,
                    strategy=rule,
                    share=self._config.select.share,
                    seed=self._config.seed,
                    lengths=lengths,
                )
            selected += [
                Pair(
                    strategy=strategy,
                    prompt_id=located[at].first.prompt_id,
                    first_response_id=located[at].first.response_id,
                    second_response_id=located[at].second.response_id,
                    similarity=float(similarity[at]),
                    rank=1,
                    pair_count=1,
                )
                for at in positions
            ]
        kept = self._labelled.kept(selected, (one for pair in located for one in (pair.first, pair.second)))
        with self._sessions.begin() as session:
            pairs.add_pairs(session, self._run_id, kept.pairs)
            store_labelled_alike(session, self._run_id, kept.alike)
            correlation = correlation_of_pairs(similarity, np.abs(lengths[:, 0] - lengths[:, 1]), prompt_ids)
            runs.set_length_correlation(session, self._run_id, correlation)
        why = dict.fromkeys(pair.first.prompt_id for pair in located) | left_out | kept.reasons
        for page in prompt_pages(self._sessions, self._run_id, PROMPTS_PER_PAGE):
            told = {prompt.id: why.get(prompt.id, "no source pair of two different texts") for prompt in page}
            reasons = {id_: reason for id_, reason in told.items() if reason is not None}
            with self._sessions.begin() as session:
                runs.set_skipped(session, self._run_id, reasons)

    def _select_for(self, prompt_ids: Sequence[int], page: _Page) -> tuple[list[Pair], dict[int, str], Correlations]:
        """The pairs, why prompts have none, and each prompt's correlation of similarity and length gap."""
        sizes = Counter(location.prompt_id for location in page.locations)
        reasons = {
            prompt_id: f"has {size} different responses, selection takes {MAX_CANDIDATES} at most"
            for prompt_id, size in sizes.items()
            if size > MAX_CANDIDATES
        }
        locations = [location for location in page.locations if location.prompt_id not in reasons]
        prompt_ids = [prompt_id for prompt_id in prompt_ids if prompt_id not in reasons]
        offsets = np.cumsum([0, *(sizes[prompt_id] for prompt_id in prompt_ids)], dtype=np.int64)
        rows = {location.response_id: row for row, location in enumerate(locations)}
        labelled = [(rows[first], rows[second]) for first, second in page.labelled if {first, second} <= rows.keys()]
        with _failing_on(prompt_ids):
            selection = select_several(
                self._vectors(locations),
                offsets,
                strategies=list(self._rules.values()),
                count=self._config.select.pairs_per_prompt,
                is_disjoint=self._config.select.pairs_are_disjoint,
                seed=self._config.seed,
                lengths=np.array([page.lengths[location.response_id] for location in locations], dtype=np.int64),
                head=self._margins,
                labelled=np.array(labelled, dtype=np.int64).reshape(-1, 2),
            )
        selected: list[Pair] = []
        for strategy, turns in selection.turns.items():
            for result in turns:
                selected += _to_pairs(result, strategy, prompt_ids, locations)
            reasons |= {
                prompt_ids[group]: f"needs 2 different responses: {Reason(turns[0].reason[group]).text}"
                for group in np.flatnonzero(~turns[0].has_pair)
            }
        assert selection.length_correlations is not None  # lengths were given
        return selected, reasons, selection.length_correlations

    def _similarities(self, located: list[tuple[VectorLocation, VectorLocation]]) -> NDArray[np.float32]:
        similarity = np.empty(len(located), dtype=np.float32)
        for start in range(0, len(located), PROMPTS_PER_PAGE):
            part = located[start : start + PROMPTS_PER_PAGE]
            vectors = self._vectors([pair[0] for pair in part] + [pair[1] for pair in part])
            rows = np.arange(len(part))
            similarity[start : start + len(part)] = pair_similarities(vectors, rows, rows + len(part))
        return similarity

    def _vectors(self, locations: Sequence[VectorLocation]) -> NDArray[np.float16]:
        """(n, d); (0, 1) where there is nothing to read, since selection wants a dimension."""
        if not locations:
            return np.empty((0, 1), dtype=np.float16)
        return self._store.gather([location.shard for location in locations], [location.row for location in locations])


def _margins(
    session: Session, rules: Mapping[str, StrategyRule], embedder: EmbedderRecord, settings: Settings
) -> Margins | None:
    """What the labels so far say of pairs, for the strategies that ask; none below 25 of this embedder's."""
    asking = ", ".join(rule.name for rule in rules.values() if {"margins", "deviations"} & set(rule.asks))
    if not asking:
        return None
    head = head_of(session, embedder, settings)
    if head is None:
        say(f"{asking}: fewer than {MIN_LABELS} labels on pairs of this embedder, nothing is learnt yet")
        return None
    say(f"{asking}: learnt from {head.label_count:,} labels")
    return head.margins


@contextmanager
def _failing_on(prompt_ids: Sequence[int] | NDArray[np.int64]) -> Iterator[None]:
    """Name the prompt that a strategy failed on, whose group has the place of its id."""
    try:
        yield
    except StrategyError as error:
        prompt_id = prompt_ids[error.group]
        raise StrategyFailedError(f"strategy {error.strategy} failed on prompt {prompt_id}: {error.problem}") from error


def _to_pairs(
    result: SelectedPairs, strategy: str, prompt_ids: Sequence[int], locations: list[VectorLocation]
) -> list[Pair]:
    return [
        Pair(
            strategy=strategy,
            prompt_id=prompt_ids[group],
            first_response_id=locations[result.first[group]].response_id,
            second_response_id=locations[result.second[group]].response_id,
            similarity=float(result.similarity[group]),
            rank=int(result.rank[group]),
            pair_count=int(result.pair_count[group]),
        )
        for group in np.flatnonzero(result.has_pair)
    ]
