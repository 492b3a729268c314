"""A million responses with given vectors: imported, indexed, checked, selected, and read page by page.

python -m bench.million                        (125,000 prompts × 8 responses, d = 768; needs 12 GB of disk)
python -m bench.million --prompts 2000         (in a minute)
python -m bench.million --postgresql postgresql://…    (that one too, after SQLite)

Prints the figures and writes bench/million.json, by the kind of database. No embedder reads vectors from a file, so
they are stored as the embedding step stores them: through the vector store, 4,096 a shard, under the identity of
feature hashing, and the curation then finds everything embedded. A prompt's vectors lie around its own direction, and
prompts around 1,000 subjects. CPU seconds are this process's, and apart those of a PostgreSQL server, which must be on
this machine; memory is the most this process had in a stage, pages of mapped files included. The guard, which reads
every text, comes last, so that pairs are selected from all candidates; what was measured before it is written before
it. OMP_NUM_THREADS=1 makes it one thread. The PostgreSQL database is emptied: give one of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, select, text

from bench.database import WORDS, emptied, server_s
from bench.machine import machine_words
from db import embeddings, pairs, runs
from db.engine import Session, Sessions, make_engine, make_session_factory
from db.labels import judgements, labelling, queues
from db.schema import curation
from flows.processes.collection import rarely_collect
from models.labelling.records import AnnotatorIdentity
from tasks.config.curation import CurateConfig
from tasks.config.exchange import ImportConfig
from tasks.curation.embedding import embed
from tasks.curation.engines import hashed_identity, vector_store
from tasks.curation.generation import generate
from tasks.curation.guard import guard
from tasks.curation.index import index
from tasks.curation.ingestion import import_source
from tasks.curation.opening import open_run
from tasks.curation.prompt_checks import check_prompts
from tasks.curation.selection import select as select_pairs
from tasks.curation.similar import similar_responses
from tasks.reports.run_publishing import publish
from tasks.settings import Settings

RESULTS = Path(__file__).with_suffix(".json")
RESPONSES, DIMENSION, SUBJECTS, ROWS_A_SHARD = 8, 768, 1_000, 4_096
REPEATS, COMMAND_REPEATS = 20, 5
LATER = "run_id = :run AND strategy = 'hard' AND prompt_id > :prompt ORDER BY prompt_id, pair_id"
MACHINE = {
    "machine": machine_words(),
    "versions": f"Python {platform.python_version()}, numpy {np.__version__}, faiss {version('faiss-cpu')}",
}

Figures = dict[str, float]
Question = Callable[[], Any]


def measure(folder: Path, prompt_count: int, url: str) -> Iterator[dict[str, Any]]:
    """All stages but the guard, one after the other, in this process, then the questions; once more with the guard."""
    os.environ["ANTIPODE_ARTIFACT_ROOT"] = str(folder / "artifacts")
    os.environ["ANTIPODE_DATABASE_URL"] = url
    settings, source = Settings(), folder / "source.jsonl"
    _write_source(source, prompt_count)
    engine = emptied(url)
    sessions, stages = make_session_factory(engine), Stages(engine)
    config = CurateConfig.model_validate({"embed": {"backend": "hashed"}, "generate": {"when": "never"}})
    stages.measure("import", lambda: import_source(str(source), ImportConfig(), settings))
    source.unlink()
    run_id = stages.measure("open", lambda: open_run.fn(config))
    stages.measure("candidates", lambda: generate.fn(run_id))
    stages.measure("vectors", lambda: _store_vectors(sessions, config, settings))
    for step in (embed, index, check_prompts, select_pairs, publish):
        stages.measure(str(step.name), partial(step.fn, run_id))
    stages.measure("completion", lambda: _complete(sessions, run_id))
    queue_id, annotator_id = stages.measure("queue", lambda: _open_queue(sessions, run_id))
    served = make_session_factory(make_engine(url, keeps_connections=True))
    pages = _milliseconds(_page_questions(served, run_id, queue_id, annotator_id), REPEATS)
    commands = _milliseconds(_command_questions(sessions, settings), COMMAND_REPEATS)
    figures = {
        "prompts": prompt_count,
        "stages": stages.figures,
        "pages_ms": pages,
        "slowest_page_ms": max(times["median"] for times in pages.values()),
        "commands_ms": commands,
        "runs_ms": commands["antipode runs"]["median"],
        "disk_bytes": _disk(folder, engine),
    }
    yield figures
    stages.measure("guard", lambda: guard.fn(run_id))
    yield figures


class Stages:
    """What each stage took: CPU seconds of this process and of a PostgreSQL server, wall seconds, the most memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.figures: dict[str, Figures] = {}

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work; keep what it took, and print it."""
        server = server_s(self._engine)
        Path("/proc/self/clear_refs").write_text("5")  # the most memory begins anew
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "peak_mb": _peak_mb()}
        if self._engine.dialect.name == "postgresql":
            figures["server_cpu_s"] = server_s(self._engine) - server
        self.figures[name] = figures
        print(f"{name:16} " + "  ".join(f"{unit} {value:10,.1f}" for unit, value in figures.items()), flush=True)
        return result


def _store_vectors(sessions: Sessions, config: CurateConfig, settings: Settings) -> None:
    """Given vectors of all responses and prompts, written and recorded as the embedding step does."""
    identity = hashed_identity(config)
    rng = np.random.default_rng(0)
    subjects = rng.standard_normal((SUBJECTS, DIMENSION), dtype=np.float32)
    of_responses, of_prompts = (vector_store(identity.key, settings, of) for of in ("responses", "prompts"))
    with sessions.begin() as session:
        embedder_id = embeddings.ensure_embedder(session, identity)
    for ids, response_ids in _ids(sessions):
        directions = subjects[rng.integers(0, SUBJECTS, len(ids))] + _noise(rng, len(ids))
        shard = of_prompts.write_shard(ids, directions)
        own = np.repeat(directions, RESPONSES, axis=0) + _noise(rng, len(response_ids))
        with sessions.begin() as session:
            places = ((id_, shard, row, 8, False) for row, id_ in enumerate(ids))
            embeddings.add_prompt_embeddings(
                session, embedder_id, [embeddings.NewPromptEmbedding(*place) for place in places]
            )
        for start in range(0, len(response_ids), ROWS_A_SHARD):
            some = response_ids[start : start + ROWS_A_SHARD]
            shard = of_responses.write_shard(some, own[start : start + ROWS_A_SHARD])
            places = ((id_, shard, row, 30, False) for row, id_ in enumerate(some))
            with sessions.begin() as session:
                embeddings.add_embeddings(session, embedder_id, [embeddings.NewEmbedding(*place) for place in places])


def _ids(sessions: Sessions) -> Iterator[tuple[list[int], list[int]]]:
    """Ids of prompts, a shard's at a time, with those of their responses, eight a prompt."""
    after = 0
    while True:
        with sessions() as session:
            prompt_ids = list(
                session.scalars(
                    select(curation.Prompt.id)
                    .where(curation.Prompt.id > after)
                    .order_by(curation.Prompt.id)
                    .limit(ROWS_A_SHARD)
                )
            )
            if not prompt_ids:
                return
            after = prompt_ids[-1]
            of_page = curation.Response.prompt_id.between(prompt_ids[0], after)
            query = select(curation.Response.id).where(of_page)
            response_ids = list(session.scalars(query.order_by(curation.Response.prompt_id, curation.Response.id)))
        yield prompt_ids, response_ids


def _noise(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    return rng.standard_normal((count, DIMENSION), dtype=np.float32)


def _complete(sessions: Sessions, run_id: int) -> None:
    with sessions.begin() as session:
        runs.set_status(session, run_id, runs.COMPLETED)


def _open_queue(sessions: Sessions, run_id: int) -> tuple[int, int]:
    with sessions.begin() as session:
        keys = labelling.pair_keys(session, run_id)
        queue_id = queues.open_queue(session, name="bench", pairs=keys, judgements_per_pair=1, seed=0)
        return queue_id, judgements.add_annotator(session, AnnotatorIdentity("person", "ada"))


def _page_questions(sessions: Sessions, run_id: int, queue_id: int, annotator_id: int) -> dict[str, Question]:
    """What pages ask, each time about something else."""
    with sessions() as session:
        first, last = session.execute(text("SELECT min(id), max(id) FROM pairs")).one()
        prompt_ids = list(session.scalars(select(curation.Prompt.id).order_by(curation.Prompt.id)))
    rng = random.Random(0)

    def within(ask: Callable[[Session], Any]) -> Question:
        def question() -> None:
            with sessions.begin() as session:
                ask(session)

        return question

    def view(where_and_order: str, values: Callable[[], dict[str, int]]) -> Question:
        query = text(f"SELECT * FROM selected_pairs WHERE {where_and_order} LIMIT 20")
        return within(lambda session: session.execute(query, values()).all())

    def next_pair(session: Session) -> None:
        queues.take_next(session, queue_id, annotator_id, now=datetime.now(UTC), lease_s=600)
        queues.queue_progress(session, queue_id, annotator_id)

    def some_prompt() -> dict[str, int]:
        return {"run": run_id, "prompt": rng.choice(prompt_ids)}

    return {
        "first page of pairs": within(lambda session: list(pairs.selected_pairs(session, run_id, limit=20))),
        "a strategy's first page": within(
            lambda session: list(pairs.selected_pairs(session, run_id, strategy="hard", limit=20))
        ),
        "a later page": view(LATER, some_prompt),
        "a prompt's pairs": view("run_id = :run AND prompt_id = :prompt ORDER BY pair_id", some_prompt),
        "one pair": view("pair_id = :pair", lambda: {"pair": rng.randint(first, last)}),
        "labelling page: list of queues": within(queues.list_queues),
        "labelling page: next pair": within(next_pair),
    }


def _command_questions(sessions: Sessions, settings: Settings) -> dict[str, Question]:
    """What commands ask beside their start."""
    with sessions() as session:
        response_ids = cycle(session.scalars(select(curation.Pair.first_response_id).limit(COMMAND_REPEATS)).all())

    def list_runs() -> None:
        with sessions() as session:
            runs.summaries(session)

    return {
        "antipode similar": lambda: similar_responses(next(response_ids), 10, settings),
        "antipode runs": list_runs,
    }


def _milliseconds(questions: dict[str, Question], repeats: int) -> dict[str, Figures]:
    found: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(repeats):
        for name, ask in questions.items():
            begun = time.perf_counter()
            ask()
            found[name].append(1000 * (time.perf_counter() - begun))
    return {name: {"median": median(times), "most": max(times)} for name, times in found.items()}


def _disk(folder: Path, engine: Engine) -> dict[str, int]:
    disk = {name: _bytes(folder / "artifacts" / name) for name in ("vectors", "prompt_vectors", "indexes")}
    if engine.dialect.name == "sqlite":
        database = Path(engine.url.database or "")
        return disk | {"database": sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))}
    with engine.connect() as connection:
        return disk | {"database": connection.scalar(text("SELECT pg_database_size(current_database())"))}


def _write_source(path: Path, prompt_count: int) -> None:
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(prompt_count):
            responses = [f"{' '.join(rng.choices(WORDS, k=30))} {number}.{at}" for at in range(RESPONSES)]
            prompt = f"{' '.join(rng.choices(WORDS, k=12))} {number}?"
            file.write(json.dumps({"prompt": prompt, "responses": responses}) + "\n")


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=125_000)
    parser.add_argument("--postgresql", help="URL of a database to be emptied")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.only == "postgresql" and arguments.postgresql is None:
        parser.error("--only postgresql needs a database: --postgresql postgresql://…")
    rarely_collect()  # as a command does
    for kind in ("sqlite", "postgresql"):
        if arguments.only not in (None, kind) or (kind == "postgresql" and arguments.postgresql is None):
            continue
        with tempfile.TemporaryDirectory() as folder:
            url = arguments.postgresql if kind == "postgresql" else f"sqlite:///{folder}/antipode.db"
            for figures in measure(Path(folder), arguments.prompts, url):
                kept: dict[str, Any] = {}
                with suppress(FileNotFoundError):
                    kept = json.loads(arguments.output.read_text())
                arguments.output.write_text(json.dumps(kept | {kind: MACHINE | figures}, indent=2) + "\n")
        for name, times in (figures["pages_ms"] | figures["commands_ms"]).items():
            print(f"{name:32} {times['median']:8.1f} ms, at most {times['most']:8.1f}")


if __name__ == "__main__":
    main()
