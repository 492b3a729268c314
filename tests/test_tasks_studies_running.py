"""Trials are stored one by one, and carried out once, however often the study is started."""

from __future__ import annotations

import planted_studies
import pytest
from planted_studies import BAD, DIVERGING, LOG, log_of

from db import runs
from db.studies.trials import outcomes_of, seconds_like
from flows.study import study
from tasks.config.studies import StudyConfig
from tasks.errors import RunBusyError
from tasks.run_kinds import STUDY
from tasks.runs import alone_on, find_or_open, recorded
from tasks.studies import kinds
from tasks.studies.reporting import study_report
from tasks.studies.running import carry_out_trials, open_study

CONFIG = StudyConfig(strategies=("easy", "random"), budgets=(50,), seeds=2)


@pytest.fixture
def log(monkeypatch, tmp_path, sessions):
    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED)
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    return tmp_path / "log"


def test_a_study_is_a_run_of_its_own_kind_and_stores_every_trial(log, sessions):
    run_id = open_study.fn(CONFIG)
    carry_out_trials.fn(run_id)
    with sessions() as session:
        stored = list(outcomes_of(session, run_id).values())
        assert runs.get_run(session, run_id).kind == runs.STUDY
        assert len(seconds_like(session, {"study": CONFIG.study})) == 4
        assert seconds_like(session, {"study": "noise"}) == []
    assert {(one.trial.arm, one.trial.seed) for one in stored} == {(a, s) for a in ("easy", "random") for s in (0, 1)}
    assert {one.figures["accuracy"] for one in stored} == {0.55}
    assert {one.figures["cost"] for one in stored} == {None}, "PostgreSQL's JSON holds no NaN"
    assert len(log_of(log)) == 4


def test_a_study_that_broke_off_goes_on_with_what_is_missing(log, sessions, monkeypatch, capsys):
    done = []

    def broken(study, missing):
        for outcome in planted_studies.carry_out(study, missing):
            if len(done) == 3:
                raise KeyboardInterrupt
            done.append(outcome)
            yield outcome

    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED._replace(carry_out=broken))
    run_id = open_study.fn(CONFIG)
    with pytest.raises(KeyboardInterrupt):
        carry_out_trials.fn(run_id)
    assert f"3 of 4 trials of run {run_id} are stored" in capsys.readouterr().err
    log.unlink()
    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED)
    assert open_study.fn(CONFIG) == run_id
    carry_out_trials.fn(run_id)
    assert "3 of 4 trials are stored already" in capsys.readouterr().err
    assert log_of(log) == ["random, truth, 50 labels, seed 1"]


def test_a_trial_that_cannot_be_done_is_an_outcome_and_the_others_are_carried_out(log, sessions, capsys):
    run_id = open_study.fn(CONFIG.model_copy(update={"strategies": (BAD, DIVERGING, "random")}))
    carry_out_trials.fn(run_id)
    with sessions() as session:
        stored = outcomes_of(session, run_id).values()
    assert len(stored) == 6
    failed = {(one.trial.arm, one.trial.seed) for one in stored if one.failure == "nothing comes of it"}
    assert failed == {(BAD, 0), (BAD, 1), (DIVERGING, 0)}
    assert "bad, truth, 50 labels, seed 0: nothing comes of it" in capsys.readouterr().err


def test_what_is_no_fault_of_one_trial_stops_the_study(log, monkeypatch):
    def broken(study, missing):
        raise OSError("no room on the disk")
        yield

    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED._replace(carry_out=broken))
    run_id = open_study.fn(CONFIG)
    with pytest.raises(OSError, match="no room"):
        carry_out_trials.fn(run_id)
    assert log_of(log) == []


def test_a_study_stored_with_a_setting_that_it_does_not_read_is_taken_up_and_reported(log, sessions):
    """As after a default has changed: what was stored is not what anybody gives now."""
    old = CONFIG.model_copy(update={"methods": ("dpo", "ipo"), "share": 0.25})
    with sessions.begin() as session:
        run_id = find_or_open(session, STUDY, old, name="old", has_model=False)
        stored = runs.get_run(session, run_id).config
    given = study.validate_parameters({"config": stored})["config"]  # as the sweep starts it
    assert open_study.fn(given) == run_id
    with recorded(run_id):
        carry_out_trials.fn(run_id)
    report = study_report(run_id)
    assert report.trial_count == 4 and "--methods dpo,ipo" in report.command
    with pytest.raises(ValueError, match="study label-efficiency does not read share, methods; leave it out"):
        open_study.fn(given)


def test_one_process_at_a_time_works_on_a_study(log):
    run_id = open_study.fn(CONFIG)
    with alone_on(run_id), pytest.raises(RunBusyError, match="being worked on"), alone_on(run_id):
        pass
