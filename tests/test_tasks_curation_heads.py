"""The head of a database's labels: which labels it is made of, and what it says of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row, pair_keys
from stored_labels import ANNA, BEN, judge
from stored_rows import add

from db import embeddings
from db.labels import embedded_pairs
from models.labelling.records import AnnotatorIdentity
from tasks.curation.heads import head_of, shares_of, sides_of, weights_of

CARL = AnnotatorIdentity("person", "carl")
COUNT = 40


@pytest.fixture
def run_id(sessions):
    add(sessions, *(own_row(n, f"good rye bread {n} {n * 7}", f"bad wheat cake {n} {n * 3}") for n in range(COUNT)))
    return curate(configured(**OWN))


def label(sessions, run_id, count, verdict="first"):
    for pair in pair_keys(sessions, run_id)[:count]:
        judge(sessions, ANNA, pair, verdict)


def head(sessions, settings, run_id):
    with sessions() as session:
        return head_of(session, embeddings.embedder_of_run(session, run_id), settings)


def test_below_25_preferences_there_is_no_head(sessions, settings, run_id):
    label(sessions, run_id, 24)
    for pair in pair_keys(sessions, run_id)[24:30]:
        judge(sessions, ANNA, pair, "tie")
    for pair in pair_keys(sessions, run_id)[30:33]:
        judge(sessions, ANNA, pair, "first")
        judge(sessions, BEN, pair, "second")
    assert head(sessions, settings, run_id) is None
    label(sessions, run_id, 25)
    assert head(sessions, settings, run_id) is None, "the 25th is a tie still"
    judge(sessions, ANNA, pair_keys(sessions, run_id)[-1], "first")
    assert head(sessions, settings, run_id).label_count == 25


def test_the_head_prefers_what_was_preferred_and_is_the_same_for_the_same_labels(sessions, settings, run_id):
    label(sessions, run_id, 30)
    made = head(sessions, settings, run_id)
    with sessions() as session:
        embedder = embeddings.embedder_of_run(session, run_id)
        pairs = embedded_pairs.pairs_of_run(session, run_id, embedder.id)
    unlabelled = [pair for pair in pairs if pair.outcome is None]
    assert len(pairs) == COUNT and len(unlabelled) == 10
    found = made.probabilities(*sides_of(unlabelled, embedder, settings))
    assert (found.mean > 0.5).all()
    again = head(sessions, settings, run_id)
    assert all(
        np.array_equal(one.mean, other.mean) for one, other in zip(made.posteriors, again.posteriors, strict=True)
    )


def test_what_votes_say_is_a_share_of_the_first(sessions, settings, run_id):
    first, second, third, *_ = pair_keys(sessions, run_id)
    judge(sessions, ANNA, first, "second")
    for person, verdict in ((ANNA, "first"), (BEN, "first"), (CARL, "second")):
        judge(sessions, person, second, verdict)
    judge(sessions, ANNA, third, "tie")
    with sessions() as session:
        embedder_id = embeddings.embedder_of_run(session, run_id).id
        pairs = embedded_pairs.decided_pairs(session, embedder_id)
        of_run = embedded_pairs.pairs_of_run(session, run_id, embedder_id)
        decided = embedded_pairs.pairs_of_run(session, run_id, embedder_id, is_decided=True)
    assert decided == [pair for pair in of_run if pair.is_decided] == pairs and len(of_run) == COUNT
    assert [pair.pair for pair in pairs] == [first, second] and all(pair.is_decided for pair in pairs)
    assert shares_of(pairs) == pytest.approx([0.0, 2 / 3])
    assert weights_of(pairs).tolist() == [1.0, 1.0]
    assert pairs[0].first_length == len("good rye bread 0 0") and len({pair.dialogue for pair in pairs}) == 2
    with sessions() as session:
        assert embedded_pairs.strategies_of_pairs(session, run_id)[first] >= {"easy"}


def test_another_embedders_vectors_are_none_of_its_own(sessions, settings, run_id):
    label(sessions, run_id, 30)
    with sessions() as session:
        assert embedded_pairs.decided_pairs(session, 99) == []
        assert embedded_pairs.pairs_of_run(session, run_id, 99) == []
