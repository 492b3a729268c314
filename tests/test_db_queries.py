"""Query files on both databases: natural keys, candidates, where vectors lie, pairs, the views."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from sqlalchemy import select, text
from stored_rows import GENERATOR, add, all_prompt_ids, ids_by_text, open_run, row

from db import embeddings, pairs, prompts, responses, runs
from db.schema import curation
from models.records import (
    EmbedderIdentity,
    GeneratedResponse,
    ImportedPair,
    ImportedResponse,
    ImportedRow,
    Pair,
    Prompt,
    StoredPrompt,
)

EMBEDDER = EmbedderIdentity("hashed", "hashed", "hashed", "response", 64, "float32")


def sampled(prompt_id, prompt, index, text):
    stored = StoredPrompt(prompt_id, Prompt.from_text(prompt))
    return responses.NewResponse(
        stored, index, GeneratedResponse(text, seed=2**53 - 1, token_count=3, finish_reason="stop")
    )


def test_importing_the_same_rows_twice_adds_nothing(sessions):
    rows = [row(1, "a", "x", "y"), row(2, "b", "x", pair=None), row(3, "a", "x", "y")]
    assert add(sessions, *rows) == prompts.Added(prompts=2, responses=3, pairs=0)
    assert add(sessions, *rows) == prompts.Added()
    assert add(sessions, *rows, name="other") == prompts.Added()


def test_equal_texts_within_a_row_are_two_responses_and_a_repeated_row_adds_none(sessions):
    twice = ImportedRow(1, Prompt.from_text("a"), (ImportedResponse("same"), ImportedResponse("same")))
    assert add(sessions, twice).responses == 2
    assert add(sessions, replace(twice, row_number=2)).responses == 0


def test_a_reference_and_a_response_with_its_text_are_two(sessions):
    both = (ImportedResponse("same"), ImportedResponse("same", is_reference=True))
    assert add(sessions, ImportedRow(1, Prompt.from_text("a"), both)).responses == 2


def test_prompts_are_selected_by_source_split_and_limit(sessions):
    add(sessions, row(1, "a", split="train"), row(2, "b", split="test"), row(3, "c", split="train"), name="one")
    add(sessions, row(1, "d"), row(2, "a"), name="two", content_hash="1" * 64)
    with sessions() as session:

        def chosen(**wanted):
            ids = prompts.select_prompt_ids(session, **({"source": None, "split": None, "limit": None} | wanted))
            return [session.get(curation.Prompt, id_).text for id_ in ids]

        assert chosen() == ["a", "b", "c", "d"]
        assert chosen(source="one", split="train") == ["a", "c"]
        assert chosen(source="two") == ["a", "d"]
        assert chosen(source="one", limit=2) == ["a", "b"]
        assert chosen(source="none") == []
        assert prompts.source_names(session) == ["one", "two"]


def test_a_dialogue_is_read_as_it_was_written(sessions):
    dialogue = Prompt((*Prompt.from_text("hé").messages, *Prompt.from_text('\u2028"{').messages))
    add(sessions, ImportedRow(1, dialogue))
    run = open_run(sessions, all_prompt_ids(sessions))
    with sessions() as session:
        assert prompts.run_prompts_after(session, run, 0, 10)[0].prompt == dialogue


def test_pages_of_prompts_cover_a_run_once(sessions):
    add(sessions, *(row(n, f"prompt {n}") for n in range(1, 26)))
    ids = all_prompt_ids(sessions)
    run = open_run(sessions, ids)
    seen, after = [], 0
    with sessions() as session:
        assert prompts.count_run_prompts(session, run) == 25
        while page := prompts.run_prompts_after(session, run, after, 10):
            seen += [prompt.id for prompt in page]
            after = page[-1].id
    assert seen == ids


def test_generated_responses_are_stored_once_whatever_a_retry_says(sessions):
    add(sessions, row(1, "a"))
    (prompt_id,) = all_prompt_ids(sessions)
    with sessions.begin() as session:
        generator = responses.ensure_generator(session, GENERATOR)
        assert responses.ensure_generator(session, GENERATOR) == generator
        new = [sampled(prompt_id, "a", 0, "first"), sampled(prompt_id, "a", 1, "second")]
        assert responses.add_generated(session, generator, GENERATOR, new) == 2
        assert responses.add_generated(session, generator, GENERATOR, [sampled(prompt_id, "a", 1, "other")]) == 0
        assert responses.generated_texts(session, generator, [prompt_id]) == {prompt_id: {0: "first", 1: "second"}}
    with sessions() as session:
        stored = session.scalars(select(curation.Response)).first()
        assert (stored.seed, stored.token_count, stored.finish_reason) == (2**53 - 1, 3, "stop")
        assert session.scalars(select(curation.Generator)).one().parameters["max_tokens"] == 8


def test_candidates_are_own_responses_and_wanted_samples_and_duplicates_are_recorded(sessions):
    add(
        sessions,
        row(1, "a", "same", "own"),
        ImportedRow(2, Prompt.from_text("a"), (ImportedResponse("r", is_reference=True),)),
    )
    (prompt_id,) = all_prompt_ids(sessions)
    run = open_run(sessions, [prompt_id])
    with sessions.begin() as session:
        generator = responses.ensure_generator(session, GENERATOR)
        new = [sampled(prompt_id, "a", index, t) for index, t in enumerate(["same", "new", "not wanted"])]
        responses.add_generated(session, generator, GENERATOR, new)
        counts = {generator: {prompt_id: 2}}
        assert responses.add_candidates(session, run, [prompt_id], sample_counts=counts) == 4
        assert responses.add_candidates(session, run, [prompt_id], sample_counts=counts) == 0
    with sessions() as session:
        found = session.scalars(select(curation.Candidate).order_by(curation.Candidate.response_id)).all()
        texts = [session.get(curation.Response, candidate.response_id).text for candidate in found]
        assert texts == ["same", "own", "same", "new"]
        assert [c.duplicate_of_id for c in found] == [None, None, found[0].response_id, None]


def test_own_responses_count_as_different_texts_without_references(sessions):
    add(
        sessions,
        row(1, "a", "x", "x", "y"),
        ImportedRow(2, Prompt.from_text("b"), (ImportedResponse("r", is_reference=True),)),
    )
    with sessions() as session:
        ids = all_prompt_ids(sessions)
        assert responses.own_response_counts(session, ids) == {ids[0]: 2}


def embedded_run(sessions, *rows, empty=()):
    """A run whose candidates are the rows' responses, "embedded": row n of shard `s` for the n-th response id."""
    add(sessions, *rows)
    ids = all_prompt_ids(sessions)
    run = open_run(sessions, ids)
    with sessions.begin() as session:
        responses.add_candidates(session, run, ids, sample_counts={})
        embedder = embeddings.ensure_embedder(session, EMBEDDER)
        runs.set_embedder(session, run, embedder)
        missing = embeddings.responses_to_embed(session, run, embedder, after=0, size=100)
        assert embeddings.count_to_embed(session, run, embedder) == len(missing)
        new = [
            embeddings.NewEmbedding(r.id, None, None, 0, False)
            if r.text in empty
            else embeddings.NewEmbedding(r.id, "s", at, 5, at == 0)
            for at, r in enumerate(missing)
        ]
        assert embeddings.add_embeddings(session, embedder, new) == len(missing)
        assert embeddings.responses_to_embed(session, run, embedder, after=0, size=100) == []
    return run, embedder, ids


def test_duplicates_are_not_embedded_and_empty_responses_have_no_vector(sessions):
    run, embedder, ids = embedded_run(sessions, row(1, "a", "x", "x", "", "y"), empty=("",))
    with sessions() as session:
        located = embeddings.vector_locations(session, run, embedder, ids)
        names = ids_by_text(sessions)
        assert [(x.response_id, x.shard, x.row) for x in located] == [
            (located[0].response_id, "s", 0),
            (names["y"], "s", 2),
        ]
        summary = runs.summaries(session, run)[0]
        assert (summary.responses, summary.duplicates, summary.empty_responses, summary.truncated_responses) == (
            4,
            1,
            1,
            1,
        )
        assert list(embeddings.embedded_rows(session, embedder)) == [("s", [x.response_id for x in located], [0, 2])]


def test_source_pairs_find_vectors_and_leave_out_equal_texts(sessions):
    pair = ImportedPair(0, 1, "second")
    run, embedder, _ = embedded_run(
        sessions,
        row(1, "a", "x", "y", pair=pair),
        row(2, "b", "same", "same", pair=pair),
        row(3, "c", "z", "w", pair=pair),
        row(4, "c", "z", "w", pair=pair),
    )
    with sessions() as session:
        found = pairs.source_pair_locations(session, run, embedder)
        texts = {id_: t for t, id_ in ids_by_text(sessions).items()}
        assert [(texts.get(p.first.response_id), p.first.row, p.second.row) for p in found] == [
            ("x", 0, 1),
            ("z", 3, 4),
        ]
        assert all(p.first.response_id < p.second.response_id for p in found)
        assert session.scalars(select(curation.SourcePair.preferred)).all() == ["second"] * 4


def test_pairs_are_stored_once_and_shown_with_their_lineage(sessions):
    run, _, ids = embedded_run(sessions, row(1, "a", "x", "y"))
    names = ids_by_text(sessions)
    pair = Pair("easy", ids[0], names["x"], names["y"], similarity=0.25, rank=1, pair_count=1)
    with sessions.begin() as session:
        assert pairs.add_pairs(session, run, [pair, replace(pair, strategy="hard")]) == 2
        assert pairs.add_pairs(session, run, [pair]) == 0
    with sessions() as session:
        shown = list(pairs.selected_pairs(session, run))
        assert [(p.strategy, p.prompt, p.first_response, p.second_response) for p in shown] == [
            ("easy", "a", "x", "y"),
            ("hard", "a", "x", "y"),
        ]
        assert (shown[0].first_model, shown[0].second_model, shown[0].similarity) == ("model-0", "model-1", 0.25)
        assert len(list(pairs.selected_pairs(session, run, strategy="hard"))) == 1
        assert len(list(pairs.selected_pairs(session, run, limit=1))) == 1
        assert pairs.similarities(session, run) == {"easy": [0.25], "hard": [0.25]}
        assert pairs.pairs_by_prompt(session, run, 5)[ids[0]]["easy"] == (names["x"], names["y"])
        assert runs.summaries(session, run)[0].pairs == 2


def test_the_first_reason_for_a_missing_pair_stays(sessions):
    add(sessions, row(1, "a"), row(2, "b"))
    ids = all_prompt_ids(sessions)
    run = open_run(sessions, ids)
    with sessions.begin() as session:
        runs.set_skipped(session, run, {ids[0]: "too long"})
        runs.set_skipped(session, run, {ids[0]: "one candidate", ids[1]: "one candidate"})
        runs.set_skipped(session, run, {})
        assert runs.skip_counts(session, run) == {"too long": 1, "one candidate": 1}
        assert runs.summaries(session, run)[0].skipped_prompts == 2


def test_an_unfinished_run_is_found_by_its_configuration_and_a_completed_one_is_not(sessions):
    run = open_run(sessions, [], key="a" * 64)
    with sessions.begin() as session:
        assert runs.find_unfinished(session, ["a" * 64]) == run
        assert runs.find_unfinished(session, ["b" * 64]) is None
        runs.set_status(session, run, runs.FAILED, error="out of memory")
        assert runs.find_unfinished(session, ["a" * 64]) == run
        runs.set_status(session, run, runs.COMPLETED)
        assert runs.find_unfinished(session, ["a" * 64]) is None
        runs.set_status(session, run, runs.FAILED, error="a second process of the same run ended later")
        assert runs.find_unfinished(session, ["a" * 64]) is None
        assert runs.get_run(session, run).error is None


def test_of_one_configuration_only_one_unfinished_run_is_opened(sessions):
    run = open_run(sessions, [], key="a" * 64)
    with pytest.raises(runs.OpenedMeanwhileError, match="'test'"):
        open_run(sessions, [], key="a" * 64)
    with sessions.begin() as session:
        assert runs.find_unfinished(session, ["a" * 64]) == run
        runs.set_status(session, run, runs.COMPLETED)
    assert open_run(sessions, [], key="a" * 64) > run


def test_what_is_read_of_a_run_or_an_embedder_is_a_record_that_stays_as_it_was(sessions):
    run, embedder, _ = embedded_run(sessions, row(1, "a", "x", "y"))
    with sessions.begin() as session:
        before = runs.get_run(session, run)
        runs.set_status(session, run, runs.FAILED, error="out of memory")
        assert (before.status, runs.get_run(session, run).status) == (runs.RUNNING, runs.FAILED)
        found = embeddings.embedder_of_run(session, run)
    assert (found.id, found.key, found.model) == (embedder, EMBEDDER.key, EMBEDDER.model)
    with pytest.raises(FrozenInstanceError):
        before.status = runs.COMPLETED


def test_runs_are_found_by_id_by_name_and_as_the_last(sessions):
    first, second = open_run(sessions, [], key="1" * 64), open_run(sessions, [], key="2" * 64)
    with sessions() as session:
        assert runs.find_run(session, str(first)) == first
        assert runs.find_run(session, "test") == runs.find_run(session, "last") == second
        with pytest.raises(LookupError, match=r"there is no run 'nightly'.*antipode curate"):
            runs.find_run(session, "nightly")
        with pytest.raises(LookupError, match="there is no run 99"):
            runs.get_run(session, 99)


def test_the_views_answer_in_plain_sql(sessions):
    run, *_ = embedded_run(sessions, row(1, "a", "x", "y"))
    with sessions() as session:
        assert session.execute(text("SELECT prompts, responses FROM run_summary")).one() == (1, 2)
        assert session.execute(text(f"SELECT * FROM selected_pairs WHERE run_id = {run}")).all() == []


def test_vectors_of_unknown_or_unembedded_responses_are_refused(sessions):
    run, embedder, _ = embedded_run(sessions, row(1, "a", "x", "x", "y"))
    with sessions() as session:
        assert embeddings.newest_embedder_of(session, ids_by_text(sessions)["y"]).id == embedder
        assert embeddings.embedder_of_run(session, run).id == embedder
        with pytest.raises(LookupError, match="there is no response 99"):
            embeddings.newest_embedder_of(session, 99)
        with pytest.raises(LookupError, match="response 2 has no vector"):
            embeddings.newest_embedder_of(session, 2)
