"""The list of pairs at a million responses: every filter and sort order, and what its index of words costs.

    python -m bench.pairs_page                               (125,000 prompts × 8 responses, 4 pairs a prompt; 2 GB)
    python -m bench.pairs_page --prompts 2000                (in a few seconds)
    python -m bench.pairs_page --database postgresql://…     (an empty one)
    python -m bench.pairs_page --people 10                   (so many at once, a thread each)

Rows are written by SQL, not by a curation: two sources, one run of four strategies, labels on one pair in 25 by three
annotators, flags on one response in 40. A word is in one response of 3, 30, 300, … Prints and writes
bench/pairs_page.json, by the kind of database. Wall time, texts read along; the machine should be idle.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, text

from bench.machine import machine_words
from db.engine import Sessions, make_engine, make_session_factory
from db.findings.pair_filters import PairFilter
from db.findings.pair_search import index_texts
from db.findings.pair_table import Order, pair_page
from db.migrations import require_current
from db.schema import curation, labels
from db.schema.base import utc_now

RESULTS = Path(__file__).with_suffix(".json")
RESPONSES, BATCH, ASKED, FLAGGED, LABELLED = 8, 10_000, 20, 40, 25
STRATEGIES = ("easy", "hard", "centroid", "random")
VOCABULARY = 5_000
FILTERS = {
    "everything": PairFilter(),
    "a run": PairFilter(run_id=1),
    "a strategy": PairFilter(strategy="easy"),
    "a run's strategy": PairFilter(run_id=1, strategy="hard"),
    "the first source": PairFilter(source="first"),
    "the last source": PairFilter(source="last"),
    "similarity, narrow": PairFilter(similarity=(0.5, 0.501)),
    "similarity, wide": PairFilter(similarity=(0.2, 0.9)),
    "length ratio, narrow": PairFilter(length_ratio=(0.3, 0.31)),
    "length ratio, wide": PairFilter(length_ratio=(0.1, 0.6)),
    "without a label": PairFilter(label="none"),
    "with a label": PairFilter(label="any"),
    "disputed": PairFilter(label="disputed"),
    "contradictions": PairFilter(label="contradiction"),
    "an annotator": PairFilter(annotator_id=1),
    "flagged": PairFilter(flag="any"),
    "flagged by a rule": PairFilter(flag="language"),
    "a frequent word": PairFilter(words="w1"),
    "a common word": PairFilter(words="w30"),
    "a rare word": PairFilter(words="w3000"),
    "two words": PairFilter(words="w1 w30"),
    "a beginning": PairFilter(words="w12*"),
    "no such word": PairFilter(words="nothing"),
    "much at once": PairFilter(1, "easy", "last", (0.1, 0.9), (0.2, 1.0), "none", None, None, "w30"),
    "nothing in the end": PairFilter(strategy="easy", similarity=(0.9, None)),
}
ORDERS = [
    Order(sort, is_ascending)
    for sort in ("newest", "similarity", "length_ratio", "votes")
    for is_ascending in (False, True)
]


def fill(sessions: Sessions, prompt_count: int) -> None:
    """Store the rows."""
    rng, now = random.Random(0), utc_now()
    with sessions.begin() as session:
        for at, name in enumerate(("first", "last"), 1):
            row = {"id": at, "name": name, "location": "", "format": "responses", "content_hash": str(at) * 64}
            session.execute(insert(curation.Source), [row])
        row = {"id": 1, "key": "g", "backend": "imported", "model": "m"}
        session.execute(insert(curation.Generator), [row])
        run = {"id": 1, "name": "bench", "config": {}, "config_key": "k", "status": "completed", "code_version": "0"}
        session.execute(insert(curation.Run), [run])
        for at in (1, 2, 3):
            who = {"id": at, "key": str(at), "kind": "person", "name": f"p{at}", "settings": {}}
            session.execute(insert(labels.Annotator), [who | {"has_both_orders": False}])
    for begin in range(0, prompt_count, BATCH // 10):
        numbers = range(begin, min(begin + BATCH // 10, prompt_count))
        tables = _rows(rng, numbers, prompt_count)
        with sessions.begin() as session:
            for table, rows in tables.items():
                session.connection().execute(insert(table), rows)
    with sessions.begin() as session:
        session.execute(text("ANALYZE"))
    print(f"filled in {(utc_now() - now).total_seconds():.0f} s", flush=True)


def _rows(rng: random.Random, numbers: range, prompt_count: int) -> dict[Any, list[dict[str, Any]]]:
    tables: dict[Any, list[dict[str, Any]]] = {
        table: []
        for table in (
            curation.Prompt, curation.SourceRow, curation.Response, curation.GuardFlag, curation.Pair, labels.Judgement,
            labels.Preference,
        )
    }  # fmt: skip
    for number in numbers:
        id_, source_id = number + 1, 1 if number < prompt_count // 2 else 2
        asked = _text(rng, 12)
        prompt = {"id": id_, "key": f"p{id_}", "first_turn_key": f"p{id_}", "text": asked}
        tables[curation.Prompt].append(prompt | {"messages": [{"role": "user", "content": asked}]})
        tables[curation.SourceRow].append({"source_id": source_id, "row_number": id_, "prompt_id": id_})
        lengths = {}
        for at in range(RESPONSES):
            response_id = number * RESPONSES + at + 1
            answer = _text(rng, rng.randint(10, 50))
            lengths[response_id] = len(answer)
            row = {"id": response_id, "key": f"r{response_id}", "prompt_id": id_, "generator_id": 1, "text": answer}
            tables[curation.Response].append(row)
            if rng.randrange(FLAGGED) == 0:
                flag = {"run_id": 1, "response_id": response_id, "prompt_id": id_, "value": 1.0, "is_left_out": False}
                tables[curation.GuardFlag].append(flag | {"rule": rng.choice(("language", "repetitive"))})
        for at, strategy in enumerate(STRATEGIES):
            first, second = sorted(rng.sample(sorted(lengths), 2))
            shorter, longer = sorted((lengths[first], lengths[second]))
            pair = {"first_response_id": first, "second_response_id": second}
            label = _label(rng, pair, tables)
            similarity = {"easy": 0.4, "hard": 1.0}.get(strategy, 0.8) * rng.random()
            facts = {"similarity": similarity, "rank": 1, "pair_count": 28, "length_ratio": shorter / longer}
            row = {"id": number * len(STRATEGIES) + at + 1, "run_id": 1, "strategy": strategy, "prompt_id": id_}
            tables[curation.Pair].append(row | pair | facts | label)
    return {table: rows for table, rows in tables.items() if rows}


def _label(rng: random.Random, pair: dict[str, int], tables: dict[Any, list[dict[str, Any]]]) -> dict[str, Any]:
    nothing = {"outcome": None, "support": None, "vote_count": 0}
    if rng.randrange(LABELLED) or any(row.items() >= pair.items() for row in tables[labels.Preference][-4:]):
        return nothing
    verdicts = [rng.choice(("first", "first", "second", "tie")) for _ in range(rng.randint(1, 3))]
    for at, verdict in enumerate(verdicts, 1):
        judgement = {"annotator_id": at, "left_response_id": pair["first_response_id"], "verdict": verdict}
        tables[labels.Judgement].append(pair | judgement)
    best = max(verdicts, key=verdicts.count)
    support = verdicts.count(best) / len(verdicts)
    label = {"outcome": best if support > 0.5 else "contradiction", "support": support, "vote_count": len(verdicts)}
    tables[labels.Preference].append(pair | label | {"rule": "majority"})
    return label


def _text(rng: random.Random, count: int) -> str:
    """Words of which the n-th is about 1/n as frequent as the first."""
    return " ".join(f"w{int(VOCABULARY ** rng.random())}" for _ in range(count))


def index_words(sessions: Sessions) -> float:
    """Seconds that it takes to make the index of words, from nothing."""
    begun = time.perf_counter()
    while True:
        with sessions.begin() as session:
            if not index_texts(session, BATCH):
                return time.perf_counter() - begun


def asked(sessions: Sessions, lists: Sequence[tuple[str, Order]]) -> Iterator[tuple[str, float]]:
    """Milliseconds of the first page of these lists, and of the one after it."""
    for name, order in lists:
        place = None
        for _ in range(2):
            begun = time.perf_counter()
            with sessions() as session:
                page = pair_page(session, FILTERS[name], order, place=place)
            yield name, 1000 * (time.perf_counter() - begun)
            place = page.next
            if place is None:
                break


def measure(sessions: Sessions, people: int) -> dict[str, Any]:
    """Figures by filter, the slowest first, of every list; or of some of them, for which `people` ask at once."""
    times: dict[str, list[float]] = {}
    lock = threading.Lock()

    def ask(seed: int) -> None:
        lists = [(name, order) for name in FILTERS for order in ORDERS]
        for name, milliseconds in asked(sessions, lists if people == 1 else random.Random(seed).sample(lists, ASKED)):
            with lock:
                times.setdefault(name, []).append(milliseconds)

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = {name: {"median": round(median(all_), 1), "most": round(max(all_), 1)} for name, all_ in times.items()}
    return dict(sorted(figures.items(), key=lambda item: -item[1]["most"]))


def _disk(sessions: Sessions, path: Path) -> int:
    with sessions() as session:
        if session.get_bind().dialect.name == "postgresql":
            return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))  # the log too


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=125_000)
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; a SQLite file unless told")
    parser.add_argument("--folder", type=Path, help="keep the SQLite file here, and take the one that is here")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (arguments.folder or Path(temporary)) / "pairs.db"
        sessions = make_session_factory(make_engine(arguments.database or f"sqlite:///{path}", keeps_connections=True))
        require_current(sessions.kw["bind"])
        figures: dict[str, Any] = {"machine": machine_words(), "prompts": arguments.prompts}
        with sessions() as session:
            is_filled = session.scalar(text("SELECT count(*) FROM runs"))
        if not is_filled:
            fill(sessions, arguments.prompts)
            before = _disk(sessions, path)
            figures["words_s"] = round(index_words(sessions), 1)
            figures["words_bytes"], figures["disk_bytes"] = _disk(sessions, path) - before, _disk(sessions, path)
            print(figures, flush=True)
        figures["page_ms"] = measure(sessions, 1)
        figures[f"page_ms_{arguments.people}_people"] = measure(sessions, arguments.people)
    kept: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        kept = json.loads(arguments.output.read_text())
    kind = "postgresql" if arguments.database else "sqlite"
    arguments.output.write_text(json.dumps(kept | {kind: kept.get(kind, {}) | figures}, indent=2) + "\n")
    for name, times in figures["page_ms"].items():
        print(f"{name:24} {times['median']:8.1f} ms, at most {times['most']:8.1f}")


if __name__ == "__main__":
    main()
