"""The steps in this process, without a server: what they leave in the database and the vector store."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from curation_steps import configured, curate, row
from sqlalchemy import select as query
from sqlalchemy import text as sql
from stored_rows import add
from surroundings import on_postgresql, on_sqlite

from db import runs
from db.schema import curation
from models.embedding.hashed import HashedEmbedder
from models.errors import PromptsRefusedError, PromptTooLongError
from models.generation.scripted import ScriptedGenerator
from models.records import Prompt
from tasks.config.exchange import ImportConfig
from tasks.curation import embedding, generation
from tasks.curation.embedding import embed
from tasks.curation.engines import HASHED_DIMENSION, vector_store
from tasks.curation.generation import generate
from tasks.curation.ingestion import import_demo_prompts, import_source
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.curation.similar import similar_responses
from tasks.errors import NothingToDoError
from tasks.reports.run_ends import run_end
from tasks.reports.run_page import write_run_report
from tasks.reports.run_queries import find_run, run_summaries


def test_seeds_parameters_counts_and_reasons_are_stored_with_each_response(settings, sessions):
    add(sessions, row(1, "Why is the sky blue?"))
    generate = {"temperature": 0.7, "max_tokens": 5, "stop": ["END"], "system_prompt": "Be brief."}
    curate(configured(generate=generate, select={"has_cut": True}))
    with sessions() as session:
        stored = session.scalars(query(curation.Response)).all()
        generator = session.scalars(query(curation.Generator)).one()
    assert [response.sample_index for response in stored] == [0, 1, 2, 3]
    assert len({response.seed for response in stored}) == 4
    assert all(0 < response.token_count <= 5 and response.finish_reason in {"stop", "length"} for response in stored)
    assert generator.parameters == {
        "temperature": 0.7, "top_p": 1.0, "max_tokens": 5, "stop": ["END"], "system_prompt": "Be brief.",
    }  # fmt: skip
    assert (generator.backend, generator.model, generator.seed) == ("scripted", "scripted", 0)


@on_sqlite
def test_other_parameters_and_other_seeds_are_other_responses(settings, sessions):
    add(sessions, row(1, "Why?"))
    for changes in ({}, {"generate": {"temperature": 0.5}}, {"seed": 1}, {"generate": {"models": ["other"]}}):
        curate(configured(**changes))
    with sessions() as session:
        seeds = session.scalars(query(curation.Response.seed)).all()
        assert len(seeds) == 16
        assert len(set(seeds)) == 12, "temperature alone does not change the noise; run seed and model do"


@on_sqlite
def test_a_prompt_keeps_its_noise_whatever_else_is_in_the_run(settings, sessions):
    add(sessions, row(1, "Why?"))
    curate(configured(name="alone"))
    with sessions() as session:
        alone = session.scalars(query(curation.Response.seed).order_by(curation.Response.sample_index)).all()
    assert len(set(alone)) == 4
    with sessions.begin() as session:
        for table in reversed(curation.Base.metadata.sorted_tables):
            session.execute(table.delete())
    add(sessions, *(row(number, f"Other {number}?") for number in range(1, 9)), row(9, "Why?"))
    curate(configured(name="among others", generate={"prompts_per_shard": 3}))
    with sessions() as session:
        among = session.scalars(
            query(curation.Response.seed)
            .join(curation.Prompt, curation.Prompt.id == curation.Response.prompt_id)
            .where(curation.Prompt.text == "Why?")
            .order_by(curation.Response.sample_index)
        ).all()
    assert among == alone


def test_prompts_with_responses_of_their_own_are_not_sampled_for_unless_told_to(settings, sessions):
    add(sessions, row(1, "own", "one", "two"), row(2, "single", "one"), row(3, "none"))
    expected = {
        "missing": {"own": 2, "single": 5, "none": 4},
        "always": {"own": 6, "single": 5, "none": 4},
        "never": {"own": 2, "single": 1},
    }
    for when, counts in expected.items():
        run_id = curate(configured(generate={"when": when}))
        with sessions() as session:
            found = session.execute(
                query(curation.Prompt.text)
                .join(curation.Candidate, curation.Candidate.prompt_id == curation.Prompt.id)
                .where(curation.Candidate.run_id == run_id)
            ).scalars().all()  # fmt: skip
            assert {text: found.count(text) for text in set(found)} == counts
            if when == "never":
                assert runs.skip_counts(session, run_id) == {
                    "needs 2 different responses: one candidate": 1,
                    "needs 2 different responses: no candidate": 1,
                }


@dataclass
class Repeating:
    """A generator that says the same for seeds of one half and different things for the other."""

    calls: int = 0

    def __init__(self, parameters):
        self._inner = ScriptedGenerator(parameters)

    def generate(self, requests):
        responses = self._inner.generate(requests)
        return [
            [replace(r, text="the same") if r.seed % 2 else replace(r, text=f"{r.seed}") for r in row]
            for row in responses
        ]

    def close(self):
        self._inner.close()


def with_generator(monkeypatch, make):
    monkeypatch.setattr(generation, "make_generator", lambda config, *_, **__: make(config.generate.sampling()))


def test_extra_tries_replace_duplicates_and_record_them(settings, sessions, monkeypatch):
    with_generator(monkeypatch, Repeating)
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 21)))
    without, with_tries = curate(configured()), curate(configured(generate={"extra_tries": 3}))
    with sessions() as session:
        before, after = (runs.summaries(session, run_id)[0] for run_id in (without, with_tries))
    assert before.responses == 80 < after.responses
    assert after.responses - after.duplicates > before.responses - before.duplicates
    assert after.responses - after.duplicates <= 80


class TooLongForOne:
    """A generator whose context is too short for prompts that say "long"."""

    def __init__(self, parameters):
        self._inner = ScriptedGenerator(parameters)

    def generate(self, requests):
        long = tuple(at for at, request in enumerate(requests) if "long" in request.prompt.text)
        if long:
            raise PromptTooLongError("too long", long)
        return self._inner.generate(requests)

    def close(self):
        self._inner.close()


def test_prompts_too_long_for_the_model_are_left_out_with_their_reason(settings, sessions, monkeypatch):
    with_generator(monkeypatch, TooLongForOne)
    add(sessions, row(1, "short"), row(2, "long"), row(3, "long with own responses", "a", "b"))
    run_id = curate(configured(generate={"when": "always"}))
    with sessions() as session:
        assert runs.skip_counts(session, run_id) == {"too long for scripted with generate.max_tokens 256": 1}
        assert runs.summaries(session, run_id)[0].pairs == 8


class RefusesOne(TooLongForOne):
    """A generator whose chat template refuses prompts that say "long"."""

    def generate(self, requests):
        refused = {at: "no such role" for at, request in enumerate(requests) if "long" in request.prompt.text}
        if refused:
            raise PromptsRefusedError("refused", refused)
        return self._inner.generate(requests)


def test_prompts_that_the_template_refuses_are_left_out_and_the_others_are_stored(settings, sessions, monkeypatch):
    with_generator(monkeypatch, RefusesOne)
    add(sessions, row(1, "short"), row(2, "long"))
    run_id = curate(configured())
    with sessions() as session:
        assert runs.skip_counts(session, run_id) == {"refused for scripted: no such role": 1}
        assert runs.summaries(session, run_id)[0].pairs == 4


def test_a_failed_step_is_recorded_and_the_run_is_taken_up_again(settings, sessions, monkeypatch):
    add(sessions, row(1, "Why?"))
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "make_embedder", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            curate(configured())
    with sessions() as session:
        run = session.scalars(query(curation.Run)).one()
        assert (run.status, run.error) == ("failed", "ZeroDivisionError: division by zero")
    assert curate(configured()) == run.id
    with sessions() as session:
        assert runs.get_run(session, run.id).status == "completed"


@on_sqlite
def test_vectors_in_the_store_are_those_of_the_texts(settings, sessions):
    add(sessions, row(1, "a", "one text", "another text", "", "one text"))
    run_id = curate(configured(embed={"responses_per_shard": 2}))
    with sessions() as session:
        embedder = session.scalars(query(curation.Embedder)).one()
        rows = session.execute(
            query(curation.Response.text, curation.Embedding.shard, curation.Embedding.row)
            .join(curation.Embedding, curation.Embedding.response_id == curation.Response.id)
        ).all()  # fmt: skip
        summary = runs.summaries(session, run_id)[0]
    assert (summary.responses, summary.duplicates, summary.empty_responses, summary.pairs) == (4, 1, 1, 4)
    store = vector_store(embedder.key, settings)
    twin = HashedEmbedder(dimension=HASHED_DIMENSION)
    from models.embedding import EmbeddingRequest

    for text, shard, place in rows:
        if shard is None:
            assert text == ""
            continue
        raw = twin.embed([EmbeddingRequest(Prompt.from_text("a"), text)]).vectors[0]
        np.testing.assert_allclose(store.gather([shard], [place])[0], raw / np.linalg.norm(raw), atol=1e-3)


def test_the_same_run_twice_selects_the_same_pairs_in_any_page_size(settings, sessions, monkeypatch):
    import_demo_prompts(settings)
    config = configured(source={"limit": 30})
    first = curate(config)
    monkeypatch.setattr("tasks.curation.selection.PROMPTS_PER_PAGE", 7)
    second = curate(config)
    with sessions() as session:

        def pairs_of(run_id):
            columns = (curation.Pair.strategy, curation.Pair.first_response_id, curation.Pair.second_response_id)
            return set(session.execute(query(*columns).where(curation.Pair.run_id == run_id)).tuples().all())

        assert first != second and pairs_of(first) == pairs_of(second)
        assert len(pairs_of(first)) == 4 * 30


def test_figures_report_and_neighbours_of_a_run(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 6)))
    run_id = curate(configured())
    end = run_end(run_id, settings)
    assert {name: row.pairs for name, row in end.strategies.items()} == dict.fromkeys(
        ("easy", "hard", "centroid", "random"), 5
    )
    medians = {name: row.median_similarity for name, row in end.strategies.items()}
    assert medians["easy"] <= medians["random"] <= medians["hard"]
    assert find_run("last", settings) == run_id == run_summaries(settings)[0].run_id
    assert "curation" in write_run_report(run_id, settings).read_text()
    near = similar_responses(1, 3, settings)
    assert near[0].response_id == 1 and near[0].similarity == 1.0
    assert [n.similarity for n in near] == sorted((n.similarity for n in near), reverse=True)


@on_sqlite
def test_a_run_without_prompts_is_refused(settings, sessions):
    with pytest.raises(NothingToDoError, match="there are no prompts yet"):
        open_run.fn(configured())


def test_what_is_imported_later_does_not_change_an_unfinished_run(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 6)))
    run_id = open_run.fn(configured())
    for step in (generate, embed, select):
        step.fn(run_id)
    with sessions() as session:
        before = session.execute(query(curation.Pair.strategy, curation.Pair.prompt_id)).tuples().all()
    add(
        sessions,
        *(row(number, f"Prompt {number}?", "a late response") for number in range(1, 6)),
        content_hash="2" * 64,
    )
    assert open_run.fn(configured()) == run_id
    for step in (generate, embed, select):
        step.fn(run_id)
    with sessions() as session:
        assert session.execute(query(curation.Pair.strategy, curation.Pair.prompt_id)).tuples().all() == before
        assert len(before) == len(set(before)) == 20


def test_a_prompt_with_more_responses_than_selection_takes_is_left_out_with_its_reason(settings, sessions):
    add(sessions, row(1, "many", *(f"text {n}" for n in range(65))), row(2, "most", *(f"text {n}" for n in range(64))))
    run_id = curate(configured())
    with sessions() as session:
        assert runs.skip_counts(session, run_id) == {"has 65 different responses, selection takes 64 at most": 1}
        assert runs.summaries(session, run_id)[0].pairs == 4


class Unstorable:
    """A generator whose texts hold what no database stores."""

    def __init__(self, parameters):
        self._inner = ScriptedGenerator(parameters)

    def generate(self, requests):
        return [[replace(r, text=f"{r.text}\x00\ud83d!") for r in row] for row in self._inner.generate(requests)]

    def close(self):
        self._inner.close()


def test_characters_that_no_database_stores_are_replaced(settings, sessions, monkeypatch):
    with_generator(monkeypatch, Unstorable)
    add(sessions, row(1, "Why?"))
    curate(configured())
    with sessions() as session:
        texts = session.scalars(query(curation.Response.text)).all()
    assert len(texts) == 4 and all(text.endswith("\ufffd\ufffd!") for text in texts)


def test_another_split_of_the_same_data_set_is_another_source(settings, sessions, tmp_path):
    from datasets import Dataset, DatasetDict

    splits = {name: Dataset.from_list([{"prompt": f"{name} {n}"} for n in range(5)]) for name in ("train", "test")}
    DatasetDict(splits).save_to_disk(tmp_path / "both")
    for split in ("train", "test"):
        config = ImportConfig(name="both", split=split)
        assert import_source(str(tmp_path / "both"), config, settings).added.prompts == 5
        assert import_source(str(tmp_path / "both"), config, settings).added.prompts == 0
    for split in ("train", "test"):
        assert open_run.fn(configured(source={"name": "both", "split": split}, name=split))
    with sessions() as session:
        assert session.query(curation.SourceRow).count() == session.query(curation.RunPrompt).count() == 10


@on_sqlite
def test_rows_rejected_are_kept_with_number_and_reason(settings, sessions, tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"prompt": "good"}\n{"prompt": ""}\n{"prompt": 5}\nnot json\n')
    result = import_source(str(path), ImportConfig(), settings)
    assert (result.rows, result.rejected, result.added.prompts) == (1, 3, 1)
    rejects = [json.loads(line) for line in result.rejects_path.read_text().splitlines()]
    assert [reject["row_number"] for reject in rejects] == [2, 3, 4]
    assert all(reject["reason"] for reject in rejects)

    path.write_text('{"prompt": ""}\n')
    other = import_source(str(path), ImportConfig(limit=1), settings)
    assert other.name == result.name and other.rejected == 1
    assert len(result.rejects_path.read_text().splitlines()) == 3, "another import's rejects stay"


@on_postgresql
def test_the_planner_knows_how_many_rows_each_step_has_stored(settings, sessions):
    add(sessions, row(1, "Why is the sky blue?"), row(2, "And grass green?"))
    curate(configured())
    with sessions() as session:
        for table in ("responses", "candidates", "embeddings", "prompt_embeddings", "guard_flags", "pairs"):
            known = sql("SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)")
            count = session.scalar(sql(f"SELECT count(*) FROM {table}"))
            assert session.scalar(known, {"table": table}) == count, table
