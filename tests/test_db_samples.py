"""Responses as alignment takes them, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stored_rows import GENERATOR, add, all_prompt_ids, row

from db import prompts, responses
from db.samples import Sample, references, samples
from models.records import GeneratedResponse, ImportedResponse, ImportedRow, Prompt


@pytest.fixture
def prompt_ids(sessions):
    """Three prompts without responses."""
    add(sessions, row(1, "one"), row(2, "two"), row(3, "three"))
    return all_prompt_ids(sessions)


def generated(sessions, texts, *, generator=GENERATOR, finish_reason="stop"):
    """Store responses by (prompt id, sample index); return the generator's id."""
    with sessions.begin() as session:
        stored = {one.id: one for one in prompts.stored_prompts(session, [prompt_id for prompt_id, _ in texts])}
        generator_id = responses.ensure_generator(session, generator)
        new = [
            responses.NewResponse(stored[prompt_id], index, GeneratedResponse(text, index, 3, finish_reason))
            for (prompt_id, index), text in texts.items()
        ]
        responses.add_generated(session, generator_id, generator, new)
        return generator_id


def test_the_first_samples_of_one_generator_come_by_prompt_and_sample(sessions, prompt_ids):
    first, second, third = prompt_ids
    texts = {(second, 1): "two b", (second, 0): "two a", (first, 0): "one a", (first, 2): "one c", (third, 0): "x"}
    generator_id = generated(sessions, texts)
    generated(sessions, {(first, 0): "another's"}, generator=replace(GENERATOR, seed=1))
    with sessions() as session:
        found = samples(session, generator_id, [second, first, second], count=2)
        assert [(one.prompt_id, one.sample_index, one.text) for one in found] == [
            (first, 0, "one a"), (second, 0, "two a"), (second, 1, "two b"),
        ]  # fmt: skip
        assert found[0].prompt == Prompt.from_text("one")
        assert [one.text for one in samples(session, generator_id, [first], count=3)] == ["one a", "one c"]
        assert samples(session, generator_id, [], count=2) == []
        assert samples(session, 999, [first], count=2) == []


@pytest.mark.parametrize(("reason", "is_cut"), [("stop", False), ("length", True)])
def test_a_response_whose_sampling_stopped_at_the_limit_is_cut(sessions, prompt_ids, reason, is_cut):
    generator_id = generated(sessions, {(prompt_ids[0], 0): "text"}, finish_reason=reason)
    with sessions() as session:
        (found,) = samples(session, generator_id, prompt_ids, count=1)
    assert found.is_cut is is_cut


def test_the_first_reference_of_each_prompt_is_golden(sessions):
    def golden(*texts):
        return tuple(ImportedResponse(text, is_reference=True) for text in texts)

    add(
        sessions,
        ImportedRow(1, Prompt.from_text("two"), golden("two a", "two b")),
        ImportedRow(2, Prompt.from_text("none"), (ImportedResponse("no reference"),)),
        ImportedRow(3, Prompt.from_text("one"), (ImportedResponse("plain"), *golden("one a"))),
    )
    ids = all_prompt_ids(sessions)
    with sessions() as session:
        found = references(session, ids)
        assert [(one.prompt.text, one.text) for one in found] == [("two", "two a"), ("one", "one a")]
        assert all(isinstance(one, Sample) and not one.is_cut and one.sample_index == 0 for one in found)
        assert [one.prompt_id for one in references(session, ids[2:])] == ids[2:]
        assert references(session, []) == []


def test_a_generated_response_is_no_reference(sessions, prompt_ids):
    generated(sessions, {(prompt_ids[0], 0): "text"})
    with sessions() as session:
        assert references(session, prompt_ids) == []
