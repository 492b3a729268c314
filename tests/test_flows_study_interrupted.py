"""Ctrl-C between a run's opening and its first step."""

from __future__ import annotations

import os
import subprocess
import sys

import planted_studies
from planted_studies import LOG, log_of
from surroundings import ROOT, on_sqlite

from db import runs
from db.studies.trials import outcomes_of
from flows.__main__ import _stopped

ARGUMENTS = ("study", planted_studies.NAME, "--strategies", "easy,random", "--budgets", "50", "--seeds", "2")


@on_sqlite
def test_a_run_that_was_opened_and_not_begun_is_stopped_by_ctrl_c_and_taken_up_again(
    sessions, tmp_path, prefect_server
):
    log = tmp_path / "log"
    environment = os.environ | {
        "PREFECT_API_URL": prefect_server, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}", LOG: str(log),
    }  # fmt: skip

    def command(module):
        return subprocess.run(
            (sys.executable, "-m", module, *ARGUMENTS), env=environment, cwd=tmp_path, capture_output=True, text=True,
            timeout=200, check=False,
        )  # fmt: skip

    def status():
        with sessions() as session:
            return runs.get_run(session, 1).status

    ended = command("interrupted_openings")
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.splitlines()[-1] == "antipode: stopped; the same command again goes on where it was"
    assert not log_of(log) and status() == runs.STOPPED
    again = command("planted_studies")
    assert again.returncode == 0, again.stderr
    assert "taking up run 1, which did not finish" in again.stderr and status() == runs.COMPLETED
    with sessions() as session:
        assert len(outcomes_of(session, 1)) == 4


def test_a_second_ctrl_c_while_runs_are_said_to_be_stopped_prints_no_traceback(monkeypatch, capsys):
    def press_again():
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.runs.stop_opened", press_again)
    assert _stopped() == 130
    assert capsys.readouterr().err == "antipode: stopped; the same command again goes on where it was\n"
