"""A study that is killed goes on with the trials that are missing, by the same command."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from scored_breads import curate_scored
from service_parts import eventually
from sqlalchemy import text
from surroundings import ROOT, on_sqlite

COMMAND = (
    *("study", "label-efficiency", "--strategies", "easy,longest_gap", "--budgets", "10,20,40"),
    *("--labels", "noisy", "--seeds", "6"),
)
COUNTS = 3 * 6  # arms × seeds, each at every number of labels


def stored_trials(sessions):
    """Each trial's key with when it was stored."""
    with sessions() as session:
        return dict(session.execute(text("SELECT key, created_at FROM study_trials")).tuples().all())


@on_sqlite
def test_a_study_killed_midway_does_no_trial_twice_and_ends_with_all(
    antipode, sessions, fork_server, prefect_server, tmp_path
):
    curate_scored(sessions)
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT)}
    with Path(os.devnull).open("w") as nowhere:
        streams = {"output": nowhere.fileno(), "errors": nowhere.fileno()}
        process = fork_server.start(COMMAND, cwd=tmp_path, env=environment, **streams)
    eventually(lambda: stored_trials(sessions), "a first trial")
    os.kill(process.process_id, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    before = stored_trials(sessions)
    ended = antipode(*COMMAND)
    assert ended.returncode == 0, ended.stderr
    assert "taking up run 2, which did not finish" in ended.stderr
    after = stored_trials(sessions)
    assert 0 < len(before) < len(after) and len(after) % COUNTS == 0
    assert {key: after[key] for key in before} == before, "what was stored stays as it was"
    with sessions() as session:
        assert session.execute(text("SELECT status FROM runs WHERE kind = 'study'")).all() == [("completed",)]
    page = (tmp_path / "artifacts" / "reports" / "study-2.html").read_text()
    assert "longest_gap" in page and "Labels that random needs" in page
