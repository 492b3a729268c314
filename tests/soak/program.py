"""The soak from its arguments to its report."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing import Value
from pathlib import Path
from typing import Any

from chat_server import ChatServer, completion
from engine_processes import ADDRESS, start_engine_server, use_engine_server
from postgresql import postgresql

from tests.soak.acts import World, all_acts, load_ahead, make_rows_few, write_files
from tests.soak.extent import Extent
from tests.soak.installations import PostgresqlServer, Server, SqliteFiles
from tests.soak.kills import run_act
from tests.soak.outages import outages
from tests.soak.report import write_report
from tests.soak.trials import Soak, Tally


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    for field in fields(Extent):
        name, default = f"--{field.name.replace('_', '-')}", field.default
        if isinstance(default, tuple):
            parser.add_argument(name, nargs="*", default=default)
        else:
            parser.add_argument(name, type=type(default), default=default)
    parser.add_argument("--cases", type=int, default=0, help="generated cases of the fuzz tests together")
    parser.add_argument("--report", type=Path, default=None, help="folder of soak.md and soak.json; none: print only")
    options = vars(parser.parse_args(arguments))
    began, cases, report = time.monotonic(), options.pop("cases"), options.pop("report")
    tallies = []
    for tally in soak(
        Extent(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
    ):
        tallies.append(tally)
        print(json.dumps(tally.as_json()), flush=True)
    counts = fuzz(cases) if cases else {}
    if report:
        seconds = time.monotonic() - began
        write_report(
            report, tallies, cases=counts, command=" ".join(("python -m tests.soak", *arguments)), seconds=seconds
        )
    sys.exit(any(tally.wrong for tally in tallies))


def soak(extent: Extent) -> Iterator[Tally]:
    """Soak every act on each database, then take the database away from each."""
    make_rows_few()
    load_ahead()
    if ADDRESS not in os.environ:  # the tests have one
        start_engine_server()
    use_engine_server()
    with tempfile.TemporaryDirectory(prefix="antipode-soak-") as name, judge() as (url, requests):
        folder = Path(name)
        world = make_world(folder, url, requests)
        acts = all_acts(world)
        for database in extent.databases:
            with server_of(database, folder) as server:
                yield from Soak(server, folder / "log", extent, requests).run(acts)
        if extent.outages:
            with postgresql() as process:
                chosen = [act for act in acts if act.waits or not act.is_aside]
                yield from outages(process, chosen, folder, extent)


def fuzz(cases: int) -> dict[str, int]:
    """Run the fuzz tests with so many cases together; how many each tried."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "fuzz", "--timeout", "0"]
        environment = os.environ | {"FUZZ_CASES": str(cases), "FUZZ_COUNTS": folder}
        subprocess.run(command, check=True, env=environment)
        counts: Counter[str] = Counter()
        for path in Path(folder).iterdir():
            counts.update(json.loads(path.read_text()))
    return dict(counts)


@contextmanager
def server_of(database: str, folder: Path) -> Iterator[Server]:
    """Where the installations' databases are made."""
    if database == "SQLite":
        yield SqliteFiles(folder / "sqlite")
    else:
        with postgresql() as process:
            yield PostgresqlServer(process.url, folder / "postgresql")


def make_world(folder: Path, judge_url: str, requests: Callable[[], int]) -> World:
    """Write the files and, in a process of its own, the models: threads of torch do not survive a fork."""
    write_files(folder)
    world = World(folder, str(folder / "model"), str(folder / "reward-model"), judge_url, requests)
    run_act(lambda: _make_models(world), {}, folder / "log")
    return world


def _make_models(world: World) -> None:
    from alignment_jobs import save_llama
    from reward_models import make_reward_model

    from models.demo import MODEL_FOLDER

    save_llama(Path(world.model), max_position_embeddings=512)
    make_reward_model(MODEL_FOLDER, Path(world.reward_model))


@contextmanager
def judge() -> Iterator[tuple[str, Callable[[], int]]]:
    """A model's server in a process of its own: its address, and how many requests it has had.

    As a judge, it prefers one response or the other by the question's content; else it answers by it.
    """
    server, count = ChatServer(), Value("q", 0)

    def reply(body: dict[str, Any], _: int) -> tuple[int, bytes]:
        with count.get_lock():
            count.value += 1
        number, is_judged = zlib.crc32(json.dumps(body, sort_keys=True).encode()), len(body["messages"]) > 1
        return completion("mM"[number % 2] if is_judged else f"Answer {number}.")

    server.reply = reply
    server.handle_error = lambda *_: None  # whoever asked was killed
    child = os.fork()
    if child == 0:
        server.serve_forever()
    url = server.url
    server.socket.close()
    try:
        yield url, lambda: int(count.value)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
