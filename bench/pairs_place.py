"""A database as it is after some curations: a million responses, a million pairs, labels, a queue, a data set.

Written by SQL, not by curations, in a few minutes: two sources; a completed run and one that still runs, each with four
pairs a prompt; a judge's labels on half of the first run's pairs, three people's on a part of a queue; flags on one
response in 40; prompts in groups; a data set and the policies of a training. A word is in one response of 3, 30, 300, …
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, text

from db import runs
from db.engine import Sessions
from db.schema import curation, labels, policies
from db.schema.base import utc_now
from db.statements.insertion import insert_batch
from models.labelling.rules import STANDING_RULE

RESPONSES, PROMPTS_A_BATCH, FLAGGED, GROUPED, IN_QUEUE = 8, 2_000, 40, 20, 6
STRATEGIES = ("easy", "hard", "centroid", "random")
PEOPLE, JUDGE = (1, 2, 3), 4
FIRST_RUN, SECOND_RUN, LABELLING, ALIGNMENT = 1, 2, 3, 4
QUEUE, SNAPSHOT, POLICIES, STEPS = 1, 1, 3, 2_000
VOCABULARY = 5_000

Rows = dict[Any, list[dict[str, Any]]]


def fill(sessions: Sessions, prompt_count: int) -> float:
    """Store the rows; returns the seconds it took."""
    rng, begun = random.Random(0), utc_now()
    with sessions.begin() as session:
        _few_rows(session.connection())
    for begin in range(0, prompt_count, PROMPTS_A_BATCH):
        tables = _rows(rng, range(begin, min(begin + PROMPTS_A_BATCH, prompt_count)), prompt_count)
        with sessions.begin() as session:
            for table, rows in tables.items():
                insert_batch(session.connection(), _table(table), rows)
    for statement in _DERIVED:
        with sessions.begin() as session:
            session.execute(text(statement), {"half": prompt_count // 2, "now": utc_now()})
    with sessions.begin() as session:
        _policies(session.connection())
        runs.set_status(session, FIRST_RUN, runs.COMPLETED)
        runs.set_status(session, LABELLING, runs.COMPLETED)
    if sessions.kw["bind"].dialect.name == "postgresql":
        with sessions.begin() as session:
            for table in ("sources", "generators", "annotators", "runs", "queues", "snapshots", "policies"):
                session.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)"))
        with sessions() as session:  # as it does by itself in a while; SQLite has no statistics
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(text("VACUUM ANALYZE"))
    return (utc_now() - begun).total_seconds()


def _few_rows(connection: Connection) -> None:
    def put(table: Any, rows: Sequence[dict[str, Any]]) -> None:
        connection.execute(insert(table), list(rows))

    sources = {"location": "", "format": "responses"}
    put(curation.Source, [sources | {"id": i, "name": n, "content_hash": str(i) * 64} for i, n in _named("first last")])
    put(curation.Generator, [{"id": 1, "key": "g", "backend": "imported", "model": "m"}])
    machines = {"kind": "person", "settings": {}, "has_both_orders": False}
    put(labels.Annotator, [machines | {"id": at, "key": str(at), "name": f"p{at}"} for at in PEOPLE])
    put(labels.Annotator, [machines | {"id": JUDGE, "key": "judge", "name": "judge", "kind": "judge"}])
    run = {"config": {"source": {"name": None}}, "status": runs.RUNNING, "code_version": "0", "kind": runs.CURATE}
    for id_, kind in ((FIRST_RUN, runs.CURATE), (SECOND_RUN, runs.CURATE), (LABELLING, "label"), (ALIGNMENT, "align")):
        put(curation.Run, [run | {"id": id_, "name": f"bench {id_}", "kind": kind, "config_key": f"k{id_}"}])
    connection.execute(text("UPDATE runs SET has_checked_prompts = (1 = 1) WHERE id <= 2"))
    connection.execute(text(f"UPDATE runs SET labelled_run_id = 1, annotator_id = {JUDGE} WHERE id = {LABELLING}"))
    queue = {"id": QUEUE, "key": "q", "name": "bench", "judgements_per_pair": 3, "pair_count": 0}
    put(labels.Queue, [queue])


def _policies(connection: Connection) -> None:
    policy = {"method": "dpo", "round": 1, "run_id": ALIGNMENT, "start_model": "m", "start_fingerprint": "f"}
    policy |= {"snapshot_id": SNAPSHOT, "data_hash": "d", "settings": {}, "code_version": "0", "library_versions": {}}
    policy |= {"status": "trained", "name": "bench"}
    rows = [policy | {"id": at + 1, "key": f"p{at}"} for at in range(POLICIES)]
    connection.execute(insert(policies.Policy), rows)
    points = {"split": "train", "name": "loss", "value": 0.5}
    metrics = [points | {"policy_id": at + 1, "step": step} for at in range(POLICIES) for step in range(STEPS)]
    insert_batch(connection, _table(policies.TrainingMetric), metrics)


def _rows(rng: random.Random, numbers: range, prompt_count: int) -> Rows:
    tables: Rows = {
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
        for response_id in range(number * RESPONSES + 1, (number + 1) * RESPONSES + 1):
            answer = _text(rng, rng.randint(10, 50))
            lengths[response_id] = len(answer)
            row = {"id": response_id, "key": f"r{response_id}", "prompt_id": id_, "generator_id": 1, "text": answer}
            tables[curation.Response].append(row)
            if rng.randrange(FLAGGED) == 0:
                flag = {"run_id": 1, "response_id": response_id, "prompt_id": id_, "value": 1.0, "is_left_out": False}
                tables[curation.GuardFlag].append(flag | {"rule": rng.choice(("language", "repetitive"))})
        _add_pairs(rng, tables, number, prompt_count, lengths)
    return {table: rows for table, rows in tables.items() if rows}


def _add_pairs(rng: random.Random, tables: Rows, number: int, prompt_count: int, lengths: dict[int, int]) -> None:
    """A prompt's pairs of both runs, and what was said of the first run's."""
    nothing: dict[str, Any] = {"outcome": None, "support": None, "vote_count": 0, "is_judged": False}
    said: dict[tuple[int, int], dict[str, Any]] = {}
    for run_id in (FIRST_RUN, SECOND_RUN):
        before = (run_id - 1) * prompt_count * len(STRATEGIES) + number * len(STRATEGIES)
        for at, strategy in enumerate(STRATEGIES, 1):
            first, second = sorted(rng.sample(sorted(lengths), 2))
            pair = {"first_response_id": first, "second_response_id": second}
            annotators = _annotators(number, run_id, strategy, rng)
            if annotators and (first, second) not in said:
                said[first, second] = _label(rng, pair, annotators, tables)
            similarity = {"easy": 0.4, "hard": 1.0}.get(strategy, 0.8) * rng.random()
            shorter, longer = sorted((lengths[first], lengths[second]))
            facts = {"similarity": similarity, "rank": 1, "pair_count": 28, "length_ratio": shorter / longer}
            row = {"id": before + at, "run_id": run_id, "strategy": strategy, "prompt_id": number + 1}
            tables[curation.Pair].append(row | pair | facts | said.get((first, second), nothing))


def _annotators(number: int, run_id: int, strategy: str, rng: random.Random) -> Sequence[int]:
    if run_id == FIRST_RUN and strategy in ("easy", "hard"):
        return (JUDGE,)
    if run_id == FIRST_RUN and strategy == "centroid" and number % IN_QUEUE == 0:
        return PEOPLE[: rng.randint(1, 3)]
    return ()


def _label(rng: random.Random, pair: dict[str, int], annotators: Sequence[int], tables: Rows) -> dict[str, Any]:
    verdicts = [rng.choice(("first", "first", "second", "tie")) for _ in annotators]
    for annotator_id, verdict in zip(annotators, verdicts, strict=True):
        place = (
            {"run_id": LABELLING, "queue_id": None} if annotator_id == JUDGE else {"run_id": None, "queue_id": QUEUE}
        )
        judgement = {"annotator_id": annotator_id, "left_response_id": pair["first_response_id"], "verdict": verdict}
        tables[labels.Judgement].append(pair | judgement | place)
    best = max(verdicts, key=verdicts.count)
    support = verdicts.count(best) / len(verdicts)
    label = {"outcome": best if support > 0.5 else "contradiction", "support": support, "vote_count": len(verdicts)}
    tables[labels.Preference].append(pair | label | {"rule": STANDING_RULE})
    return label | {"is_judged": True}


_SNAPSHOT = "run_id = 1 AND strategy = 'easy' AND outcome = 'first'"
_DERIVED = (
    "INSERT INTO source_responses (source_id, row_number, response_id) "
    "SELECT source_id, row_number, responses.id FROM source_rows "
    "JOIN responses ON responses.prompt_id = source_rows.prompt_id",
    "INSERT INTO source_pairs (source_id, row_number, first_response_id, second_response_id) "
    "SELECT DISTINCT 1, prompt_id, first_response_id, second_response_id FROM pairs "
    "WHERE run_id = 1 AND prompt_id <= :half",
    "INSERT INTO run_prompts (run_id, prompt_id, group_id) SELECT runs.id, prompts.id, "
    f"CASE WHEN prompts.id % {GROUPED} < 2 THEN prompts.id - prompts.id % {GROUPED} + {GROUPED} END "
    "FROM runs CROSS JOIN prompts WHERE runs.id <= 2",
    "INSERT INTO candidates (run_id, response_id, prompt_id, is_left_out) "
    "SELECT runs.id, responses.id, prompt_id, (1 = 0) FROM runs CROSS JOIN responses WHERE runs.id <= 2",
    "INSERT INTO queue_pairs (queue_id, position, first_response_id, second_response_id, wanted, judgement_count, "
    "is_done) SELECT 1, row_number() OVER (ORDER BY id), first_response_id, second_response_id, 3, vote_count, "
    "(vote_count >= 3) FROM pairs WHERE run_id = 1 AND strategy = 'centroid'",
    "UPDATE queues SET pair_count = counted.pairs, done_count = counted.done, wanted_count = 3 * counted.pairs, "
    "judged_count = counted.judged FROM (SELECT count(*) AS pairs, sum(CASE WHEN is_done THEN 1 ELSE 0 END) AS done, "
    "sum(judgement_count) AS judged FROM queue_pairs) AS counted",
    "INSERT INTO snapshots (id, key, content_hash, name, query, row_count, created_at) SELECT 1, 's', 's', 'bench', "
    f"'{{}}', count(*), :now FROM pairs WHERE {_SNAPSHOT}",
    "INSERT INTO snapshot_rows (snapshot_id, position, prompt_id, chosen_response_id, rejected_response_id, run_id, "
    "strategies, similarity, rule, support, vote_count) SELECT 1, row_number() OVER (ORDER BY id) - 1, prompt_id, "
    "first_response_id, second_response_id, 1, '[\"easy\"]', similarity, 'majority', 1.0, 1 "
    f"FROM pairs WHERE {_SNAPSHOT}",
)


def _table(mapped: Any) -> Table:
    table: Table = mapped.__table__
    return table


def _named(names: str) -> list[tuple[int, str]]:
    return list(enumerate(names.split(), 1))


def _text(rng: random.Random, count: int) -> str:
    """Words of which the n-th is about 1/n as frequent as the first."""
    return " ".join(f"w{int(VOCABULARY ** rng.random())}" for _ in range(count))
