"""Answer times of the labelling page with a million pairs stored, over HTTP, rendering included.

    python -m bench.labelling_page     # some two minutes; writes bench/labelling_page.json

A SQLite file of 1,000 prompts with 46 responses of 150 words each, all 1,035,000 pairs of them stored and queued for
two people each; one person has judged 30,000. A real uvicorn server in a process of its own, one client, one request
at a time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from db import prompts, runs
from db.engine import make_engine, make_session_factory
from db.labels import judgements, labelling, queues
from db.migrations import require_current
from db.schema.curation import Pair
from db.schema.labels import QueuePair
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from models.records import ImportedResponse, ImportedRow, Prompt
from web.app import create_app
from web.server import make_server
from web.sign_in import open_link

PROMPTS, RESPONSES_PER_PROMPT = 1_000, 46
JUDGED = 30_000
WORDS_PER_RESPONSE = 150
REPEATS = 200
SECRET = b"a secret for the bench alone"
WORDS = (
    "the", "a", "bread", "rye", "wheat", "flour", "water", "salt", "oven", "warm", "cold", "slow", "quick", "crust",
    "crumb", "rise", "knead", "fold", "rest", "bake", "cool",
)  # fmt: skip


def store_pairs(sessions: sessionmaker[Session]) -> int:
    """Prompts, responses, all their pairs, and a queue of them; returns the queue's id."""
    draw = random.Random(0)
    for start in range(0, PROMPTS, 100):
        rows = [make_row(number, draw, RESPONSES_PER_PROMPT) for number in range(start + 1, start + 101)]
        with sessions.begin() as session:
            source = prompts.ensure_source(
                session, name="bench", location="", format="responses", content_hash="0" * 64
            )
            prompts.add_rows(session, source, rows)
    with sessions.begin() as session:
        ids = prompts.select_prompt_ids(session, source=None, split=None, limit=None)
        run_id = runs.open_run(
            session, kind=runs.CURATE, name="bench", config={}, config_key="0" * 64, code_version="0", prompt_ids=ids
        )
        session.execute(text(ALL_PAIRS), {"run": run_id, "now": datetime.now(UTC).replace(tzinfo=None)})
        pairs = labelling.pair_keys(session, run_id)
        return queues.open_queue(session, name="bench", pairs=pairs, judgements_per_pair=2, seed=0)


ALL_PAIRS = f"""
    INSERT INTO {Pair.__tablename__} (run_id, strategy, prompt_id, first_response_id, second_response_id, similarity,
                                      rank, pair_count, created_at)
    SELECT :run, 'random', one.prompt_id, one.id, other.id, 0.5, 1, 1035, :now
    FROM responses one JOIN responses other ON other.prompt_id = one.prompt_id AND other.id > one.id
"""


def judge_some(sessions: sessionmaker[Session], queue_id: int) -> None:
    """One person's judgements on the first pairs of the queue."""
    with sessions.begin() as session:
        query = select(QueuePair.first_response_id, QueuePair.second_response_id).filter_by(queue_id=queue_id)
        rows = session.execute(query.order_by(QueuePair.position).limit(JUDGED)).all()
        first_judgements = [Judgement(PairKey(*row), row[0], "first", seconds=3.0) for row in rows]
        ada = judgements.add_annotator(session, AnnotatorIdentity("person", "ada"))
        judgements.add_judgements(session, ada, first_judgements, queue_id=queue_id)
        session.execute(
            text("UPDATE queue_pairs SET judgement_count = 1 WHERE queue_id = :queue AND position <= :judged"),
            {"queue": queue_id, "judged": JUDGED},
        )


def sign_in_path(sessions: sessionmaker[Session], name: str) -> str:
    """What a person's link leads to."""
    with sessions.begin() as session:
        return f"/sign-in?token={open_link(session, SECRET, name, now=datetime.now(UTC), days=30)}"


def run_server(url: str, port: int) -> None:
    """Serve the page; the process is ended from outside."""
    app = create_app(make_session_factory(make_engine(url, keeps_connections=True)), secret=SECRET, lease_s=600)
    make_server(app, host="127.0.0.1", port=port).run()


def measure(port: int, queue_id: int, path: str) -> dict[str, dict[str, float]]:
    """Milliseconds per request, median and 95th percentile."""
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, headers={"Origin": address}, timeout=30) as client:
        wait_for(client)
        client.get(path).raise_for_status()
        client.get(f"/queues/{queue_id}/pair").raise_for_status()  # looks past what ada has judged, once
        times: dict[str, list[float]] = {}
        queue = f"/queues/{queue_id}"
        for _ in range(REPEATS):
            _timed(times, "page", partial(client.get, queue))
            pair = _timed(times, "reload of the pair", partial(client.get, f"{queue}/pair"))["pair"]
            _timed(times, "verdict and next pair", partial(client.post, f"{queue}/verdicts", json=_verdict_on(pair)))
            pair = _timed(times, "undo", partial(client.post, f"{queue}/undo", json={"person": "ada"}))["pair"]
            _timed(times, "verdict and next pair", partial(client.post, f"{queue}/verdicts", json=_verdict_on(pair)))
    return {
        name: {
            "median_ms": round(statistics.median(milliseconds), 1),
            "p95_ms": round(statistics.quantiles(milliseconds, n=20)[-1], 1),
        }
        for name, milliseconds in times.items()
    }


def main() -> None:
    """Store, serve, measure, write the results."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        engine = make_engine(url)
        require_current(engine)
        sessions = make_session_factory(engine)
        begin = time.perf_counter()
        queue_id = store_pairs(sessions)
        stored_s = time.perf_counter() - begin
        judge_some(sessions, queue_id)
        port = free_port()
        server = multiprocessing.get_context("spawn").Process(target=run_server, args=(url, port), daemon=True)
        server.start()
        try:
            results: dict[str, Any] = {"requests": measure(port, queue_id, sign_in_path(sessions, "ada"))}
        finally:
            server.terminate()
            server.join()
    results |= {
        "pairs": PROMPTS * RESPONSES_PER_PROMPT * (RESPONSES_PER_PROMPT - 1) // 2,
        "judged": JUDGED,
        "words_per_response": WORDS_PER_RESPONSE,
        "stored_and_queued_s": round(stored_s, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def make_row(number: int, draw: random.Random, response_count: int) -> ImportedRow:
    """A prompt with so many responses of words drawn."""
    answers = (" ".join(draw.choices(WORDS, k=WORDS_PER_RESPONSE)) for _ in range(response_count))
    return ImportedRow(number, Prompt.from_text(f"How is bread {number} made?"), tuple(map(ImportedResponse, answers)))


def _verdict_on(pair: dict[str, Any]) -> dict[str, Any]:
    shown = {name: pair[name] for name in ("left_id", "right_id", "shown_at")}
    return shown | {"person": "ada", "verdict": "left", "seconds": 2.0}


def _timed(times: dict[str, list[float]], name: str, request: Callable[[], httpx.Response]) -> Any:
    begin = time.perf_counter()
    answer = request()
    times.setdefault(name, []).append(1000 * (time.perf_counter() - begin))
    answer.raise_for_status()
    return answer.json() if "json" in answer.headers["content-type"] else None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(client: httpx.Client) -> None:
    """Wait until the page answers.

    Raises:
        TimeoutError: It took longer than 30 s.
    """
    for _ in range(300):
        try:
            client.get("/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the page did not start within 30 s")


if __name__ == "__main__":
    main()
