"""What is read of earlier runs to tell what the next one takes."""

from __future__ import annotations

from dataclasses import replace

from curation_steps import configured, curate, row
from labelling_steps import OWN, label, own_row
from stored_rows import GENERATOR, SAMPLING, add, all_prompt_ids

from db import measured, responses
from db.prompts import stored_prompts
from models.records import GeneratedResponse


def store(sessions, generator, index, text, tokens):
    with sessions.begin() as session:
        (prompt,) = stored_prompts(session, all_prompt_ids(sessions)[:1])
        new = responses.NewResponse(prompt, index, GeneratedResponse(text, 0, tokens, "stop"))
        responses.add_generated(session, responses.ensure_generator(session, generator), generator, [new])


def test_responses_cut_at_the_same_length_tell_more_than_others_of_the_model(sessions):
    add(sessions, row(1, "Which bread?"))
    store(sessions, GENERATOR, 0, "rye", 1)
    store(sessions, replace(GENERATOR, parameters=replace(SAMPLING, max_tokens=99)), 0, "rye and wheat", 3)
    store(sessions, replace(GENERATOR, model="other"), 0, "none", 7)
    with sessions() as session:

        def tokens(max_tokens, model="tiny"):
            found = measured.responses_of(session, model, max_tokens=max_tokens)
            return sorted((response.characters, response.tokens) for response in found)

        assert tokens(8) == [(3, 1)] and tokens(99) == [(13, 3)]
        assert tokens(50) == [(3, 1), (13, 3)]
        assert tokens(8, "absent") == []
        assert all(at.tzinfo for at in measured.run_starts(session))


def test_a_curation_that_sampled_nothing_tells_no_rate_of_embedding(settings, sessions):
    add(sessions, row(1, "Which bread?", "rye", "wheat"))
    curate(configured(**OWN))
    with sessions() as session:
        assert measured.embedding_rate(session, backend="hashed", model="hashed") is None
    curate(configured(generate={"when": "always"}))
    with sessions() as session:
        assert measured.embedding_rate(session, backend="hashed", model="hashed") > 0
        assert measured.embedding_rate(session, backend="hashed", model="other") is None


def test_annotators_are_found_by_some_of_their_settings(settings, sessions):
    add(sessions, own_row(1, "rye", "wheat", score=2.0))
    curate(configured(**OWN))
    label(annotator="scores")
    label(annotator="scores", scores={"min_ratio": 3})
    with sessions() as session:
        both = measured.annotators_like(session, "scores")
        assert len(both) == 2 and len(measured.judgements_of(session, both)) == 2
        assert len(measured.annotators_like(session, "scores", min_ratio=3.0)) == 1
        assert measured.annotators_like(session, "judge") == []
        characters = {judgement.characters for judgement in measured.judgements_of(session, both)}
    assert characters == {len("prompt 1") + len("rye") + len("wheat")}
