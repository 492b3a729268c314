"""What is stored of a trial, on both databases."""

from __future__ import annotations

import math

from sqlalchemy import text

from db import runs
from db.studies.trials import add_outcome, outcomes_of
from models.studies.trials import FAILED, Outcome, Trial


def opened(session):
    return runs.open_run(session, kind=runs.STUDY, name="s", config={"a": 1}, config_key="s", code_version="0")


def test_an_outcome_comes_back_as_it_was_and_the_first_one_stays(sessions):
    trial = Trial("longest_gap", "noisy", 200, 2**53, "round 2")
    outcome = Outcome(trial, {"accuracy": 0.7, "by_prompt": [1, None], "curve": {"5": [0.5]}}, 1.5)
    with sessions.begin() as session:
        run_id = opened(session)
        add_outcome(session, run_id, outcome)
        add_outcome(session, run_id, Outcome(trial, {"accuracy": 0.1}, 9.0))
    with sessions() as session:
        assert outcomes_of(session, run_id) == {trial.key: outcome}
        assert outcomes_of(session, run_id + 1) == {}


def test_numbers_that_json_does_not_have_become_null(sessions):
    figures = {"a": math.nan, "b": [math.inf, (1.0, -math.inf)], "c": {"d": math.nan}}
    with sessions.begin() as session:
        run_id = opened(session)
        add_outcome(session, run_id, Outcome(Trial("easy"), figures, 0.0))
    with sessions() as session:
        (stored,) = outcomes_of(session, run_id).values()
    assert stored.figures == {"a": None, "b": [None, [1.0, None]], "c": {"d": None}}


def test_the_view_shows_figures_as_json_text(sessions):
    with sessions.begin() as session:
        add_outcome(session, opened(session), Outcome(Trial("easy"), {FAILED: "it diverged"}, 2.0))
    with sessions() as session:
        (row,) = session.execute(text("SELECT run, arm, budget, figures, seconds FROM study_results")).all()
    assert row.figures.replace(" ", "") == '{"failed":"itdiverged"}'
    assert (row.run, row.arm, row.budget, row.seconds) == ("s", "easy", 0, 2.0)
