"""The soak from its arguments to its report."""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Value
from pathlib import Path

from chat_server import ChatServer, completion
from engine_processes import start_engine_server, use_engine_server
from postgresql import postgresql

from tests.soak.acts import World, all_acts, make_rows_few, write_files
from tests.soak.installations import PostgresqlServer, Server, SqliteFiles
from tests.soak.kills import run_act
from tests.soak.outages import outages
from tests.soak.report import write_report
from tests.soak.trials import Soak, Tally


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--point-kills", type=int, default=60, help="points of each act at which it is killed")
    parser.add_argument("--moment-kills", type=int, default=12, help="moments of each act at which it is killed")
    parser.add_argument("--slow-share", type=float, default=0.25, help="share of that for acts that take seconds")
    parser.add_argument("--acts", nargs="*", default=None, help="only these")
    parser.add_argument("--databases", nargs="*", default=["SQLite", "PostgreSQL"])
    parser.add_argument("--outages", type=int, default=2, help="outages of the database in each act")
    parser.add_argument("--outage-s", type=float, default=30, help="how long one lasts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, default=None, help="folder of soak.md and soak.json; none: print only")
    options = parser.parse_args(arguments)
    tallies = []
    for tally in soak(
        databases=options.databases,
        point_kills=options.point_kills,
        moment_kills=options.moment_kills,
        slow_share=options.slow_share,
        outage_count=options.outages,
        outage_s=options.outage_s,
        seed=options.seed,
        only=options.acts,
    ):
        tallies.append(tally)
        print(json.dumps(tally.as_json()), flush=True)
    if options.report:
        write_report(options.report, tallies)


def soak(
    *,
    databases: list[str],
    point_kills: int,
    moment_kills: int,
    slow_share: float,
    outage_count: int,
    outage_s: float,
    seed: int,
    only: list[str] | None = None,
) -> Iterator[Tally]:
    """Soak every act on each database."""
    make_rows_few()
    start_engine_server()
    use_engine_server()
    with tempfile.TemporaryDirectory(prefix="antipode-soak-") as name, judge() as url:
        world = make_world(Path(name), url)
        acts = all_acts(world)
        for database in databases:
            with server_of(database, Path(name)) as server:
                yield from Soak(server, Path(name) / "log", seed).run(
                    acts, point_kills=point_kills, moment_kills=moment_kills, slow_share=slow_share, only=only
                )
        if outage_count:
            with postgresql() as process:
                chosen = [
                    act for act in acts if not act.prepare and (only is None or act.name in only or not act.is_aside)
                ]
                yield from outages(process, chosen, Path(name), count=outage_count, seconds=outage_s, seed=seed)


@contextmanager
def server_of(database: str, folder: Path) -> Iterator[Server]:
    """Where the installations' databases are made."""
    if database == "SQLite":
        yield SqliteFiles(folder / "sqlite")
    else:
        with postgresql() as process:
            yield PostgresqlServer(process.url, folder / "postgresql")


def make_world(folder: Path, judge_url: str) -> World:
    """Write the files and, in a process of its own, the models: threads of torch do not survive a fork."""
    write_files(folder)
    world = World(folder, str(folder / "model"), str(folder / "reward-model"), judge_url)
    run_act(lambda: _make_models(world), {}, folder / "log")
    return world


def _make_models(world: World) -> None:
    from alignment_jobs import save_llama
    from reward_models import make_reward_model

    from models.demo import MODEL_FOLDER

    save_llama(Path(world.model), max_position_embeddings=512)
    make_reward_model(MODEL_FOLDER, Path(world.reward_model))


@contextmanager
def judge() -> Iterator[str]:
    """A judge's server in a process of its own, which prefers one response or the other by the question's content."""
    server, count = ChatServer(), Value("q", 0)

    def reply(body: object, _: int) -> tuple[int, bytes]:
        with count.get_lock():
            count.value += 1
        return completion("mM"[zlib.crc32(json.dumps(body, sort_keys=True).encode()) % 2])

    server.reply = reply
    server.handle_error = lambda *_: None  # whoever asked was killed
    child = os.fork()
    if child == 0:
        server.serve_forever()
    url = server.url
    server.socket.close()
    try:
        yield url
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
