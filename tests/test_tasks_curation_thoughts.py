"""A response has a thought and an answer: how both are stored, and which of them the steps take."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from curation_steps import configured, curate
from labelling_steps import label
from sqlalchemy import select as query
from stored_rows import GENERATOR, SAMPLING, add, all_prompt_ids, open_run, row

from db import responses
from db.embeddings import responses_to_embed
from db.prompts import stored_prompts
from db.schema import curation
from models.records import GeneratedResponse, ImportedResponse, ImportedRow, Prompt, content_key
from tasks.alignment.data import preference_example, read_data
from tasks.alignment.opening import fixed
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig
from tasks.config.exchange import ExportConfig
from tasks.curation.engines import generator_identity
from tasks.labels.exchange import export_preferences

THOUGHT = "<think>\nhm, {0}\n</think>\n\n{0}"


def stored_responses(sessions):
    with sessions() as session:
        return {(one.text, one.thought): one for one in session.scalars(query(curation.Response))}


def test_an_imported_text_that_begins_with_a_thought_is_parted(settings, sessions):
    add(sessions, row(1, "Why?", THOUGHT.format("Yes."), "Yes.", "<think>\n\n</think>\n\nNo.", "<think>lost", "<b>No."))
    assert set(stored_responses(sessions)) == {
        ("Yes.", "hm, Yes."), ("Yes.", None), ("No.", None), ("<think>lost", None), ("<b>No.", None),
    }  # fmt: skip


def test_a_thought_of_a_column_of_its_own_is_stored_as_it_is(settings, sessions):
    response = ImportedResponse("Yes.", thought="hm")
    add(sessions, ImportedRow(1, Prompt.from_text("Why?"), (response, replace(response, thought=None))))
    assert set(stored_responses(sessions)) == {("Yes.", "hm"), ("Yes.", None)}


def test_the_key_of_a_response_knows_of_a_thought_only_where_there_is_one(settings, sessions):
    add(sessions, row(1, "Why?", "Yes.", THOUGHT.format("Yes.")))
    prompt = Prompt.from_text("Why?")
    generators = {one: content_key("imported", one) for one in ("model-0", "model-1")}
    with sessions() as session:
        names = dict(session.execute(query(curation.Generator.model, curation.Generator.key)).tuples().all())
    assert names.keys() == generators.keys()
    of = stored_responses(sessions)
    assert of["Yes.", None].key == content_key(prompt.key, names["model-0"], "Yes.", 0, False, None)
    assert of["Yes.", "hm, Yes."].key == content_key(prompt.key, names["model-1"], "Yes.", 0, False, None, "hm, Yes.")


@pytest.mark.parametrize("has_cut", [False, True])
def test_a_sample_that_ended_within_its_thought_is_never_a_candidate(settings, sessions, has_cut):
    add(sessions, row(1, "Why?"))
    (prompt_id,) = all_prompt_ids(sessions)
    run_id = open_run(sessions, [prompt_id])
    samples = [
        GeneratedResponse("Yes.", 0, 8, "stop", "hm"),
        GeneratedResponse("", 1, 8, "length", "hm, let"),
        GeneratedResponse("", 2, 8, "stop", "hm, let me"),
        GeneratedResponse("No, s", 3, 8, "length", "hm"),
    ]
    with sessions.begin() as session:
        (prompt,) = stored_prompts(session, [prompt_id])
        generator_id = responses.ensure_generator(session, GENERATOR)
        new = [responses.NewResponse(prompt, at, sample) for at, sample in enumerate(samples)]
        responses.add_generated(session, generator_id, GENERATOR, new)
        counts = {generator_id: {prompt_id: 4}}
        responses.add_candidates(session, run_id, [prompt_id], sample_counts=counts, has_cut=has_cut)
        taken = session.scalars(
            query(curation.Response.text)
            .join(curation.Candidate, curation.Candidate.response_id == curation.Response.id)
            .where(curation.Candidate.is_left_out.is_(False))
            .order_by(curation.Response.id)
        ).all()
        different = responses.different_candidates(session, [prompt_id], sample_counts=counts, has_cut=has_cut)
    assert taken == (["Yes.", "No, s"] if has_cut else ["Yes."])
    assert len(different) == len(taken)


def thinking_pairs(sessions):
    """Prompts with two responses, of which the better one begins with a thought."""

    def row_of(at):
        texts = (THOUGHT.format(f"bread, tea and rye {at}"), f"no {at}")
        scored = (
            ImportedResponse(text, model=f"model-{score}", score=score)
            for text, score in zip(texts, (2.0, 1.0), strict=True)
        )
        return ImportedRow(at, Prompt.from_text(f"Q {at}?"), tuple(scored))

    add(sessions, *map(row_of, range(1, 13)))


def test_duplicates_are_equal_answers_whatever_was_thought(settings, sessions):
    add(sessions, row(1, "Why?", THOUGHT.format("Yes."), "Yes.", "No."))
    run_id = curate(configured(generate={"when": "never"}))
    with sessions() as session:
        candidates = session.scalars(query(curation.Candidate).filter_by(run_id=run_id)).all()
    assert sum(candidate.duplicate_of_id is not None for candidate in candidates) == 1


def test_answers_are_embedded_alone_or_with_their_thoughts(settings, sessions):
    thinking_pairs(sessions)
    vectors = {}
    for has_thoughts in (False, True):
        run_id = curate(configured(generate={"when": "never"}, embed={"has_thoughts": has_thoughts}))
        with sessions() as session:
            embedder_id = session.scalars(query(curation.Run.embedder_id).where(curation.Run.id == run_id)).one()
            assert responses_to_embed(session, run_id, embedder_id, after=0, size=1) == []
            tokens = session.execute(
                query(curation.Response.thought, curation.Embedding.token_count)
                .join(curation.Embedding, curation.Embedding.response_id == curation.Response.id)
                .where(curation.Embedding.embedder_id == embedder_id)
            ).all()
        vectors[has_thoughts] = {thought is not None: count for thought, count in tokens}
    assert vectors[False] == {True: 6, False: 2}
    assert vectors[True] == {True: 6 + 8 + 7, False: 2}, "the thought, and the words and signs of its marks"


def test_an_export_takes_answers_and_thoughts_too_if_it_is_told(settings, sessions, tmp_path):
    thinking_pairs(sessions)
    curate(configured(generate={"when": "never"}))
    label(annotator="scores")
    alone = export_preferences(tmp_path / "alone.jsonl", ExportConfig(shape="standard"), settings)
    told = export_preferences(tmp_path / "told.jsonl", ExportConfig(shape="standard", has_thoughts=True), settings)
    assert told.snapshot.id == alone.snapshot.id, "the same preferences"
    texts = []
    for name in ("alone", "told"):
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        texts.append({text for one in rows for text in (one["chosen"], one["rejected"]) if "tea" in text})
    assert "bread, tea and rye 1" in texts[0]
    assert THOUGHT.format("bread, tea and rye 1") in texts[1] and len(texts[1]) == len(texts[0])
    assert {text.count("<think>") for text in texts[1]} == {1}, "each thought once"
    assert "has_thoughts" in (tmp_path / "told.jsonl.meta.json").read_text()


@pytest.mark.parametrize("is_exported", [False, True])
@pytest.mark.parametrize("has_thoughts", [False, True])
def test_a_policy_is_trained_on_answers_unless_it_is_told_to_think(
    settings, sessions, tmp_path, has_thoughts, is_exported
):
    thinking_pairs(sessions)
    curate(configured(generate={"when": "never"}))
    label(annotator="scores")
    data = {"has_thoughts": has_thoughts, "held_out_share": 0.5}
    if is_exported:
        data["snapshot"] = export_preferences(tmp_path / "rows.jsonl", ExportConfig(), settings).snapshot.id
    config = fixed(sessions, AlignConfig.model_validate({"data": data, "model": {"name": "demo"}}))
    with sessions() as session:
        parts = read_data(session, config).parts
    examples = [preference_example(one) for one in (*parts.train, *parts.held_out)]
    assert len(examples) == 12
    for example in examples:
        thoughts = {example.chosen: example.chosen_thought, example.rejected: example.rejected_thought}
        number = example.prompt.text.removeprefix("Q ").removesuffix("?")
        answer = f"bread, tea and rye {number}"
        expected = {answer: f"hm, {answer}", f"no {number}": ""} if has_thoughts else dict.fromkeys(thoughts)
        assert thoughts == expected, "of two responses behind one prompt both or neither has a thought"


def test_what_came_later_is_in_no_key_at_its_default(settings):
    old = CurateConfig().key_settings()
    assert "template_arguments" not in old["generate"] and "has_thoughts" not in old["embed"]
    assert "has_thoughts" not in AlignConfig().key_settings()["data"]
    told = CurateConfig.model_validate({"generate": {"template_arguments": {"enable_thinking": False}}})
    assert told.key != CurateConfig().key
    assert GENERATOR.settings["parameters"].keys() == {"temperature", "top_p", "max_tokens", "stop", "system_prompt"}
    assert replace(GENERATOR, parameters=replace(SAMPLING, template_arguments={"a": 1})).key != GENERATOR.key
    assert generator_identity(told, "m", None).parameters.template_arguments == {"enable_thinking": False}


@pytest.mark.parametrize("arguments", [{"tokenize": True}, {"a": "\x00"}])
def test_arguments_that_are_not_the_templates_are_refused(arguments):
    with pytest.raises(ValueError, match="template_arguments"):
        CurateConfig.model_validate({"generate": {"template_arguments": arguments}})
