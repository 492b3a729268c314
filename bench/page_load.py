"""Many people at the labelling page at once, beside a curation on the same database.

    python -m bench.page_load                            # 15 people on SQLite, a verdict every two seconds each
    python -m bench.page_load --people 50 --database postgresql://antipode@127.0.0.1/empty
    python -m bench.page_load --pace 0 --alone           # as fast as they can, nothing else at work

A real server in a process of its own; each person has a connection that stays open, as a browser's does, and takes one
verdict in twenty back. The curation (scripted responses, hashed embeddings) is started again whenever it is done. Every
run replaces the one of the same kind under "load" in bench/labelling_page.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import text

from bench.labelling_page import free_port, make_row, run_server, sign_in_path, wait_for
from db import prompts
from db.engine import Sessions, make_engine, make_session_factory
from db.labels import queues
from db.migrations import require_current
from models.labelling.records import PairKey

PROMPTS, RESPONSES_PER_PROMPT = 120, 14  # 10,920 pairs
CURATED_PROMPTS = 2_000
UNDO_SHARE = 0.05
HEADERS = {"Content-Type": "application/json"}
DOUBLED = """
    SELECT count(*) FROM (
        SELECT 1 FROM judgements JOIN annotators ON annotators.id = judgements.annotator_id
        WHERE queue_id = :queue AND verdict <> 'skip' AND annotators.kind = 'person'
        GROUP BY first_response_id, second_response_id HAVING count(DISTINCT annotator_id) > 1
    ) doubled
"""


@dataclass
class Answers:
    """What all people got: seconds a request took, refusals and errors by what they were."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    dropped: int = 0
    errors: list[str] = field(default_factory=list)


def label(port: int, queue_id: int, name: str, *, path: str, pace_s: float, end: float, answers: Answers) -> None:
    """What one person does until the end (by the monotonic clock)."""
    draw = random.Random(name)
    address = f"127.0.0.1:{port}"
    connection = http.client.HTTPConnection(address, timeout=60)
    headers = HEADERS | {"Origin": f"http://{address}"}

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        begin = time.perf_counter()
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            answers.dropped += 1
            connection.close()
            return None
        answers.seconds.append(time.perf_counter() - begin)
        if response.status != 200:
            answers.refused += response.status == 409
            if response.status != 409:
                answers.errors.append(f"{response.status} {content[:100]!r}")
            return None
        if cookie := response.getheader("set-cookie"):
            headers["Cookie"] = cookie.partition(";")[0]
        return json.loads(content) if "json" in response.getheader("content-type", "") else None

    time.sleep(draw.random() * pace_s)
    ask("GET", path)
    queue = f"/queues/{queue_id}"
    content = ask("GET", f"{queue}/pair")
    while time.monotonic() < end:
        time.sleep(pace_s * draw.uniform(0.5, 1.5))
        if content is None or content["pair"] is None:
            content = ask("GET", f"{queue}/pair")
        elif draw.random() < UNDO_SHARE:
            content = ask("POST", f"{queue}/undo", {"person": name})
        else:
            shown = {key: content["pair"][key] for key in ("left_id", "right_id", "shown_at")}
            verdict = {"person": name, "verdict": draw.choice(("left", "right", "tie")), "seconds": 1.0}
            content = ask("POST", f"{queue}/verdicts", shown | verdict)
    connection.close()


def store(sessions: Sessions) -> int:
    """Prompts with responses, and a queue of all pairs, one judgement each; returns the queue's id."""
    draw = random.Random(0)
    rows = [make_row(number, draw, RESPONSES_PER_PROMPT) for number in range(1, PROMPTS + 1)]
    with sessions.begin() as session:
        source = prompts.ensure_source(session, name="bench", location="", format="responses", content_hash="0" * 64)
        prompts.add_rows(session, source, rows)
    with sessions.begin() as session:
        both = "SELECT one.id, other.id FROM responses one JOIN responses other ON other.prompt_id = one.prompt_id"
        pairs = [PairKey(*row) for row in session.execute(text(f"{both} AND other.id > one.id"))]
        return queues.open_queue(session, name="bench", pairs=pairs, judgements_per_pair=1, seed=0)


@contextmanager
def curating(url: str, folder: Path, *, is_wanted: bool) -> Iterator[list[int]]:
    """Curate again and again on the same database until the end; yields how many curations were completed."""
    done: list[int] = []
    if not is_wanted:
        yield done
        return
    source = folder / "prompts.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"What is {at}?"}) + "\n" for at in range(CURATED_PROMPTS)))
    environment = os.environ | {"ANTIPODE_DATABASE_URL": url, "ANTIPODE_ARTIFACT_ROOT": str(folder / "artifacts")}
    command = [sys.executable, "-m", "flows"]
    quiet: dict[str, Any] = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*command, "import", str(source), "--name", "curated"], check=True, **quiet)
    light = ["--source.name", "curated", "--generate.backend", "scripted", "--embed.backend", "hashed"]
    is_over = threading.Event()

    def curate() -> None:
        while not is_over.is_set():
            seed = ["--seed", str(len(done)), "--generate.when", "always", "--generate.prompts_per_shard", "16"]
            with subprocess.Popen([*command, "curate", *light, *seed], **quiet) as process:
                while process.poll() is None and not is_over.wait(0.2):
                    pass
                if process.poll() is None:
                    _end(process.pid)
                elif process.returncode:
                    raise RuntimeError(f"the curation failed with exit status {process.returncode}")
                else:
                    done.append(len(done))

    thread = threading.Thread(target=curate)
    thread.start()
    try:
        time.sleep(15)  # until its Prefect server is up and rows are written
        yield done
    finally:
        is_over.set()
        thread.join()


def measure(url: str, *, people: int, pace_s: float, seconds: float, is_alone: bool) -> dict[str, Any]:
    """Serve and label for so many seconds; returns what came of it."""
    engine = make_engine(url)
    require_current(engine)
    sessions = make_session_factory(engine)
    queue_id = store(sessions)
    names = [f"person {at}" for at in range(people)]
    paths = {name: sign_in_path(sessions, name) for name in names}
    port, answers = free_port(), Answers()
    server = multiprocessing.get_context("spawn").Process(target=run_server, args=(url, port), daemon=True)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        wait_for(client)
    with tempfile.TemporaryDirectory() as folder, curating(url, Path(folder), is_wanted=not is_alone) as curations:
        begin, end = time.monotonic(), time.monotonic() + seconds
        cpu_before = _cpu_s(server.pid)
        work = {"pace_s": pace_s, "end": end, "answers": answers}
        threads = [
            threading.Thread(target=label, args=(port, queue_id, name), kwargs={"path": paths[name], **work})
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s, cpu_s = time.monotonic() - begin, _cpu_s(server.pid) - cpu_before
        load = os.getloadavg()[0]
    server.terminate()
    server.join()
    with sessions() as session:
        doubled = session.scalar(text(DOUBLED), {"queue": queue_id})
        judged = session.scalar(text("SELECT count(*) FROM judgements"))
    p50, p95, p99 = (statistics.quantiles(answers.seconds, n=100)[at - 1] * 1000 for at in (50, 95, 99))
    return {
        "people": people,
        "pace_s": pace_s,
        "database": url.partition(":")[0],
        "curations_beside": None if is_alone else len(curations),
        "requests": len(answers.seconds),
        "requests_per_s": round(len(answers.seconds) / wall_s, 1),
        "p50_ms": round(p50, 1),
        "p95_ms": round(p95, 1),
        "p99_ms": round(p99, 1),
        "slowest_ms": round(max(answers.seconds) * 1000, 1),
        "refused": answers.refused,
        "dropped": answers.dropped,
        "errors": sorted(set(answers.errors))[:5],
        "judged": judged,
        "doubled_pairs": doubled,
        "server_cpu_s": round(cpu_s, 1),
        "wall_s": round(wall_s, 1),
        "load": round(load, 1),
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def main() -> None:
    """Measure as the arguments say and write the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.page_load")
    parser.add_argument("--people", type=int, default=15)
    parser.add_argument("--pace", type=float, default=2.0, help="seconds between an answer and the next verdict")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database", default=None, help="URL of an empty database; SQLite in a folder of its own")
    parser.add_argument("--alone", action="store_true", help="without a curation")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(
            chosen.database or f"sqlite:///{folder}/bench.db",
            people=chosen.people,
            pace_s=chosen.pace,
            seconds=chosen.seconds,
            is_alone=chosen.alone,
        )
    path = Path(__file__).with_name("labelling_page.json")
    stored = json.loads(path.read_text())
    kind = ("people", "pace_s", "database")
    others = [
        run
        for run in stored.get("load", [])
        if [run[name] for name in kind] != [result[name] for name in kind]
        or (run["curations_beside"] is None) != chosen.alone
    ]
    path.write_text(json.dumps(stored | {"load": [*others, result]}, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _cpu_s(process_id: int | None) -> float:
    times = psutil.Process(process_id).cpu_times()
    return float(times.user + times.system)


def _end(process_id: int) -> None:
    family = [*psutil.Process(process_id).children(recursive=True), psutil.Process(process_id)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=10)


if __name__ == "__main__":
    main()
