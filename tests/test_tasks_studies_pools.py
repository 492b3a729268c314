"""What a study sees of a run: the candidates that strategies could pair, lengths, dialogues, truth and labels."""

from __future__ import annotations

import numpy as np
import pytest
from curation_steps import configured, curate
from labelling_steps import OWN
from stored_labels import ANNA, BEN, judge
from stored_rows import add, ids_by_text

from db import embeddings
from models.demo.corpus import demo_prompts
from models.labelling.records import PairKey
from models.records import ImportedResponse, ImportedRow, Message, Prompt
from tasks.studies.pools import TOO_FEW, labels_between, read_pool


def scored(number, prompt, **scores):
    texts = tuple(ImportedResponse(text, score=score) for text, score in scores.items())
    prompt = prompt if isinstance(prompt, Prompt) else Prompt.from_text(prompt)
    return ImportedRow(number, prompt, texts)


def test_candidates_come_by_prompt_with_vectors_lengths_and_scores(sessions, settings):
    add(
        sessions,
        scored(1, "one", **{"rye bread": 2.0, "wheat": 1.0, "a longer text of spelt": None}),
        scored(2, "alone", only=1.0),
        scored(3, "three", oats=0.0, barley=5.0),
    )
    run_id = curate(configured(**OWN))
    found = read_pool(sessions, run_id, settings)
    ids, pool = ids_by_text(sessions), found.pool
    assert found.response_ids == tuple(
        ids[text] for text in ("rye bread", "wheat", "a longer text of spelt", "oats", "barley")
    )
    assert pool.offsets.tolist() == [0, 3, 5] and pool.lengths.tolist() == [9, 5, 22, 4, 6]
    np.testing.assert_array_equal(pool.utilities, [2, 1, np.nan, 0, 5])
    assert found.truth == "scores" and pool.labelled is None and found.left_out == {TOO_FEW: 1}
    with sessions() as session:
        assert found.embedder == embeddings.embedder_of_run(session, run_id)
    assert np.allclose(np.linalg.norm(pool.embeddings, axis=1), 1)


def test_prompts_that_begin_alike_are_one_dialogue(sessions, settings):
    turns = (Message("user", "begin"), Message("assistant", "well"), Message("user", "and then?"))
    add(
        sessions,
        scored(1, "begin", a1=1.0, b2=2.0),
        scored(2, Prompt(turns), c3=1.0, d4=2.0),
        scored(3, "else", e=1, f=2),
    )
    dialogues = read_pool(sessions, curate(configured(**OWN)), settings).pool.dialogues
    assert dialogues[0] == dialogues[1] != dialogues[2]


def test_the_demo_world_is_known_by_its_prompts_and_told_by_its_rubric(sessions, settings):
    prompt = Prompt.from_text(demo_prompts("train")[0])
    add(sessions, ImportedRow(1, prompt, (ImportedResponse("No English of the grammar."), ImportedResponse("x"))))
    found = read_pool(sessions, curate(configured(**OWN)), settings)
    assert found.truth == "rubric" and found.pool.utilities.tolist() == [0, 0]


@pytest.fixture
def labelled(sessions):
    texts = [f"{word} {number}" for number in range(3) for word in ("rye", "wheat")]
    add(sessions, *(scored(n, f"prompt {n}", **dict.fromkeys(texts[2 * n : 2 * n + 2])) for n in range(3)))
    run_id = curate(configured(**OWN))
    ids = ids_by_text(sessions)
    pairs = [PairKey(*sorted((ids[f"rye {n}"], ids[f"wheat {n}"]))) for n in range(3)]
    for who, verdicts in ((ANNA, ("first", "second", "tie")), (BEN, ("first", "first"))):
        for pair, verdict in zip(pairs, verdicts, strict=False):
            judge(sessions, who, pair, verdict)
    return run_id, pairs


def test_labels_are_shares_of_the_votes_for_the_first(sessions, settings, labelled):
    run_id, pairs = labelled
    found = read_pool(sessions, run_id, settings)
    known = {
        PairKey(*(found.response_ids[row] for row in rows)): (share, votes)
        for rows, share, votes in zip(*found.pool.labelled, strict=True)
    }
    assert known == {pairs[0]: (1.0, 2), pairs[1]: (0.5, 2), pairs[2]: (0.5, 1)}
    assert found.truth is None and found.pool.utilities is None


def test_labels_of_some_annotators_are_theirs_alone(sessions, settings, labelled):
    run_id, pairs = labelled
    labels = read_pool(sessions, run_id, settings, annotators=["ben"]).pool.labelled
    assert labels.shares.tolist() == [1.0, 1.0] and labels.votes.tolist() == [1, 1]
    with sessions() as session:
        assert labels_between(session, [pairs[0].first_response_id, pairs[1].second_response_id]) == {}
    with pytest.raises(LookupError, match="there is no annotator 'carl'"):
        read_pool(sessions, run_id, settings, annotators=["carl"])


def test_a_run_that_embedded_nothing_says_what_to_do(sessions, settings):
    from stored_rows import open_run

    run_id = open_run(sessions, [])
    with pytest.raises(LookupError, match="embedded nothing yet"):
        read_pool(sessions, run_id, settings)
