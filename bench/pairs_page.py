"""What a lead opens at a million pairs: every page, and the table of pairs by every filter in every order.

    python -m bench.pairs_page                               (125,000 prompts × 8 responses, 8 pairs a prompt; 3 GB)
    python -m bench.pairs_page --prompts 2000                (in a minute)
    python -m bench.pairs_page --postgresql postgresql://…   (that one too, after SQLite; it is emptied)
    python -m bench.pairs_page --kept FILE --is-filled       (take the databases that are there)

`bench.pairs_place` says what is stored. Alone: CPU milliseconds of a request by the application itself, rendering
included, and of PostgreSQL's server with them; each page three times, of which the median counts. Then ten people at
once at a real server in a process of its own, each page by page as fast as it answers, and with a second between two
pages: wall time. Prints and writes bench/pairs_page.json, by the kind of database.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from bench.database import emptied
from bench.labelling_page import SECRET, free_port, run_server, wait_for
from bench.machine import machine_words
from bench.pairs_place import FIRST_RUN, LABELLING, QUEUE, SECOND_RUN, SNAPSHOT, fill
from db.engine import Sessions, make_engine, make_session_factory
from db.findings.pair_search import index_texts
from db.migrations import require_current
from models.files import report_file
from web.app import create_app
from web.people import set_lead
from web.sign_in import open_link
from web.workbench.pair_lists import SORTS

RESULTS = Path(__file__).with_suffix(".json")
LEAD = "Lea"
REPEATS, PEOPLE, PAGES_A_PERSON, WORDS_AT_ONCE = 3, 10, 40, 10_000
LOOKED_AT_S = 1.0
PAGES = {
    "/": "/",
    "/runs": "/runs",
    "/runs/{id}, completed": f"/runs/{FIRST_RUN}",
    "/runs/{id}, running": f"/runs/{SECOND_RUN}",
    "/runs/{id}, a labelling": f"/runs/{LABELLING}",
    "/runs/{id}/similarities.svg": f"/runs/{FIRST_RUN}/similarities.svg",
    "/runs/compare": f"/runs/compare?ids={FIRST_RUN},{SECOND_RUN}",
    "/runs/compare.svg": f"/runs/compare.svg?ids={FIRST_RUN},{SECOND_RUN}",
    "/sources": "/sources",
    "/sources/{id}": "/sources/1",
    "/queues": "/queues",
    "/queues/{id}": f"/queues/{QUEUE}",
    "/queues/{id}/settings": f"/queues/{QUEUE}/settings",
    "/people": "/people",
    "/snapshots": "/snapshots",
    "/snapshots/{id}": f"/snapshots/{SNAPSHOT}",
    "/policies": "/policies",
    "/policies/{id}": "/policies/1",
    "/policies/compare": "/policies/compare?ids=1,2",
    "/policies/compare.svg": "/policies/compare.svg?ids=1,2",
    "/reports/run-{id}.html": f"/reports/run-{FIRST_RUN}.html",
}
FILTERS = {
    "everything": "",
    "the first run": f"run={FIRST_RUN}",
    "the last run": f"run={SECOND_RUN}",
    "a strategy": "strategy=easy",
    "a run's strategy": f"run={FIRST_RUN}&strategy=hard",
    "the first source": "source=first",
    "the last source": "source=last",
    "similarity, narrow": "similar_from=0.5&similar_to=0.501",
    "similarity, wide": "similar_from=0.2&similar_to=0.9",
    "length ratio, narrow": "length_from=0.3&length_to=0.31",
    "length ratio, wide": "length_from=0.1&length_to=0.6",
    "without a label": "label=none",
    "with a label": "label=any",
    "disputed": "label=disputed",
    "contradictions": "label=contradiction",
    "a person": "by=1",
    "a judge": "by=4",
    "flagged": "flag=any",
    "flagged by a rule": "flag=language",
    "a frequent word": "q=w1",
    "a common word": "q=w30",
    "a rare word": "q=w3000",
    "two words": "q=w1+w30",
    "two rare words": "q=w3000+w3001",
    "a beginning": "q=w12*",
    "no such word": "q=nothing",
    "much at once": "run=1&strategy=easy&source=last&similar_from=0.1&similar_to=0.9&length_from=0.2&label=any&q=w30",
    "nothing in the end": "strategy=easy&similar_from=0.9",
}
# Somewhere in the middle of what a list is sorted by.
DEEP = {"newest": "500000:500000", "similarity": "0.3:500000", "length_ratio": "0.5:500000", "votes": "0:500000"}


def pair_pages() -> Iterator[tuple[str, str]]:
    """Addresses of the table's first pages by the name of their filter, and of pages deep in each order."""
    for sort in SORTS:
        for name, query in FILTERS.items():
            yield name, f"/pairs?{query}&sort={sort}".replace("?&", "?")
        yield "a deep page", f"/pairs?sort={sort}&after={DEEP[sort.removeprefix('-')]}"


class Server:
    """CPU seconds of a PostgreSQL server on this machine, of its processes that are there and of those that ended."""

    def __init__(self, engine: Engine) -> None:
        """On SQLite there is none."""
        self._engine = engine

    def cpu_s(self) -> float:
        """Since they began; the scheduler's own count, which knows less than a tick."""
        if self._engine.dialect.name == "sqlite":
            return 0.0
        with self._engine.connect() as connection:
            ids = connection.scalars(text("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"))
            own = [int(Path(f"/proc/{id_}/schedstat").read_text().split()[0]) / 1e9 for id_ in ids]
            backend = connection.scalar(text("SELECT pg_backend_pid()"))
        ended = psutil.Process(psutil.Process(backend).ppid()).cpu_times()  # parallel workers among them
        return float(sum(own) + ended.children_user + ended.children_system)


def alone(sessions: Sessions, cookie_path: str, pages: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """CPU milliseconds by name: the median page of the name and the slowest one, with its address."""
    server, found = Server(sessions.kw["bind"]), dict[str, dict[str, list[float]]]()
    app = create_app(sessions, secret=SECRET, lease_s=600, artifacts=_artifacts(sessions))
    gc.freeze()  # as the server does
    with TestClient(app, headers={"Accept": "text/html"}) as client:
        client.get(cookie_path).raise_for_status()
        for _ in range(REPEATS):
            for name, address in pages:
                app.state.site.watch.forget()
                server_begun = server.cpu_s()
                begun = time.process_time()
                client.get(address).raise_for_status()
                took = time.process_time() - begun + server.cpu_s() - server_begun
                found.setdefault(name, {}).setdefault(address, []).append(1000 * took)
    return _by_name({name: {at: median(all_) for at, all_ in of.items()} for name, of in found.items()})


def _by_name(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, times in found.items():
        slowest = max(times, key=times.__getitem__)
        most = {"most": round(times[slowest], 1), "address": slowest}
        figures[name] = {"median": round(median(times.values()), 1)} | most
    return dict(sorted(figures.items(), key=lambda item: -item[1]["most"]))


@contextmanager
def served(url: str) -> Iterator[tuple[int, psutil.Process]]:
    """A server's port, and its process."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=run_server, args=(url, port), daemon=True)
    process.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_for(client)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


def at_once(
    url: str, cookie_path: str, pages: Sequence[tuple[str, str]], people: int, *, pause_s: float = 0.0
) -> dict[str, Any]:
    """Wall milliseconds of a request while so many people ask for one page after the other, each in an own order.

    `pause_s`: how long each looks at a page, on average.
    """
    seconds, errors = list[float](), list[str]()

    def ask(port: int, seed: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        headers, rng = {"Accept": "text/html"}, random.Random(seed)
        for name, address in [("", cookie_path), *rng.choices(pages, k=PAGES_A_PERSON)]:
            time.sleep(2 * pause_s * rng.random())
            begun = time.perf_counter()
            connection.request("GET", address, headers=headers)
            response = connection.getresponse()
            response.read()
            if name:
                seconds.append(time.perf_counter() - begun)
            if response.status != 200:
                errors.append(f"{response.status} {address}")
            if cookie := response.getheader("set-cookie"):
                headers["Cookie"] = cookie.partition(";")[0]
        connection.close()

    with served(url) as (port, process):
        cpu, begun = sum(process.cpu_times()[:2]), time.perf_counter()
        threads = [threading.Thread(target=ask, args=(port, seed)) for seed in range(people)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s, cpu_s = time.perf_counter() - begun, sum(process.cpu_times()[:2]) - cpu
    return {
        "people": people,
        "requests": len(seconds),
        "requests_per_s": round(len(seconds) / wall_s, 1),
        "median_ms": round(1000 * median(seconds), 1),
        "p95_ms": round(1000 * quantiles(seconds, n=20)[-1], 1),
        "page_cpu_ms": round(1000 * cpu_s / len(seconds), 1),
        "errors": sorted(set(errors))[:5],
        "load": round(os.getloadavg()[0], 1),
    }


def measure(url: str, prompt_count: int, people: int) -> dict[str, Any]:
    """All figures of one database, which is filled first if it has no run."""
    engine = make_engine(url, keeps_connections=True)
    require_current(engine)
    sessions, figures = make_session_factory(engine), dict[str, Any]()
    with sessions() as session:
        is_filled = session.scalar(text("SELECT count(*) FROM runs"))
    if not is_filled:
        figures["filled_s"] = round(fill(sessions, prompt_count))
        begun = time.process_time()
        index_words(sessions)
        figures["words_cpu_s"] = round(time.process_time() - begun, 1)
    with sessions.begin() as session:
        path = f"/sign-in?token={open_link(session, SECRET, LEAD, now=datetime.now(UTC), days=30)}"
    set_lead(sessions, LEAD, is_lead=True)
    with sessions() as session:
        ids = session.execute(text("SELECT id, first_response_id, second_response_id FROM pairs LIMIT 1")).one()
    pair = f"/pairs/{ids[1]}-{ids[2]}"
    own = [("/pairs/{id}", pair), ("/pairs/{id} in a list", f"{pair}?at={ids[0]}")]
    pages = [*own, *PAGES.items()]  # the report, which the server beside has none of, last
    figures["load"] = round(os.getloadavg()[0], 1)
    figures["page_ms"] = alone(sessions, path, pages)
    figures["pairs_ms"] = alone(sessions, path, list(pair_pages()))
    for name in ("page_ms", "pairs_ms"):
        figures[f"slowest_{name}"] = max(times["most"] for times in figures[name].values())
    engine.dispose()
    asked = [*pages[:-1], *pair_pages()]
    figures["at_once"] = at_once(url, path, asked, people)
    figures["at_once_looking"] = at_once(url, path, asked, people, pause_s=LOOKED_AT_S)
    return figures


def index_words(sessions: Sessions) -> None:
    """Make the index of words, from nothing."""
    while True:
        with sessions.begin() as session:
            if not index_texts(session, WORDS_AT_ONCE):
                return


def _artifacts(sessions: Sessions) -> Path:
    """A folder with one report of a megabyte."""
    folder = Path(tempfile.mkdtemp())
    report = report_file(folder, "run", FIRST_RUN)
    report.parent.mkdir(parents=True)
    report.write_text("<p>a report</p>" * 70_000)
    return folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=125_000)
    parser.add_argument("--postgresql", help="URL of a database to be emptied")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--kept", type=Path, help="the SQLite file; one that has a run is taken as it is")
    parser.add_argument("--is-filled", action="store_true", help="take the PostgreSQL database as it is")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        urls = {"sqlite": f"sqlite:///{arguments.kept or Path(temporary) / 'pairs.db'}"}
        if arguments.postgresql is not None:
            urls["postgresql"] = arguments.postgresql
        for kind, url in urls.items():
            if arguments.only not in (None, kind):
                continue
            if kind == "postgresql" and not arguments.is_filled:
                emptied(url)
            figures = {"machine": machine_words(), "prompts": arguments.prompts}
            figures |= measure(url, arguments.prompts, PEOPLE)
            kept: dict[str, Any] = {}
            with suppress(FileNotFoundError):
                kept = json.loads(arguments.output.read_text())
            arguments.output.write_text(json.dumps(kept | {kind: kept.get(kind, {}) | figures}, indent=2) + "\n")
            print(f"{kind}: {figures['at_once']}\n{figures['at_once_looking']}")
            for name, times in (figures["page_ms"] | figures["pairs_ms"]).items():
                print(
                    f"{name:32} {times['median']:8.1f} ms, at most {times['most']:8.1f}  {times['address']}", flush=True
                )


if __name__ == "__main__":
    main()
