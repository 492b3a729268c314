"""What the ways into and out of the database cost: import, curate, import-labels, export and pairs.

python -m bench.database                                   (80,000 pairs of 20,000 prompts; SQLite)
python -m bench.database --pairs 800 --repeats 1           (in seconds)
python -m bench.database --postgresql postgresql://… --only import

Prints the figures and writes them, with the sizes they were measured at, to bench/database.json as those of now. Times
are CPU seconds of the command and the processes that it waited for, its own start included. An import is compared with
a bare insertion of the same rows into the same tables: `executemany` of sqlite3, COPY of psycopg; of PostgreSQL the
time of the server's processes counts too, so the server must be on this machine. The PostgreSQL database is emptied:
give one of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Engine, Table, select, text

from bench.machine import machine_words
from db import pairs, runs
from db.engine import make_engine, make_session_factory
from db.migrations import require_current
from db.schema import curation
from db.schema.base import Base
from flows.processes.collection import rarely_collect
from models.embedding import EmbeddingRequest
from models.embedding.hashed import HashedEmbedder
from models.generation.scripted import ScriptedGenerator
from models.ingestion import read_source
from models.records import GenerationRequest, Pair, Prompt, SamplingParameters
from tasks.config.exchange import ImportConfig
from tasks.curation.ingestion import import_source
from tasks.settings import Settings

RESULTS = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).parent.parent
RESPONSES, PAIRS = 4, ((0, 1), (2, 3), (0, 2), (1, 3))  # of a prompt
DECIDED = 77 / 80  # of the labels; the others are ties
SAMPLES = 8  # of a prompt, by `curate`
IMPORTED = ("sources", "prompts", "source_rows", "generators", "responses", "source_responses")
WORDS = tuple(f"{start}{end}" for start in ("ban", "tor", "mel", "sip", "gra", "ulo") for end in ("da", "nest", "ri"))

# A process's peak begins at that of the process which spawned it, so a small one stands in between.
SPAWN = """
import json, os, sys
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}), file=sys.stderr)
sys.exit(status != 0)
"""

Figures = dict[str, float]


class World:
    """A folder with an installation of its own, and how its commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'antipode.db'}"
        self.environment = os.environ | {
            "ANTIPODE_DATABASE_URL": self.url, "ANTIPODE_ARTIFACT_ROOT": str(folder / "artifacts"),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip

    def run(self, *arguments: str) -> Figures:
        """CPU seconds and the most memory of a command, with the processes it started and waited for."""
        command = [sys.executable, "-S", "-c", SPAWN, sys.executable, "-m", "flows", *arguments]
        ended = subprocess.run(command, check=False, env=self.environment, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed: {(ended.stdout + ended.stderr)[-2000:]}")
        used: Figures = json.loads(ended.stderr.splitlines()[-1])
        return used


def measure_import(folder: Path, prompt_count: int, postgresql: str | None) -> Figures:
    """CPU seconds of an import, and of bare insertions of the rows it left, on each database."""
    source = folder / "source.jsonl"
    _write_source(source, prompt_count)
    begun = time.process_time()
    for _ in read_source(str(source), format=None, split=None, limit=None):
        pass
    read = time.process_time() - begun
    figures: Figures = {"import_prompts": prompt_count, "read_s": read}
    for name, url in (("sqlite", f"sqlite:///{folder / 'imported.db'}"), ("postgresql", postgresql)):
        if url is None:
            continue
        settings = Settings(database_url=url, artifact_root=folder / "artifacts")
        engine = emptied(url)
        own = _cpu_s(partial(import_source, str(source), ImportConfig(), settings), engine)
        tables = _stored(engine)
        bare = _bare_sqlite(folder / "bare.db", tables) if name == "sqlite" else _bare_postgresql(engine, url, tables)
        rows = sum(len(values) for values in tables.values())
        figures |= {
            f"{name}_rows": rows, f"{name}_import_s": own, f"{name}_bare_s": bare, f"{name}_ratio": bare / own,
            f"{name}_ratio_without_reading": bare / (own - read),
        }  # fmt: skip
    return figures


def measure_labels(folder: Path, pair_count: int) -> Figures:
    """What a file of labels, an export of the preferences and a table of the pairs cost."""
    world = World(folder)
    label_file = _labelled_world(world, pair_count)
    figures: Figures = {"pairs": pair_count}
    for name, arguments in (
        ("start", ("runs",)),
        ("import_labels", ("import-labels", str(label_file))),
        ("export", ("export", str(folder / "preferences.parquet"))),
        ("pairs", ("pairs", "--format", "parquet", "--output", str(folder / "pairs.parquet"))),
    ):
        figures |= {f"{name}_{unit}": value for unit, value in world.run(*arguments).items()}
    return figures


def measure_curate(folder: Path, prompt_count: int) -> Figures:
    """CPU milliseconds a response of a curation with engines that cost little, without the engines' own.

    How many times the memory and the time of a tenth of the prompts it takes.
    """
    tenth, _ = _curated(folder / "tenth", prompt_count // 10)
    whole, prompts = _curated(folder / "whole", prompt_count)
    engines = _engines_s(prompts)
    beside = 1000 * (whole["cpu_s"] - engines) / (prompt_count * SAMPLES)
    return {
        "curate_prompts": prompt_count, "curate_s": whole["cpu_s"], "engines_s": engines,
        "curate_peak_mb": whole["peak_mb"], "beside_ms": beside,
        "curate_memory_growth": whole["peak_mb"] / tenth["peak_mb"],
        "curate_time_growth": whole["cpu_s"] / tenth["cpu_s"],
    }  # fmt: skip


def _curated(folder: Path, prompt_count: int) -> tuple[Figures, list[str]]:
    """What a curation of so many prompts took, and the prompts."""
    folder.mkdir()
    world = World(folder)
    source = folder / "prompts.jsonl"
    rng = random.Random(1)
    prompts = [f"{_words(rng, 12)} {number}?" for number in range(prompt_count)]
    source.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    world.run("import", str(source))
    light = ("--generate.backend", "scripted", "--generate.models", '["scripted"]', "--embed.backend", "hashed")
    return world.run("curate", *light, "--generate.responses_per_prompt", str(SAMPLES)), prompts


def _engines_s(prompts: list[str]) -> float:
    parameters = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=256, stop=(), system_prompt=None)
    begun = time.process_time()
    generator, embedder = ScriptedGenerator(parameters), HashedEmbedder(dimension=512)
    for start in range(0, len(prompts), 256):
        page = [GenerationRequest(Prompt.from_text(one), tuple(range(SAMPLES))) for one in prompts[start : start + 256]]
        texts = {(at, response.text) for at, some in enumerate(generator.generate(page)) for response in some}
        embedder.embed([EmbeddingRequest(None, text) for _, text in texts])
        embedder.embed([EmbeddingRequest(None, one.prompt.text) for one in page])
    return time.process_time() - begun


def _cpu_s(work: Callable[[], object], engine: Engine) -> float:
    """CPU seconds of this process, and of PostgreSQL's that served it: they are over when it ends."""
    before, begun = server_s(engine), time.process_time()
    work()
    own = time.process_time() - begun
    return own + server_s(engine) - before


def server_s(engine: Engine) -> float:
    """CPU seconds of the ended processes of a PostgreSQL server on this machine; 0 for SQLite."""
    if engine.dialect.name == "sqlite":
        return 0.0
    with engine.connect() as connection:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
        postmaster = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1]
        time.sleep(0.3)  # the server waits for its processes a moment after they end
        ticks = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()[13:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def emptied(url: str) -> Engine:
    """A database without a row, at the newest schema: what a PostgreSQL database holds is dropped."""
    engine = make_engine(url)
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    require_current(engine)
    return engine


def _stored(engine: Engine) -> dict[Table, list[tuple[Any, ...]]]:
    """The rows of an import, in the order in which they refer to each other."""
    tables = [Base.metadata.tables[name] for name in IMPORTED]
    with engine.connect() as connection:
        return {table: [tuple(row) for row in connection.execute(select(table))] for table in tables}


def _bare_sqlite(path: Path, tables: dict[Table, list[tuple[Any, ...]]]) -> float:
    require_current(make_engine(f"sqlite:///{path}"))
    rows = {table: [tuple(map(_plain, row)) for row in some] for table, some in tables.items()}
    with closing(sqlite3.connect(path)) as connection:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        begun = time.process_time()
        for table, some in rows.items():
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f"INSERT INTO {table.name} {_named(table)} VALUES ({marks})", some)
        connection.commit()
        return time.process_time() - begun


def _bare_postgresql(engine: Engine, url: str, tables: dict[Table, list[tuple[Any, ...]]]) -> float:
    import psycopg

    emptied(url)
    rows = {table: [tuple(map(_plain, row)) for row in some] for table, some in tables.items()}

    def insert() -> None:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            for table, some in rows.items():
                names = _named(table)
                with cursor.copy(f"COPY {table.name} {names} FROM STDIN") as copy:
                    for row in some:
                        copy.write_row(row)

    return _cpu_s(insert, engine)


def _named(table: Table) -> str:
    return f"({', '.join(table.columns.keys())})"


def _plain(value: object) -> object:
    """A value as the drivers take it."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _labelled_world(world: World, pair_count: int) -> Path:
    """Prompts, responses and a run's pairs in the database; returns a file of labels on them."""
    source = world.folder / "source.jsonl"
    _write_source(source, pair_count // len(PAIRS))
    world.run("import", str(source))
    sessions = make_session_factory(make_engine(world.url))
    with sessions.begin() as session:
        prompt_ids = list(session.scalars(select(curation.Prompt.id).order_by(curation.Prompt.id)))
        run_id = runs.open_run(
            session, kind=runs.CURATE, name="bench", config={}, config_key="bench", code_version="0",
            prompt_ids=prompt_ids,
        )  # fmt: skip
        query = select(curation.Response.prompt_id, curation.Response.id).order_by(curation.Response.id)
        responses: dict[int, list[int]] = {}
        for prompt_id, id_ in session.execute(query):
            responses.setdefault(prompt_id, []).append(id_)
        pairs.add_pairs(session, run_id, _pairs(responses))
        runs.set_status(session, run_id, runs.COMPLETED)
        pair_ids = list(session.scalars(select(curation.Pair.id).order_by(curation.Pair.id)))
    path, rng = world.folder / "labels.jsonl", random.Random(2)
    with path.open("w") as file:
        for id_ in pair_ids:
            verdict = rng.choice(("first", "second")) if rng.random() < DECIDED else "tie"
            file.write(json.dumps({"pair_id": id_, "verdict": verdict, "annotator": "anna", "seconds": 2.5}) + "\n")
    return path


def _pairs(responses: dict[int, list[int]]) -> Iterator[Pair]:
    for prompt_id, ids in responses.items():
        for rank, (first, second) in enumerate(PAIRS, start=1):
            yield Pair("random", prompt_id, ids[first], ids[second], 0.1 * rank, rank, len(PAIRS))


def _write_source(path: Path, prompt_count: int) -> None:
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(prompt_count):
            responses = [f"{_words(rng, 70)}\t“{number}.{at}”" for at in range(RESPONSES)]
            file.write(json.dumps({"prompt": f"{_words(rng, 15)} {number}?", "responses": responses}) + "\n")


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=80_000)
    parser.add_argument("--prompts", type=int, default=20_000, help="of the import and of the curation")
    parser.add_argument("--postgresql", help="URL of a database to be emptied")
    parser.add_argument("--only", choices=("import", "labels", "curate"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rarely_collect()  # as a command does
    parts: dict[str, Callable[[Path], Figures]] = {
        "import": lambda folder: measure_import(folder, arguments.prompts, arguments.postgresql),
        "labels": lambda folder: measure_labels(folder, arguments.pairs),
        "curate": lambda folder: measure_curate(folder, arguments.prompts),
    }
    found: dict[str, list[float]] = {}
    for _ in range(arguments.repeats):
        for name, part in parts.items():
            if arguments.only in (None, name):
                with tempfile.TemporaryDirectory() as folder:
                    measured = {f"{name}_repeats": arguments.repeats} | part(Path(folder))
                    for figure, value in measured.items():
                        found.setdefault(figure, []).append(value)
    figures = {name: median(values) for name, values in found.items()}
    for name, value in figures.items():
        print(f"{name:24} {value:,.3f}")
    kept: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        kept = json.loads(arguments.output.read_text())
    arguments.output.write_text(
        json.dumps(kept | {"cpu": machine_words(), "now": kept.get("now", {}) | figures}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
