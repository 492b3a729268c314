"""What a monitoring system is told, and whom it is told: figures on both databases, a token, readiness."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from page_visitor import SECRET, Visitor, open_queue
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text, update
from stored_labels import ANNA, judge
from stored_policies import finish, open_align_run, open_policy
from stored_rows import ids_by_text
from surroundings import on_sqlite

from db import promotions, runs
from db.schema.curation import Run
from models.labelling.records import PairKey
from web import monitoring
from web.app import create_app
from web.monitoring import Metrics, metrics_token


@pytest.fixture
def at_once(monkeypatch):
    """Figures are read at every question."""
    monkeypatch.setattr(monitoring, "KEPT_S", -1.0)


def site(sessions, **devices):
    return TestClient(create_app(sessions, secret=SECRET, lease_s=600, held_devices=lambda: devices))


def told(http):
    """The samples by name and labels, as Prometheus reads them."""
    answer = http.get("/metrics", headers={"Authorization": f"Bearer {metrics_token(SECRET)}"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.mark.usefixtures("at_once")
def test_every_figure_is_told_by_kind_and_number(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    ana.judge(queue_id, ana.pair(queue_id))
    run_id = open_align_run(sessions)
    policy_id = open_policy(sessions, run_id, "a").id
    finish(sessions, policy_id)
    with sessions.begin() as session:
        session.execute(update(Run).values(requests=7, cost=0.25))
        runs.add_device_seconds(session, run_id, 60.0)
        promotions.promote(session, policy_id, evaluation_id=None, is_forced=True, reason="")
    found = told(site(sessions, **{"gpu-host": 1}))
    queue = str(queue_id)
    assert (
        found
        | {
            ("antipode_queue_pairs", queue): 2,
            ("antipode_queue_waiting_pairs", queue): 1,
            ("antipode_judgements", "person"): 1,
            ("antipode_runs", "align", "running"): 1,
            ("antipode_requests_total", "align"): 7,
            ("antipode_cost_total", "align"): 0.25,
            ("antipode_device_seconds_total", "align"): 60,
            ("antipode_device_held", "gpu-host"): 1,
            ("antipode_policies", "trained"): 1,
            ("antipode_policy_in_use", str(policy_id)): 1,
        }
        == found
    )


@pytest.mark.usefixtures("at_once")
def test_labels_are_counted_as_they_come_and_one_taken_back_takes_nothing_off(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ids = ids_by_text(sessions)
    judge(sessions, ANNA, PairKey(*sorted((ids["a"], ids["b"]))), "tie")
    http, name = site(sessions), ("antipode_labels_total", "person")
    assert told(http)[name] == 0, "what was there before the process is no rate of now"
    ana = Visitor(sessions)
    ana.judge(queue_id, ana.pair(queue_id))
    ana.judge(queue_id, ana.pair(queue_id))
    found = told(http)
    assert (found[name], found["antipode_judgements", "person"]) == (2, 3)
    ana.post(f"/queues/{queue_id}/undo")
    found = told(http)
    assert (found[name], found["antipode_judgements", "person"]) == (2, 2)


@on_sqlite
def test_an_empty_database_has_figures_too_and_no_text_is_among_them(sessions):
    http = site(sessions)
    assert told(http) == {}
    open_queue(sessions, "a secret text", "another", name="a secret name")
    Visitor(sessions, "Secret Person")
    assert "ecret" not in Metrics(sessions, dict).text().decode()


@on_sqlite
def test_the_figures_are_kept_for_a_moment_however_many_ask(sessions):
    http = site(sessions)
    before = told(http)
    open_queue(sessions)
    assert told(http) == before


@on_sqlite
@pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer 0", f"Basic {metrics_token(SECRET)}", "Bearer \xe9"])
def test_without_the_token_nothing_is_told(sessions, header):
    open_queue(sessions)
    headers = {} if header is None else {b"authorization": header.encode("latin-1")}
    answer = site(sessions).get("/metrics", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "antipode_" not in answer.text and "antipode metrics --token" in answer.text


@on_sqlite
def test_a_persons_cookie_and_another_installations_token_are_no_token(sessions):
    ana = Visitor(sessions)
    assert ana.http.get("/metrics").status_code == 401
    other = {"Authorization": f"Bearer {metrics_token(SECRET + b'x')}"}
    assert ana.http.get("/metrics", headers=other).status_code == 401


def test_the_site_is_ready_as_long_as_the_schema_is_its_own(sessions):
    http = site(sessions)
    assert http.get("/ready").json() == {"status": "ready"}
    with sessions.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = http.get("/ready")
    assert answer.status_code == 503 and "schema of another version" in answer.json()["detail"]


@on_sqlite
def test_a_database_that_does_not_answer_is_not_ready(sessions, tmp_path):
    http = site(sessions)
    (tmp_path / "antipode.db").write_bytes(b"no database" * 100)
    assert http.get("/ready").status_code == 503
