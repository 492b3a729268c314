"""Small worlds of everything that can be forgotten, with files as steps would have left them; and what must hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from queued_pairs import open_queue, person
from sqlalchemy import insert, select, text
from stored_labels import judge, rows_of, take_snapshot
from stored_policies import finish, open_policy

from db import embeddings, evaluations, promotions, prompt_uses, runs
from db.labels import judgements, labelling, preferences, replies
from db.schema import curation, labels
from db.schema.base import Base
from models.files import file_name
from models.index.kept import KeptIndex, Source
from models.judging.replies import StoredReply
from models.labelling.records import AnnotatorIdentity, PairKey
from models.records import EmbedderIdentity
from models.vectors import VectorStore

DIMENSION, SHARD_ROWS = 8, 3
MODELS = ("tiny", "small")


@dataclass
class World:
    """A world: its database and artifacts, and the vectors as they were embedded."""

    sessions: object
    settings: object
    vectors: dict = field(default_factory=dict)

    @property
    def root(self):
        return self.settings.artifact_root

    def rows(self, table):
        with self.sessions() as session:
            return [dict(row) for row in session.execute(select(Base.metadata.tables[table])).mappings()]

    def names(self, kind):
        """What can be named, by id; people and sources by name."""
        table = {
            "source": "sources", "run": "runs", "queue": "queues", "policy": "policies", "person": "annotators",
            "snapshot": "snapshots",
        }[kind]  # fmt: skip
        rows = self.rows(table)
        if kind == "person":
            return sorted(row["name"] for row in rows if row["kind"] == "person")
        return sorted({row["name"] for row in rows}) if kind == "source" else [str(row["id"]) for row in rows]

    def write(self, path, content="x"):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content)


def vector(key, of, id_):
    """A vector that its owner can be told by."""
    seed = int(hashlib.sha256(f"{key} {of} {id_}".encode()).hexdigest()[:8], 16)
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)


def add_source(world, name, numbers):
    """Import prompts, each with two responses; the same number is the same prompt wherever it comes from."""
    content = hashlib.sha256(f"{name} {numbers}".encode()).hexdigest()
    from stored_rows import add, row

    add(
        world.sessions,
        *(row(at, f"prompt {number}", f"a{number}", f"b{number}") for at, number in enumerate(numbers, 1)),
        name=name,
        content_hash=content,
    )
    world.write(f"rejects/{file_name(name)}-{content[:8]}.jsonl")


def add_run(world, name, numbers, *, model=0, samples=1, is_done=True):
    """A curation of these prompts: responses of its own and others', vectors, an index, pairs, a page."""
    with world.sessions.begin() as session:
        prompts = [
            id_
            for id_, said in session.execute(select(curation.Prompt.id, curation.Prompt.text)).tuples()
            if any(said == f"prompt {number}" for number in numbers)
        ]
        run_id = runs.open_run(
            session, kind=runs.CURATE, name=name, config={}, config_key=name, code_version="0", prompt_ids=prompts
        )
        _sample(session, prompts, samples)
        if not is_done:
            runs.set_status(session, run_id, runs.STOPPED)
            return run_id
        _select(session, run_id, prompts)
        identity = EmbedderIdentity("hashed", MODELS[model], "f" * 64, "response", 512, "float32")
        embedder_id = embeddings.ensure_embedder(session, identity)
        runs.set_embedder(session, run_id, embedder_id)
        runs.fix_candidates(session, run_id)
        runs.set_status(session, run_id, runs.COMPLETED)
    for of in ("responses", "prompts"):
        _embed(world, run_id, embedder_id, identity.key, of)
    world.write(f"reports/run-{run_id}.html", name)
    return run_id


def add_labels(world, run_id, judge_name, kind=runs.LABEL):
    """A run over a curation's pairs in which a judge labels, or is calibrated; its id."""
    with world.sessions.begin() as session:
        pairs = labelling.pair_keys(session, run_id)
        name = f"{judge_name} {run_id} {len(world.rows('runs'))}"
        label_run = runs.open_run(
            session, kind=kind, name=name, config={}, config_key=name, code_version="0", labelled_run_id=run_id
        )
        judge_id = judgements.add_annotator(session, AnnotatorIdentity("judge", judge_name))
        runs.set_annotator(session, label_run, judge_id)
        said = [
            {
                "annotator_id": judge_id,
                "first_response_id": pair.first_response_id,
                "second_response_id": pair.second_response_id,
                "left_response_id": pair.first_response_id,
                "verdict": ("first", "second", "tie")[pair.second_response_id % 3],
                "run_id": label_run,
            }
            for pair in pairs
            if pair not in {one for one, _ in judgements.judged_showings(session, judge_id, pairs)}
        ]
        if said:
            session.execute(insert(labels.Judgement), said)
        preferences.recompute(session, pairs)
        preferences.recompute(session, pairs, name="weighted of annotators 1")
        replies.add_replies(
            session, label_run, {hashlib.sha256(name.encode()).hexdigest(): StoredReply("m", 1, 9, 1, 0)}
        )
        runs.set_status(session, label_run, runs.COMPLETED)
    return label_run


def add_queue(world, run_id, people, per_pair=1):
    """A queue of a run's pairs, of which each of these people judges some; its id."""
    with world.sessions() as session:
        pairs = labelling.pair_keys(session, run_id)
    if not pairs:
        return None
    queue = open_queue(world.sessions, pairs, k=per_pair)
    for number, name in enumerate(people):
        person(world.sessions, name)
        for pair in pairs[number::2]:
            judge(world.sessions, AnnotatorIdentity("person", name), pair, ("first", "second")[number % 2])
    from db.labels.queues import labels_came

    with world.sessions.begin() as session:
        labels_came(session, pairs)
    return queue


def add_snapshot(world, run_id):
    """An export of a run's preferences; None where it has none."""
    rows = rows_of(world.sessions, run_id)
    return take_snapshot(world.sessions, rows, name=f"of {run_id}") if rows else None


def add_policy(world, snapshot_id, *, parent_id=None, baseline_id=None, is_promoted=False):
    """An alignment of a snapshot with its policy, compared with a baseline; the policy's id."""
    number = len(world.rows("policies")) + 1
    with world.sessions.begin() as session:
        name = f"aligned {number}"
        run_id = runs.open_run(session, kind=runs.ALIGN, name=name, config={}, config_key=name, code_version="0")
        row = labels.SnapshotRow
        query = select(row.prompt_id, row.chosen_response_id, row.rejected_response_id).filter_by(
            snapshot_id=snapshot_id
        )
        texts = session.execute(query).tuples().all()
        prompt_uses.add_uses(session, run_id, train=sorted({prompt_id for prompt_id, *_ in texts}), held_out=[])
        runs.set_status(session, run_id, runs.COMPLETED)
    policy = open_policy(
        world.sessions, run_id, f"{number:x}", snapshot_id=snapshot_id, parent_id=parent_id, start_fingerprint="s" * 64
    )
    finish(world.sessions, policy.id, loss=0.5)
    world.write(f"policies/{policy.key[:16]}/model/weights", policy.key)
    world.write(f"reports/policy-{policy.id}.html", policy.key)
    with world.sessions.begin() as session:
        values = {"baseline_id": baseline_id, "baseline_model": None if baseline_id else "demo"}
        evaluation = evaluations.open_evaluation(
            session, key=f"{number:064}", run_id=run_id, policy_id=policy.id, settings={}, **values
        )
        evaluations.add_evaluation_pairs(session, evaluation, texts[:1])
        if is_promoted:
            promotions.promote(session, policy.id, evaluation_id=evaluation, is_forced=True, reason="x")
    return policy.id


def check(world):
    """Whatever was forgotten: no row names one that is gone, nothing is shared by nobody, vectors are their owners'."""
    with world.sessions() as session:
        if session.get_bind().dialect.name == "sqlite":
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
    tables = {table.name: world.rows(table.name) for table in Base.metadata.sorted_tables}
    assert tables["forgettings"] == []
    ids = {name: {row["id"] for row in rows} for name, rows in tables.items() if rows and "id" in rows[0]}
    for row in tables["runs"]:
        assert row["labelled_run_id"] is None or row["labelled_run_id"] in ids["runs"]
        assert row["annotator_id"] is None or row["annotator_id"] in ids["annotators"]
    _check_held(tables)
    _check_labels(world, tables)
    _check_vectors(world, tables)
    _check_files(world, tables)


def _check_held(tables):
    columns = {"response_id", "first_response_id", "second_response_id", "chosen_response_id", "rejected_response_id",
               "policy_response_id", "baseline_response_id", "golden_response_id"}  # fmt: skip
    holding = ("candidates", "source_responses", "source_pairs", "snapshot_rows", "queue_pairs", "evaluation_pairs")
    held = {row[column] for name in holding for row in tables[name] for column in columns & row.keys()}
    open_runs = {
        row["id"] for row in tables["runs"] if not row["has_fixed_candidates"] and row["status"] != "completed"
    }
    of_prompts = {row["prompt_id"] for row in tables["prompt_uses"]}
    of_prompts |= {row["prompt_id"] for row in tables["run_prompts"] if row["run_id"] in open_runs}
    held |= {row["id"] for row in tables["responses"] if row["prompt_id"] in of_prompts}
    assert {row["id"] for row in tables["responses"]} <= held
    prompts = {row["prompt_id"] for name in (*holding, "source_rows", "run_prompts", "prompt_uses", "responses")
               for row in tables[name] if "prompt_id" in row}  # fmt: skip
    assert {row["id"] for row in tables["prompts"]} == prompts
    assert {row["id"] for row in tables["generators"]} == {row["generator_id"] for row in tables["responses"]}
    judging = {row["annotator_id"] for name in ("judgements", "runs") for row in tables[name]}
    assert {row["id"] for row in tables["annotators"] if row["kind"] != "person"} <= judging


def _check_labels(world, tables):
    pairs = {PairKey(row["first_response_id"], row["second_response_id"]) for row in tables["judgements"]}
    before = sorted(map(repr, ({**row, "updated_at": 0} for row in tables["preferences"] if row["rule"] == "majority")))
    with world.sessions() as session:
        judged = sorted(pairs)
        preferences.recompute(session, judged)
        table = labels.Preference.__table__
        rows = session.execute(select(table).where(table.c.rule == "majority")).mappings()
        assert sorted(map(repr, ({**row, "updated_at": 0} for row in rows))) == before
        session.rollback()
    people = {row["id"] for row in tables["annotators"] if row["kind"] == "person"}
    for row in tables["queue_pairs"]:
        pair = row["first_response_id"], row["second_response_id"]
        judged_by = {
            one["annotator_id"]
            for one in tables["judgements"]
            if (one["first_response_id"], one["second_response_id"]) == pair and one["annotator_id"] in people
        }
        assert row["judgement_count"] == len(judged_by)
    for queue in tables["queues"]:
        own = [row for row in tables["queue_pairs"] if row["queue_id"] == queue["id"]]
        assert (queue["pair_count"], queue["done_count"]) == (len(own), sum(row["is_done"] for row in own))


def _check_vectors(world, tables):
    keys = {row["id"]: row["key"] for row in tables["embedders"]}
    assert set(keys) == {row["embedder_id"] for row in tables["runs"]} - {None}
    for of, table, name, folder in (
        ("responses", "embeddings", "response_id", "vectors"),
        ("prompts", "prompt_embeddings", "prompt_id", "prompt_vectors"),
    ):
        stored = sorted(path.name for path in (world.root / folder).glob("*"))
        assert stored == sorted(key[:16] for id_, key in keys.items() if (world.root / folder / key[:16]).exists())
        for id_, key in keys.items():
            store = VectorStore(world.root / folder / key[:16])
            places = {(row["shard"], row["row"]): row[name] for row in tables[table] if row["embedder_id"] == id_}
            assert set(store.shards()) == {shard for shard, _ in places} and store.drafts() == []
            for shard in store.shards():
                read = store.read_shard(shard)
                assert [places[shard, at] for at in range(len(read.ids))] == read.ids.tolist()
                for at, owner in enumerate(read.ids.tolist()):
                    assert read.vectors[at].tobytes() == world.vectors[key, of, owner]
            index = KeptIndex(world.root / "indexes" / key[:16] / of, lambda _: np.empty((0, DIMENSION)))
            found = index.open([], factory=None) if not places else None
            manifest = world.root / "indexes" / key[:16] / of / "index.json"
            if manifest.is_file():
                assert found is None and {one for one, *_ in _sources(manifest)} <= set(store.shards())
            else:
                assert not list((world.root / "indexes" / key[:16] / of).glob("*.npy"))


def _sources(manifest):
    import json

    return json.loads(manifest.read_text())["sources"]


def _check_files(world, tables):
    pages = {f"run-{row['id']}.html" for row in tables["runs"]} | {
        f"policy-{row['id']}.html" for row in tables["policies"]
    }
    assert {path.name for path in (world.root / "reports").glob("*")} <= pages
    assert {path.name for path in (world.root / "policies").glob("*")} == {
        row["key"][:16] for row in tables["policies"]
    }
    rejects = {f"{file_name(row['name'])}-{row['content_hash'][:8]}.jsonl" for row in tables["sources"]}
    assert {path.name for path in (world.root / "rejects").glob("*")} == rejects


def _sample(session, prompt_ids, count):
    if not prompt_ids or not count:
        return
    generator = session.scalar(select(curation.Generator.id).filter_by(key="g" * 64))
    if generator is None:
        session.execute(insert(curation.Generator), [{"key": "g" * 64, "backend": "scripted"}])
        generator = session.scalar(select(curation.Generator.id).filter_by(key="g" * 64))
    have = set(session.scalars(select(curation.Response.key)))
    new = [
        {
            "key": f"{prompt_id} {at}",
            "prompt_id": prompt_id,
            "generator_id": generator,
            "sample_index": at,
            "text": f"sample {prompt_id} {at}",
        }
        for prompt_id in prompt_ids
        for at in range(count)
        if f"{prompt_id} {at}" not in have
    ]
    if new:
        session.execute(insert(curation.Response), new)


def _select(session, run_id, prompt_ids):
    response = curation.Response
    for prompt_id in prompt_ids:
        ids = session.scalars(select(response.id).filter_by(prompt_id=prompt_id).order_by(response.id)).all()
        candidates = [{"run_id": run_id, "response_id": id_, "prompt_id": prompt_id} for id_ in ids]
        session.execute(insert(curation.Candidate), candidates)
        if len(ids) > 1:
            pair = {"run_id": run_id, "strategy": "easy", "prompt_id": prompt_id, "first_response_id": ids[0],
                    "second_response_id": ids[-1], "similarity": 0.5, "rank": 1, "pair_count": 1}  # fmt: skip
            session.execute(insert(curation.Pair), [pair])


def _embed(world, run_id, embedder_id, key, of):
    folder = {"responses": "vectors", "prompts": "prompt_vectors"}[of]
    store = VectorStore(world.root / folder / key[:16])
    with world.sessions.begin() as session:
        if of == "responses":
            page = embeddings.responses_to_embed(session, run_id, embedder_id, after=0, size=1000)
        else:
            page = embeddings.prompts_to_embed(session, run_id, embedder_id, after=0, size=1000)
        ids = [one.id for one in page]
        for start in range(0, len(ids), SHARD_ROWS):
            some = ids[start : start + SHARD_ROWS]
            shard = store.write_shard(some, np.stack([vector(key, of, id_) for id_ in some]))
            stored = store.read_shard(shard)
            for row, id_ in enumerate(some):
                world.vectors[key, of, id_] = stored.vectors[row].tobytes()
                place = (id_, shard, row, 1, False)
                if of == "responses":
                    embeddings.add_embeddings(session, embedder_id, [embeddings.NewEmbedding(*place)])
                else:
                    embeddings.add_prompt_embeddings(session, embedder_id, [embeddings.NewPromptEmbedding(*place)])
        sources = [
            Source(shard, np.array(ids, dtype=np.int64), np.array(rows, dtype=np.int64))
            for shard, ids, rows in embeddings.embedded_rows(session, embedder_id, of=of)
        ]
    KeptIndex(world.root / "indexes" / key[:16] / of, lambda shard: store.read_shard(shard).vectors).open(sources)
