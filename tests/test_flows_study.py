"""Studies through the command line on a real Prefect server: killed, taken up, shown; what cannot be is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import planted_studies
import pytest
from planted_studies import LOG, PAUSE, log_of
from refusals import assert_one_line
from surroundings import ROOT, on_sqlite, wait_for

from db import runs
from db.studies.trials import outcomes_of
from flows.study import study
from tasks.config.studies import StudyConfig
from tasks.studies import kinds
from tasks.studies.running import open_study


@on_sqlite
@pytest.mark.slow
def test_a_study_whose_process_is_killed_repeats_no_stored_trial(sessions, tmp_path, prefect_server):
    log = tmp_path / "log"
    arguments = ("study", planted_studies.NAME, "--strategies", "easy,random", "--budgets", "50", "--seeds", "5")
    command = (sys.executable, "-m", "planted_studies", *arguments)

    environment = os.environ | {
        "PREFECT_API_URL": prefect_server, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}",
        LOG: str(log), PAUSE: "0.5",
    }  # fmt: skip

    def stored():
        with sessions() as session:
            return len(outcomes_of(session, 1))

    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        wait_for(lambda: stored() >= 3 or process.poll() is not None, "the study")
        process.send_signal(signal.SIGKILL)
    before, begun = stored(), log_of(log)
    assert 3 <= before < 10 and len(begun) <= before + 1
    again = subprocess.run(
        command, env=environment | {PAUSE: "0"}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"{before} of 10 trials are stored already" in again.stderr
    assert len(log_of(log)) - len(begun) == 10 - before and stored() == 10
    assert "Nothing is <better>." in again.stdout and str(tmp_path / "artifacts/reports/study-1.html") in again.stdout
    with sessions() as session:
        assert runs.get_run(session, 1).status == runs.COMPLETED
    found = httpx.post(f"{prefect_server}/artifacts/latest/filter", json={}, timeout=60).json()
    artifacts = {one["key"]: one for one in found if (one["key"] or "").startswith("study-1")}
    assert set(artifacts) == {"study-1", "study-1-1"}, "the report, and its plot"
    shown = artifacts["study-1"]
    assert "Nothing is" in shown["data"] and "## Where it is" in shown["data"]
    assert "Nothing is" not in shown["description"], "it stands under it, and need not be read twice"


@on_sqlite
def test_what_cannot_be_studied_is_one_line(antipode, sessions):
    for arguments, words in (
        (("nothing",), "label-efficiency"),
        (("label-efficiency", "--budgets", "0"), "--budgets: "),
        (("label-efficiency", "--seeds", "1"), "--seeds"),
        (("noise", "--methods", "dpo"), "study noise does not read methods; leave it out"),
        (("pilot", "--budgets", "50,50"), "budgets: every one once"),
    ):
        assert_one_line(antipode("study", *arguments), 2, words)
    helped = antipode("study", "--help")
    assert helped.returncode == 0 and "true utility" in " ".join(helped.stdout.split())


@pytest.mark.parametrize(
    "values",
    [
        {"study": "label-efficiency", "strategies": ["easy"], "budgets": [50], "seeds": 2},
        {"study": "label-efficiency", "learner": "alignment", "train": {"learning_rate": 5e-7, "lora": {"rank": 8}}},
    ],
    ids=lambda values: values.get("learner", "head"),
)
@on_sqlite
def test_a_dead_study_is_taken_up_by_what_is_stored_of_it(sessions, monkeypatch, values):
    """As the sweep does: it starts the deployment with the stored configuration."""
    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED)
    run_id = open_study.fn(StudyConfig.model_validate(values))
    with sessions() as session:
        run = runs.get_run(session, run_id)
    given = study.validate_parameters({"config": run.config})["config"]
    assert given.key == run.config_key
    assert open_study.fn(given) == run_id
