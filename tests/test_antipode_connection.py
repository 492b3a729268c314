"""Frames of an installation on both databases, and a curation started as from a notebook."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate
from pydantic import ValidationError
from stored_labels import ANNA, judge
from stored_rows import add, row
from surroundings import ROOT, on_sqlite

import antipode as ap
from antipode.connection import _frame
from antipode.started_run import RunFailedError
from models.labelling.records import PairKey
from tasks.config.labels import LabelConfig
from tasks.errors import NothingToDoError
from tasks.labels.people import open_people_queue

QUICK = {
    "name": "from here",
    "source": {"name": "source", "limit": 2},
    "generate": {"backend": "scripted", "responses_per_prompt": 3},
    "embed": {"backend": "hashed"},
    "model": {"name": "demo"},
}


@pytest.fixture
def connection(settings, sessions, prefect_server, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    add(sessions, *(row(number, f"Prompt {number}?", "Yes, please.", "No!") for number in range(1, 4)))
    return ap.connect(settings.artifact_root, settings.database)


def test_frames_hold_what_is_stored_with_times_as_times(connection, sessions, settings):
    judge(sessions, ANNA, PairKey(1, 2), "first")
    run_id = curate(configured(generate={"when": "never"}))
    config = LabelConfig(annotator="people", pairs={"run": str(run_id)})
    open_people_queue(config, settings)
    runs, pairs, labels = connection.runs(), connection.pairs(), connection.labels(run_id)
    assert list(runs["kind"]) == ["curate"] and list(runs["run_id"]) == [run_id]
    assert str(runs["started_at"].dtype).startswith("datetime64") and runs["started_at"].dt.tz is not None
    assert set(pairs["prompt"]) == {"Prompt 1?", "Prompt 2?", "Prompt 3?"} and pairs["is_first_cut"].dtype == "boolean"
    assert len(labels) == len(pairs) and set(labels["outcome"].dropna()) == {"first"}
    assert connection.policies().empty and "policy_id" in connection.policies()
    queues, sources = connection.queues(), connection.sources()
    assert (queues["pair_count"][0], queues["done_count"][0]) == (3, 1)
    by_name = sources.set_index("source")
    assert (by_name["rows"]["source"], by_name["prompts"]["source"]) == (3, 3)
    assert connection.sql("SELECT count(*) AS n FROM run_summary")["n"][0] == 1


@on_sqlite
def test_nothing_there_is_an_empty_frame_with_its_columns_and_a_run_that_there_is_not_is_told(connection):
    assert connection.runs().empty and "started_at" in connection.runs()
    assert connection.queues().empty and "done_count" in connection.queues()
    with pytest.raises(LookupError, match="no run"):
        connection.pairs(7)
    assert "antipode.db" in repr(connection)


def test_only_what_fits_is_a_time_or_true_or_false():
    day = "2026-01-02 00:00:00.000000"
    names = ["made_at", "made_at", "said_at", "seen_at", "is_done", "is_counted", "is_said"]
    rows = [(day, day, "in May", 5, 1, 7, "yes"), (None, "2026-01-02", day, None, None, 0, None)]
    frame = _frame(rows, names)
    kinds = [str(kind).partition("[")[0] for kind in frame.dtypes]
    assert kinds[:2] == ["datetime64", "datetime64"] and kinds[4:6] == ["boolean", "int64"]
    assert str(frame.iloc[1, 1]) == "2026-01-02 00:00:00+00:00"
    assert frame["said_at"].tolist() == ["in May", day] and frame["seen_at"].dropna().tolist() == [5]
    assert frame["is_said"].dropna().tolist() == ["yes"] and frame["is_done"].dropna().tolist() == [True]


@on_sqlite
def test_a_curation_is_started_and_waited_for(connection, capfd):
    started = connection.curate(**QUICK | {"name": "-from-here"})
    run_id = started.wait()
    assert connection.runs().set_index("run_id")["status"][run_id] == "completed"
    assert len(connection.pairs("-from-here")) > 0 and not started.is_running
    assert "select: 2 of 2 prompts" in capfd.readouterr().err


@on_sqlite
def test_what_cannot_begin_is_refused_before_a_process_starts(connection, settings):
    with pytest.raises(ValidationError, match="nonsense"):
        connection.curate(nonsense=1)
    with pytest.raises(NothingToDoError, match="nowhere"):
        connection.curate(source={"name": "nowhere"}, model={"name": "demo"})
    with pytest.raises(ValueError, match=r"generate\.max_cost is for generate\.backend openai"):
        connection.curate(**QUICK | {"generate": {"backend": "scripted", "max_cost": 1.0}})
    assert not list(settings.artifact_root.glob("logs/notebook-*"))


@on_sqlite
def test_a_run_that_is_stopped_says_so_and_the_same_settings_go_on(connection):
    started = connection.curate(**QUICK)
    started.stop()
    with pytest.raises(RunFailedError, match=r"\(all of it: .*\.log\)"):
        started.wait()
    assert connection.curate(**QUICK).wait() > 0
