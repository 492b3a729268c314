"""Responses cut at the token limit: left out unless asked for, counted, and told wherever they go."""

from __future__ import annotations

import json

import pytest
from curation_steps import configured, curate
from pyarrow import parquet
from sqlalchemy import select as query
from sqlalchemy import text
from stored_rows import GENERATOR, add, all_prompt_ids, open_run, row
from surroundings import on_sqlite

from db import embeddings, pairs, responses, runs
from db.labels import judgements, labelling, preferences, snapshots
from db.schema import curation
from flows.terminal.runs import show_pairs_of
from models.labelling.records import AnnotatorIdentity, Judgement
from models.records import GeneratedResponse, Prompt, StoredPrompt, content_key
from tasks.alignment.data import preference_example
from tasks.config.curation import CurateConfig
from tasks.config.exchange import ExportConfig
from tasks.curation.estimate import estimate_curation
from tasks.errors import NothingToDoError
from tasks.labels.exchange import export_preferences
from tasks.reports.run_page import write_run_report

LIMIT = 33  # of the scripted replies some are longer, some shorter
CUT = {"generate": {"max_tokens": LIMIT, "responses_per_prompt": 6}}
TAKEN = CUT | {"select": {"has_cut": True}}
PROMPTS = ("bread and rye", "the sky at night", "a cat in the wood", "tea with milk", "ships and sails")


def import_prompts(sessions):
    add(sessions, *(row(number, prompt) for number, prompt in enumerate(PROMPTS, start=1)))


def finish_reasons(sessions, run_id, *, of="candidates"):
    """The finish reasons of a run's candidates that are embedded, or of what its pairs hold."""
    with sessions() as session:
        response, candidate, pair = curation.Response, curation.Candidate, curation.Pair
        reasons = query(response.finish_reason)
        if of == "pairs":
            is_paired = response.id.in_([pair.first_response_id, pair.second_response_id])
            reasons = reasons.join(pair, is_paired).where(pair.run_id == run_id)
        else:
            reasons = reasons.join(candidate, candidate.response_id == response.id).where(
                candidate.run_id == run_id, candidate.is_left_out == (of == "left out")
            )
        return session.scalars(reasons).all()


def summary_of(sessions, run_id):
    with sessions() as session:
        return runs.summaries(session, run_id)[0]


def test_cut_responses_are_no_candidates_unless_they_are_asked_for(settings, sessions):
    import_prompts(sessions)
    run_id = curate(configured(**CUT))
    whole, left_out = finish_reasons(sessions, run_id), finish_reasons(sessions, run_id, of="left out")
    assert set(whole) == {"stop"} and set(left_out) == {"length"} and len(whole) + len(left_out) == 6 * len(PROMPTS)
    assert set(finish_reasons(sessions, run_id, of="pairs")) == {"stop"}
    summary = summary_of(sessions, run_id)
    assert (summary.responses, summary.cut_responses, summary.left_out_responses) == (30, len(left_out), len(left_out))
    assert summary.truncated_responses == 0, "the embedder read all of what it was given"
    with sessions() as session:
        (embedder,) = session.scalars(query(curation.Embedder.id))
        assert embeddings.count_to_embed(session, run_id, embedder) == 0
    again = curate(configured(**TAKEN))
    assert "length" in finish_reasons(sessions, again, of="pairs") and not finish_reasons(
        sessions, again, of="left out"
    )
    taken = summary_of(sessions, again)
    assert (taken.responses, taken.cut_responses, taken.left_out_responses) == (30, len(left_out), 0)
    with sessions() as session:
        vectors = embeddings.vector_locations(session, run_id, embedder, list(range(1, len(PROMPTS) + 1)))
        assert len(vectors) <= len(whole), "what the other run embedded is still left out of this one"
        assert {one.response_id for one in vectors}.isdisjoint(
            session.scalars(query(curation.Candidate.response_id).filter_by(run_id=run_id, is_left_out=True))
        )


def test_a_whole_response_is_no_duplicate_of_a_cut_one_that_is_left_out(sessions):
    ids = add(sessions, row(1, "Why?")) and all_prompt_ids(sessions)
    run_id, prompt = open_run(sessions, ids), Prompt.from_text("Why?")
    with sessions.begin() as session:
        generator_id = responses.ensure_generator(session, GENERATOR)
        texts = [("the same", "length"), ("the same", "stop"), ("the same", "stop"), ("other", "length")]
        new = [
            responses.NewResponse(StoredPrompt(ids[0], prompt), index, GeneratedResponse(words, index, 2, reason))
            for index, (words, reason) in enumerate(texts)
        ]
        responses.add_generated(session, generator_id, GENERATOR, new)
        counts = {generator_id: {ids[0]: len(texts)}}
        responses.add_candidates(session, run_id, ids, sample_counts=counts, has_cut=False)
        found = session.scalars(query(curation.Candidate).order_by(curation.Candidate.response_id)).all()
        assert [one.is_left_out for one in found] == [True, False, False, True]
        assert [one.duplicate_of_id for one in found] == [None, None, found[1].response_id, None]
        assert responses.different_candidates(session, ids, sample_counts=counts, has_cut=False) == [
            found[1].response_id
        ]
        assert responses.candidate_counts(session, run_id) == (4, 2, 0, 1)
        assert responses.prompts_left_short(session, run_id, ids) == set(ids)


def test_who_has_too_few_left_is_told_with_what_to_do(settings, sessions, capsys):
    import_prompts(sessions)
    add(sessions, row(9, "two of its own", "one", "another"), content_hash="1" * 64)
    run_id = curate(configured(generate={"max_tokens": 24, "responses_per_prompt": 3}))
    told = capsys.readouterr().err
    summary = summary_of(sessions, run_id)
    with sessions() as session:
        reasons = runs.skip_counts(session, run_id)
    short = sum(count for reason, count in reasons.items() if "others were cut at max_tokens" in reason)
    assert short == summary.skipped_prompts > 0
    assert f"{summary.left_out_responses} of {summary.responses} responses were cut at generate.max_tokens 24" in told
    assert f"{short} prompts have fewer than 2" in told and "--select.has_cut" in told
    show_pairs_of(run_id, settings)
    shown = capsys.readouterr().out
    assert f"{summary.cut_responses} cut at max_tokens and left out" in shown
    page = write_run_report(run_id, settings).read_text("utf-8")
    assert "at max_tokens, left out" in page and "by the embedder" in page


def test_a_run_whose_responses_are_all_cut_stops_with_advice_and_a_higher_limit_goes_on(settings, sessions):
    import_prompts(sessions)
    with pytest.raises(
        NothingToDoError, match=r"20 of 20 .* cut at generate.max_tokens 3.*--generate.max_tokens.*has_cut"
    ):
        curate(configured(generate={"max_tokens": 3}))
    with sessions() as session:
        assert session.scalars(query(curation.Run.status)).all() == [runs.FAILED]
        assert not session.scalar(query(curation.Run.has_fixed_candidates))
    run_id = curate(configured(generate={"max_tokens": 3}, select={"has_cut": True}))
    assert summary_of(sessions, run_id).pairs > 0
    assert summary_of(sessions, curate(configured(generate={"max_tokens": 200}))).cut_responses == 0


@on_sqlite
def test_an_estimate_counts_what_will_be_embedded(settings, sessions):
    import_prompts(sessions)
    curate(configured(**TAKEN))
    whole, taken = (estimate_curation(configured(**sections), settings) for sections in (CUT, TAKEN))
    assert whole.value("responses to sample") == taken.value("responses to sample") == 0


def test_a_run_that_takes_cut_responses_has_the_key_of_the_runs_that_always_did():
    before = CurateConfig().key_settings()
    del before["select"]["has_cut"], before["guard"]  # came later
    taking = CurateConfig.model_validate({"select": {"has_cut": True}, "guard": {"none": True}})
    assert taking.key == content_key(before) != CurateConfig().key
    assert CurateConfig.model_validate(taking.model_dump(mode="json")) == taking, "what is stored says it"


def prefer_the_first(sessions, run_id):
    """A person for whom the first response of every pair is the better one."""
    with sessions.begin() as session:
        keys = labelling.pair_keys(session, run_id)
        anna = judgements.add_annotator(session, AnnotatorIdentity("person", "anna"))
        judgements.add_judgements(session, anna, [Judgement(key, key[0], "first") for key in keys], run_id=None)
        preferences.recompute(session, keys)


def test_views_exports_and_what_is_trained_on_say_which_responses_are_cut(settings, sessions, tmp_path):
    import_prompts(sessions)
    run_id = curate(configured(**TAKEN))
    prefer_the_first(sessions, run_id)
    with sessions() as session:
        cut = set(session.scalars(query(curation.Response.id).filter_by(finish_reason="length")))
        selected = list(pairs.selected_pairs(session, run_id))
        labelled = session.execute(
            text("SELECT chosen_response_id, rejected_response_id, is_chosen_cut, is_rejected_cut FROM labelled_pairs")
        ).all()
    assert {one.is_first_cut for one in selected} == {True, False}
    for one in selected:
        assert (one.is_first_cut, one.is_second_cut) == (one.first_response_id in cut, one.second_response_id in cut)
    for chosen, rejected, *is_cut in labelled:
        assert is_cut == [chosen in cut, rejected in cut]
    for ending in (".jsonl", ".parquet"):
        snapshot = export_preferences(tmp_path / f"out{ending}", ExportConfig(), settings).snapshot
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == lines
    with sessions() as session:
        examples = [preference_example(row) for row in snapshots.snapshot_rows(session, snapshot.id)]
    for line, example in zip(lines, examples, strict=True):
        is_cut = (line["is_chosen_cut"], line["is_rejected_cut"])
        assert is_cut == (line["chosen_response_id"] in cut, line["rejected_response_id"] in cut)
        assert is_cut == (example.is_chosen_cut, example.is_rejected_cut)
    assert {line["is_chosen_cut"] for line in lines} == {line["is_rejected_cut"] for line in lines} == {True, False}
