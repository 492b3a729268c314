"""What the doctor finds of a Prefect server and of what is deployed there."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from answering_servers import answering
from doctor_findings import SECRET, levels, told
from surroundings import free_port

from tasks.doctor.prefect_server import prefect_findings, schedule_findings


@pytest.fixture
def serve():
    with answering() as start:
        yield start


def test_no_lasting_prefect_server_is_fine():
    assert levels(prefect_findings(None, None)) == ["ok"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/api/health": (200, True), "/api/admin/version": (401, "no")}, "do: export PREFECT_API_AUTH_STRING="),
        (
            {"/api/health": (200, True), "/api/admin/version": (200, "3.8.8")},
            "runs Prefect 3.8.8, this environment has 3.7",
        ),
        ({"/api/health": (200, {"status": "ok"})}, "something else answers there"),
        ({}, "answers 404 to /api/health"),
    ],
)
def test_a_prefect_server_that_does_not_fit_is_told(serve, answers, expected):
    found = prefect_findings(f"{serve(answers)}/api", f"admin:{SECRET}")

    assert levels(found) == ["problem"]
    assert expected in told(found)


def test_a_prefect_server_that_refuses_connections_is_told_without_its_password():
    port = free_port()
    found = prefect_findings(f"http://admin:{SECRET}@127.0.0.1:{port}/api", None)

    assert levels(found) == ["problem"]
    assert f"http://127.0.0.1:{port}/api: " in told(found)


def test_what_is_deployed_is_found_on_a_prefect_server(prefect_server):
    with httpx.Client(base_url=prefect_server, timeout=30) as client:

        def ask(method, path, body=None):
            answer = client.request(method, path, json=body)
            for _ in range(20):
                if answer.status_code != 503:  # its SQLite file is locked for a moment
                    break
                time.sleep(0.5)
                answer = client.request(method, path, json=body)
            return answer.raise_for_status().json() if answer.content else None

        empty = told(prefect_findings(prefect_server, None))
        assert empty.startswith(f"ok Prefect server: {prefect_server} answers, Prefect ")
        made_pool = client.get("/work_pools/antipode").status_code == 404
        if made_pool:
            ask("POST", "/work_pools/", {"name": "antipode", "type": "process"})
        flow = ask("POST", "/flows/", {"name": "looked-at-by-the-doctor"})
        rare = {"interval": timedelta(days=200).total_seconds(), "anchor_date": datetime.now(UTC).isoformat()}
        deployment = ask(
            "POST",
            "/deployments/",
            {
                "name": "rare",
                "flow_id": flow["id"],
                "tags": ["antipode"],
                "schedules": [{"schedule": rare, "active": True}],
            },
        )
        trigger = {"type": "event", "posture": "Reactive", "expect": ["never"], "threshold": 1, "within": 0}
        automation = ask(
            "POST",
            "/automations/",
            {"name": "antipode: dead runs", "trigger": trigger, "actions": [{"type": "do-nothing"}]},
        )
        try:
            ask("POST", "/work_pools/antipode/workers/heartbeat", {"name": "one"})
            found = told(prefect_findings(prefect_server, None))
            for name, expected in (("deployments", "rare"), ("workers", "one"), ("automations", "dead runs")):
                line = next(line for line in found.splitlines() if line.startswith(f"ok {name}: "))
                assert expected in line
            assert "schedules" not in found  # it has just been deployed
            assert "no run is planned: rare" in told(schedule_findings(client, [deployment], timedelta(0)))
        finally:
            ask("DELETE", f"/deployments/{deployment['id']}")
            ask("DELETE", f"/automations/{automation['id']}")
            ask("DELETE", "/work_pools/antipode/workers/one")
            if made_pool:
                ask("DELETE", "/work_pools/antipode")
        if made_pool:
            assert "there is no work pool antipode" in told(prefect_findings(prefect_server, None))
