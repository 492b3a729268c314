"""Queues for people in an order that the labels so far give."""

from __future__ import annotations

import pytest
from labelled_breads import COUNT, curate_loaves, label_first
from labelling_steps import label, own_row, pair_keys
from pydantic import ValidationError
from queued_pairs import places
from stored_rows import add
from surroundings import on_sqlite

from db.labels import queues
from flows.commands.labels import Web
from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.config.section import refuse_in_vain
from tasks.labels.people import open_people_queue
from tasks.labels.worth.expected import expected_preferences
from tasks.reports.run_publishing import open_queue_of

LABELS = 30


def people(run_id, order, per_pair=1, **config):
    section = {"order": order, "judgements_per_pair": per_pair}
    return LabelConfig.model_validate(
        {"annotator": "people", "pairs": {"run": str(run_id)}, "people": section} | config
    )


def order_of(sessions, queue_id):
    return [pair for pair, *_ in places(sessions, queue_id)]


def doubts(sessions, run_id, settings):
    """How far each pair's probability is from one half."""
    with sessions() as session:
        expected = expected_preferences(session, run_id, settings)
    return {pair: abs(one.probability - 0.5) for pair, one in expected.items()}


def test_a_queue_begins_with_the_uncertain_or_the_easy_pairs(settings, sessions, capsys):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    doubt = doubts(sessions, run_id, settings)
    assert len(doubt) == COUNT
    uncertain = order_of(sessions, open_people_queue(people(run_id, "uncertain"), settings))
    assert [doubt[pair] for pair in uncertain] == sorted(doubt.values())
    assert "begins with the pairs that either response may win, by the labels so far" in capsys.readouterr().err
    easiest = order_of(sessions, open_people_queue(people(run_id, "easiest", per_pair=2), settings))
    assert [doubt[pair] for pair in easiest] == sorted(doubt.values(), reverse=True)


def test_a_queue_that_is_there_keeps_its_order_and_says_so(settings, sessions, capsys):
    run_id = curate_loaves(sessions)
    queue_id = open_people_queue(people(run_id, "shuffled"), settings)
    shuffled = order_of(sessions, queue_id)
    label_first(sessions, run_id, LABELS)
    assert open_people_queue(people(run_id, "uncertain"), settings) == queue_id
    assert order_of(sessions, queue_id) == shuffled
    assert f"queue {queue_id} holds just these pairs already, and keeps its order" in capsys.readouterr().err


def test_below_25_labels_a_queue_is_shuffled_and_says_so(settings, sessions, capsys):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, 24)
    queue_id = open_people_queue(people(run_id, "uncertain"), settings)
    assert "fewer than 25 labels" in capsys.readouterr().err
    same = open_people_queue(people(run_id, "shuffled", per_pair=2), settings)
    assert order_of(sessions, queue_id) == order_of(sessions, same)


def test_a_labelling_run_and_a_curation_open_the_same_order(settings, sessions):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    config = CurateConfig.model_validate({"queue": {"is_opened": True, "order": "uncertain"}})
    queue_id = open_queue_of(run_id, config, settings)
    label(**people(run_id, "uncertain", per_pair=2).model_dump())
    with sessions() as session:
        (other, _) = queues.list_queues(session)
    assert order_of(sessions, queue_id) == order_of(sessions, other.id)


@on_sqlite
def test_a_pair_of_which_nothing_is_known_is_met_first(settings, sessions):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    with sessions() as session:
        expected = expected_preferences(session, run_id, settings)
        pairs = pair_keys(sessions, run_id)
        unknown = pairs[-1]
        del expected[unknown]
        probabilities = {pair: one.probability for pair, one in expected.items()}
    with sessions.begin() as session:
        queue_id = queues.open_queue(
            session,
            name="q",
            pairs=pairs,
            judgements_per_pair=3,
            seed=0,
            order="uncertain",
            probabilities=probabilities,
        )
    assert order_of(sessions, queue_id)[0] == unknown


def test_a_run_that_embedded_nothing_has_nothing_to_expect(settings, sessions):
    add(sessions, own_row(1, "rye", "wheat"))
    with sessions() as session:
        assert expected_preferences(session, 7, settings) is None


def test_an_order_belongs_to_a_queue_that_is_opened():
    with pytest.raises(ValueError, match="a queue that is not opened has no settings"):
        refuse_in_vain(CurateConfig.model_validate({"queue": {"order": "uncertain"}}))
    with pytest.raises(ValidationError, match="leave it out with --every_queue"):
        Web(order="easiest", every_queue=True)


def test_a_key_knows_nothing_of_an_order_that_is_not_set():
    assert "order" not in people(1, "shuffled").key_settings()["people"]
    assert people(1, "easiest").key != people(1, "shuffled").key
