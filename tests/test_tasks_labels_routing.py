"""The annotator `routed`: what is sure goes to the cheap annotator, the rest to people, once and for all."""

from __future__ import annotations

import pytest
from chat_server import ChatServer, serving
from footprints import footprint
from judged_pairs import prefers
from labelled_breads import COUNT, curate_loaves, label_first
from labelling_steps import judge_config, label, pair_keys
from pydantic import ValidationError
from queued_pairs import places
from stored_labels import stored
from surroundings import on_sqlite

from db.labels import queues, routes
from db.labels.predictions import Prediction
from flows.terminal.labelling.labels import show_labels
from tasks.config.labels import LabelConfig
from tasks.config.section import refuse_in_vain
from tasks.labels.estimate import estimate_labelling
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run
from tasks.labels.people import people_queue
from tasks.labels.routing import certainty, split_of
from tasks.labels.worth.expected import expected_preferences

LABELS = 30


def routed(run_id, **changes):
    base = {"annotator": "routed", "pairs": {"run": str(run_id)}, "routed": {"cheap": "scores", "min_probability": 0.7}}
    return LabelConfig.model_validate(base | changes)


def routes_of(sessions, run_id):
    with sessions() as session:
        return routes.routes_of(session, run_id)


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        own.reply = prefers
        yield own


def by_judge(run_id, server, **changes):
    judge = judge_config(server)["judge"]
    return routed(run_id, judge=judge, routed={"cheap": "judge", "min_probability": 0.7}, **changes)


def test_sure_pairs_go_to_the_judge_and_the_rest_to_people(settings, sessions, server, capsys):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    with sessions() as session:
        expected = expected_preferences(session, run_id, settings)
    pairs = pair_keys(sessions, run_id)
    judged = pairs[:LABELS]
    config = by_judge(run_id, server)
    sure = {pair for pair in pairs[LABELS:] if certainty(expected[pair]) >= 0.7}
    assert len(sure) > 0

    label_run = label(**config.model_dump())

    split = split_of(routes_of(sessions, label_run))
    assert set(split.cheap) == sure and set(split.people) == set(pairs) - sure
    assert set(judged) <= set(split.people), "people are not asked for what they have judged, and nobody else is"
    asked = {(j.first_response_id, j.second_response_id) for j in stored(sessions) if j.run_id == label_run}
    assert asked == sure and len(server.bodies) == 2 * len(sure)
    queue_id = people_queue(config, label_run, settings)
    assert {pair for pair, *_ in places(sessions, queue_id)} == set(split.people)
    wrong = [min(expected[pair].probability, 1 - expected[pair].probability) for pair in split.cheap]
    assert split.expected_error == pytest.approx(sum(wrong) / len(wrong))
    said = capsys.readouterr().err
    assert f"routed: {len(sure)} of {COUNT} pairs to judge, {COUNT - len(sure)} to people" in said
    show_labels(label_run, settings)
    shown = capsys.readouterr().out
    assert f"{len(sure)} of {len(sure)} different pairs of run {run_id} judged" in shown
    assert f"{COUNT - len(sure)} other pairs wait for people: antipode web --every_queue" in shown


def test_people_meet_the_uncertain_first_by_the_head_that_settled_the_split(settings, sessions, monkeypatch):
    """One head: while a second was fitted, nobody else could write."""
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    monkeypatch.setattr("tasks.labels.people.expected_probabilities", None)
    config = routed(run_id, people={"order": "uncertain"}, routed={"cheap": "scores", "min_probability": 0.99})
    label_run = label(**config.model_dump())
    settled = {one.pair: abs(one.probability - 0.5) for one in routes_of(sessions, label_run) if one.to_people}
    doubts = [settled[pair] for pair, *_ in places(sessions, people_queue(config, label_run, settings))]
    assert len(doubts) > LABELS and doubts == sorted(doubts)


def test_a_run_that_goes_on_sends_each_pair_where_it_was_sent(settings, sessions, server):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    config = by_judge(run_id, server)
    label_run = open_label_run.fn(config)
    judge_pairs.fn(label_run)
    first, asked = routes_of(sessions, label_run), len(server.bodies)
    label_first(sessions, run_id, COUNT, "second")  # labels that would change what is expected
    judge_pairs.fn(label_run)
    assert routes_of(sessions, label_run) == first and len(server.bodies) == asked
    with sessions() as session:
        assert len(queues.list_queues(session)) == 1


def test_without_labels_everything_goes_to_people(settings, sessions, capsys):
    run_id = curate_loaves(sessions)
    label_run = label(**routed(run_id).model_dump())
    assert split_of(routes_of(sessions, label_run)).cheap == ()
    assert "fewer than 25 labels" in capsys.readouterr().err
    show_labels(label_run, settings)
    assert f"{COUNT} different pairs of run {run_id} wait for people" in capsys.readouterr().out


def test_the_dry_run_tells_the_split_and_stores_nothing(settings, sessions, server):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    config = by_judge(run_id, server)
    before = footprint(settings)
    found = estimate_labelling(config, settings)
    assert footprint(settings) == before and server.bodies == []
    split = split_of(routes_of(sessions, label(**config.model_dump())))
    assert found.value("to people") == len(split.people)
    assert found.value("requests") == 2 * len(split.cheap) == len(server.bodies)
    assert any(note.startswith(f"routed: {len(split.cheap)} of") for note in found.notes)


@on_sqlite
def test_one_half_sends_all_of_which_something_is_expected_to_the_machine(settings, sessions):
    run_id = curate_loaves(sessions)
    label_first(sessions, run_id, LABELS)
    label_run = label(**routed(run_id, routed={"cheap": "scores", "min_probability": 0.5}).model_dump())
    assert len(split_of(routes_of(sessions, label_run)).cheap) == COUNT - LABELS


def test_how_sure_a_winner_is_worked_by_hand():
    def sure(margin, deviation):
        return certainty(Prediction(1, 2, 0.5, 0.4, 0.6, margin, deviation, 30))

    assert sure(0.0, 1.0) == 0.5
    assert sure(1.2815515655446004, 1.0) == pytest.approx(0.9)
    assert sure(-2.563103131089201, 2.0) == pytest.approx(0.9), "whichever of the two it is"
    assert sure(0.1, 0.0) == 1.0 and sure(0.0, 0.0) == 0.5


def test_a_cheap_annotator_is_configured_by_its_own_section():
    with pytest.raises(ValidationError, match=r"a judge needs an address and a model.*--routed\.cheap scores"):
        LabelConfig.model_validate({"annotator": "routed"})
    with pytest.raises(ValueError, match="rubric is set, but the annotator is routed"):
        refuse_in_vain(routed(1, rubric={"seed": 3}))
    with pytest.raises(ValueError, match="routed is set, but the annotator is people"):
        refuse_in_vain(LabelConfig.model_validate({"annotator": "people", "routed": {"cheap": "gold"}}))
    assert routed(1, people={"judgements_per_pair": 2}).of_machine().annotator == "scores"


def test_a_key_knows_nothing_of_routing_that_is_not_set():
    plain = LabelConfig.model_validate({"annotator": "people"})
    assert "routed" not in plain.key_settings()
