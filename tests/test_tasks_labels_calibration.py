"""A judge beside people: who is asked about what, what is stored, what it may label then."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from chat_server import ChatServer, completion, serving
from judged_pairs import prefers
from labelling_steps import curate_breads, judge_config, label, pair_keys
from sqlalchemy import text, update
from stored_labels import rows_of, take_snapshot

from db.findings.pair_details import pair_details
from db.labels import judgements, preferences, snapshot_facts
from db.overviews.counted import Counted
from db.overviews.loop import loop_now
from db.schema import labels
from flows.terminal.labelling.calibration import show_calibrated
from models.labelling.records import Judgement, person
from tasks.config.labels import CalibrateConfig, LabelConfig
from tasks.config.section import refuse_in_vain
from tasks.errors import NotCalibratedError, NothingToDoError
from tasks.labels.calibration import calibrate
from tasks.labels.choices import check_labelling
from tasks.labels.estimate import estimate_calibration
from tasks.labels.opening import open_label_run
from tasks.labels.quality import read_quality
from tasks.reports.run_ends import label_end


@pytest.fixture
def run_id(sessions):
    return curate_breads(sessions)


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        own.reply = prefers
        yield own


def people_say(sessions, run_id, **verdicts):
    """Each person's verdicts on the first pairs of the run."""
    keys = pair_keys(sessions, run_id)
    with sessions.begin() as session:
        for name, said in verdicts.items():
            id_ = judgements.add_annotator(session, person(name))
            given = [Judgement(key, key[0], verdict) for key, verdict in zip(keys, said, strict=False)]
            judgements.add_judgements(session, id_, given)
        preferences.recompute(session, keys)


def config_of(server, **changes):
    return CalibrateConfig.model_validate(judge_config(server) | changes)


def outcomes(sessions):
    with sessions() as session:
        return Counter(session.scalars(text("SELECT outcome FROM preferences WHERE rule = 'majority'")))


def test_a_judge_is_asked_about_the_pairs_that_people_judged_and_labels_none_of_them(
    settings, sessions, run_id, server
):
    people_say(sessions, run_id, anna=["first", "first", "second", "tie"])
    before = outcomes(sessions)
    found = calibrate(config_of(server), settings)
    assert len(server.bodies) == 8, "four pairs in both orders"
    assert (found.annotator, found.against, found.requests) == ("tiny (alpaca_eval)", "people", 8)
    assert (found.found.overall.pairs, found.found.overall.labels) == (3, 3)
    assert found.found.overall.agreement.value == pytest.approx(2 / 3), "the longer response is stored first"
    assert outcomes(sessions) == before == {"first": 2, "second": 1, "tie": 1}
    with sessions() as session:
        row = session.execute(text("SELECT * FROM annotator_calibrations")).mappings().one()
    assert (row["run_id"], row["labelled_run_id"], row["against"], row["pairs"]) == (found.run_id, run_id, "people", 3)
    assert row["agreement"] == pytest.approx(2 / 3) and row["low"] < row["agreement"] < row["high"]
    assert '"asked_once"' in row["figures"]
    people_say(sessions, run_id, ben=["first"])
    assert outcomes(sessions) == before, "nor later"


def test_what_was_said_to_measure_a_judge_is_counted_as_no_label_anywhere(settings, sessions, run_id, server):
    people_say(sessions, run_id, anna=["first"] * 4)
    pairs = pair_keys(sessions, run_id)

    def counted():
        with sessions() as session:
            quality = read_quality(session, run_id, settings)
            loop = loop_now(session)
            return (
                quality,
                judgements.showings(session, pairs),
                [one.annotator for one in pair_details(session, pairs[0]).said],
                len(snapshot_facts.judgements_before(session, snapshot_id, pairs)),
                (loop.labels, loop.labelled_at),
                session.execute(text("SELECT strategy, annotators, votes FROM strategy_labels")).all(),
            )

    snapshot_id = take_snapshot(sessions, rows_of(sessions, run_id))
    before = counted()
    calibrate(config_of(server), settings)
    with sessions.begin() as session:  # as if it had been measured before
        session.execute(update(labels.Judgement).values(created_at=datetime(2020, 1, 1, tzinfo=UTC)))
        assert len(judgements.judgements_on(session, pairs, has_calibrations=True)) == 12
    assert counted()[:4] == before[:4] and counted()[5] == before[5]
    assert counted()[4] == ({"person": Counted(4, False)}, datetime(2020, 1, 1, tzinfo=UTC))


def test_a_labelling_run_makes_labels_of_what_the_judge_said_in_a_calibration(settings, sessions, run_id, server):
    people_say(sessions, run_id, anna=["first", "first", "second"])
    calibration = calibrate(config_of(server), settings)
    label_run = label(**judge_config(server))
    assert len(server.bodies) == 12, "three pairs were judged in both orders, three were not"
    with sessions() as session:
        counts = dict(session.execute(text("SELECT run_id, count(*) FROM judgements GROUP BY run_id")).all())
    assert counts == {None: 3, label_run: 12}
    assert outcomes(sessions) == {"first": 5, "contradiction": 1}
    assert calibrate(config_of(server), settings).found.overall == calibration.found.overall
    assert len(server.bodies) == 12
    assert label_end(label_run, settings).judged == 6


def test_what_the_judge_has_said_is_not_asked_again(settings, sessions, run_id, server):
    people_say(sessions, run_id, anna=["first"] * 3)
    label(**judge_config(server, seed=0))
    asked = len(server.bodies)
    assert estimate_calibration(config_of(server), settings).value("replies to come") == 0
    assert calibrate(config_of(server), settings).found.overall.agreement.value == 1.0
    assert len(server.bodies) == asked == 12


def test_a_person_can_be_trusted_alone_and_people_who_contradict_each_other_are_left_out(
    settings, sessions, run_id, server
):
    people_say(sessions, run_id, anna=["first"] * 4, ben=["second"] * 2)
    alone = calibrate(config_of(server, against="ben"), settings)
    assert (alone.found.trusted_pairs, alone.found.overall.agreement.value) == (2, 0.0)
    together = calibrate(config_of(server), settings)
    assert (together.contradicted, together.found.trusted_pairs) == (2, 2)
    assert together.found.overall.agreement.value == 1.0
    with pytest.raises(LookupError, match="there is no annotator 'bem'; did you mean ben"):
        calibrate(config_of(server, against="bem"), settings)


def test_without_a_verdict_of_people_there_is_nothing_to_compare_and_nobody_is_asked(
    settings, sessions, run_id, server
):
    with pytest.raises(NothingToDoError, match=f"nobody has judged a pair of run {run_id}.*antipode web"):
        calibrate(config_of(server), settings)
    assert not server.bodies


def test_the_budget_ends_it_and_the_same_again_goes_on(settings, sessions, run_id, server):
    people_say(sessions, run_id, anna=["first"] * 4)
    config = CalibrateConfig.model_validate(judge_config(server, max_requests=5, concurrency=1))
    first = calibrate(config, settings)
    assert not first.is_paid and first.found.judged_pairs == 2 and len(server.bodies) == 5
    second = calibrate(config, settings)
    assert second.is_paid and second.found.judged_pairs == 4 and len(server.bodies) == 8


def test_below_the_bar_nothing_is_labelled(settings, sessions, run_id, server):
    config = LabelConfig.model_validate(judge_config(server) | {"min_agreement": 0.5})
    people_say(sessions, run_id, anna=["first"] * 6)
    with pytest.raises(NotCalibratedError, match=r"tiny .alpaca_eval. was never calibrated.*antipode calibrate"):
        check_labelling(config, settings)
    server.reply = lambda *_: completion("M")
    calibrate(config_of(server), settings)
    with pytest.raises(NotCalibratedError, match="no label in common"):
        check_labelling(config, settings)
    with pytest.raises(NotCalibratedError):
        open_label_run.fn(config)
    assert len(server.bodies) == 12


def test_above_the_bar_it_labels_and_another_setting_is_another_judge(settings, sessions, run_id, server):
    people_say(sessions, run_id, anna=["first"] * 6)
    calibrate(config_of(server), settings)
    label(**judge_config(server), min_agreement=0.4)
    with pytest.raises(NotCalibratedError, match=r"agrees too little with people .*1.00 .0.*, 1.00. of 6 labels"):
        check_labelling(LabelConfig.model_validate(judge_config(server) | {"min_agreement": 0.9}), settings)
    with pytest.raises(NotCalibratedError, match="never calibrated"):
        check_labelling(LabelConfig.model_validate(judge_config(server, seed=9) | {"min_agreement": 0.5}), settings)


def test_an_annotator_without_any_opinion_has_no_agreement(settings, sessions, run_id):
    people_say(sessions, run_id, anna=["first"] * 6)
    found = calibrate(CalibrateConfig(annotator="gold"), settings).found
    assert found.asked_once is None and found.judged_pairs == 0 and found.overall.agreement is None


def test_replies_without_a_verdict_are_counted_and_one_is_shown(settings, sessions, run_id, server, capsys):
    people_say(sessions, run_id, anna=["first"] * 4)
    server.reply = lambda _body, _number: completion("I like turtles")
    found = calibrate(config_of(server), settings)
    show_calibrated(found, config_of(server))
    assert "8 without a verdict, such as 'I like turtles': no votes; " in capsys.readouterr().out


def test_the_bar_is_no_part_of_a_runs_key():
    assert LabelConfig(annotator="gold", min_agreement=0.9).key == LabelConfig(annotator="gold").key


def test_a_bar_for_people_and_settings_of_another_annotator_are_in_vain():
    with pytest.raises(ValueError, match="min_agreement is for annotators that can be calibrated"):
        refuse_in_vain(LabelConfig(annotator="people", min_agreement=0.5))
    with pytest.raises(ValueError, match="rubric is set, but the annotator is gold"):
        refuse_in_vain(CalibrateConfig.model_validate({"annotator": "gold", "rubric": {"seed": 1}}))
    with pytest.raises(ValueError, match="a judge needs an address and a model"):
        CalibrateConfig()
