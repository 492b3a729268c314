"""Benchmarks among a run's prompts and candidates: by shared words, and by the prompts' embeddings. No Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from db import responses
from db.findings.contaminations import Contamination
from db.prompts import stored_prompts
from models.embedding import EmbeddingRequest
from models.neighbours.benchmark_files import Benchmark
from models.neighbours.groups import PromptIndex
from models.neighbours.overlaps import GramTable, Overlap, OverlapSearch
from models.neighbours.words import quoted
from models.prompting import without_system_message
from models.records import shortened, storable
from tasks.config.curation import CurateConfig
from tasks.curation.benchmarks import count_benchmark_prompts, open_benchmarks
from tasks.curation.engines import embedder_gpus, find_embedder, make_embedder
from tasks.devices import device
from tasks.progress import Advance, stage_progress
from tasks.run_kinds import RunAtWork
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages

SHOWN_TEXT = 300  # characters of what is shared that are stored

Item = TypeVar("Item")


def contaminations(run: RunAtWork[CurateConfig], index: PromptIndex, total: int) -> list[Contamination]:
    """What of the run is in its benchmarks: of each prompt, kind and file the clearest place.

    Raises:
        SourceError: If a file cannot be read to its end.
    """
    benchmarks = open_benchmarks(run.config)
    if not benchmarks:
        return []
    with stage_progress("check prompts", total, "prompts against benchmarks") as advance:
        found = _by_words(run, benchmarks, advance)
    return found + _by_embedding(run, index, benchmarks)


def _by_words(run: RunAtWork[CurateConfig], benchmarks: Sequence[Benchmark], advance: Advance) -> list[Contamination]:
    search = OverlapSearch([GramTable.of(benchmark.lines()) for benchmark in benchmarks])
    for page in prompt_pages(run.sessions, run.run_id, PROMPTS_PER_PAGE):
        with run.sessions() as session:
            candidates = responses.candidate_texts(session, run.run_id, [prompt.id for prompt in page])
        for one in page:
            search.add(without_system_message(one.prompt).text, one.id)
            for response_id, text in candidates.get(one.id, ()):
                search.add(text, one.id, response_id)
        advance(len(page))
    clearest: dict[tuple[int, str, int], Overlap] = {}
    for overlap in search.overlaps():  # by response id: the first of equals stays
        key = (overlap.prompt_id, "prompt" if overlap.response_id is None else "response", overlap.file)
        if key not in clearest or overlap.share > clearest[key].share:
            clearest[key] = overlap
    return list(_told(run, benchmarks, list(clearest.values())))


def _told(
    run: RunAtWork[CurateConfig], benchmarks: Sequence[Benchmark], overlaps: Sequence[Overlap]
) -> Iterator[Contamination]:
    """The overlaps with what is shared, as it is written in the run's own text."""
    for page in _pages(overlaps, PROMPTS_PER_PAGE):
        with run.sessions() as session:
            prompts = {one.id: one.prompt for one in stored_prompts(session, sorted({one.prompt_id for one in page}))}
            ids = [one.response_id for one in page if one.response_id is not None]
            texts = responses.shown_responses(session, ids)
        for one in page:
            text = (
                without_system_message(prompts[one.prompt_id]).text
                if one.response_id is None
                else texts[one.response_id][1]
            )
            yield Contamination(
                prompt_id=one.prompt_id,
                kind="prompt" if one.response_id is None else "response",
                file=benchmarks[one.file].file,
                line=one.line,
                value=one.share,
                text=shortened(quoted(text, one.first_word, one.word_count), SHOWN_TEXT),
                response_id=one.response_id,
            )


def _by_embedding(
    run: RunAtWork[CurateConfig], index: PromptIndex, benchmarks: Sequence[Benchmark]
) -> list[Contamination]:
    """Prompts near a benchmark's, which the run's own embedder reads; a batch of it at a time."""
    if not len(index):
        return []
    _, local_model = find_embedder(run.sessions, run.config, run.settings)
    nearest: dict[tuple[int, str], Contamination] = {}
    total = count_benchmark_prompts(run.config)
    with (
        device(is_used=local_model is not None, is_shared_out=True, gpus=embedder_gpus(run.config)) as backends,
        stage_progress("check prompts", total, "prompts of benchmarks embedded") as advance,
        closing(make_embedder(run.config, local_model, run.settings, backends)) as embedder,
    ):

        def vectors_of(texts: Sequence[str]) -> NDArray[np.float32]:
            embedded = embedder.embed([EmbeddingRequest(None, text) for text in texts]).vectors
            advance(len(texts))
            return embedded

        for benchmark in benchmarks:
            _look_near(nearest, index, benchmark, run.config, vectors_of)
    return list(nearest.values())


def _look_near(
    nearest: dict[tuple[int, str], Contamination],
    index: PromptIndex,
    benchmark: Benchmark,
    config: CurateConfig,
    vectors_of: Callable[[Sequence[str]], NDArray[np.float32]],
) -> None:
    """Keep each prompt's nearest of a file's prompts, the first of equals, where it is near enough."""
    asked = ((line.line, line.prompt) for line in benchmark.lines() if line.prompt is not None)
    for page in _pages(asked, config.embed.responses_per_shard):
        vectors = vectors_of([text for _, text in page])
        rows = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1))
        found = [
            (int(prompt_id), *page[rows[near.row]], float(similarity))
            for near in index.near(vectors[rows], config.contamination.similarity)
            for prompt_id, similarity in zip(near.ids, near.similarities, strict=True)
        ]
        for prompt_id, line, text, similarity in sorted(found):
            key = (prompt_id, benchmark.file)
            if key not in nearest or similarity > nearest[key].value:
                shown = storable(shortened(text, SHOWN_TEXT))
                nearest[key] = Contamination(prompt_id, "similar", benchmark.file, line, similarity, shown)


def _pages(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    waiting = iter(items)
    while page := list(islice(waiting, size)):
        yield page
