"""What `antipode doctor` asks a Prefect server: version, credentials, deployments, workers, silent schedules."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tasks.config.service import POOL
from tasks.doctor.database import ANSWER_TIMEOUT_S, http_reason, shown_address
from tasks.doctor.machine import Finding

if TYPE_CHECKING:
    import httpx

TAG = "antipode"
AUTOMATION_PREFIX = "antipode: "
SCHEDULER_LAG = timedelta(minutes=2)  # the scheduler looks once a minute


def prefect_address() -> tuple[str | None, str | None]:
    """The server's API and the credentials for it, from Prefect's environment and profile."""
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    return api.url, api.auth_string.get_secret_value() if api.auth_string else None


def prefect_findings(address: str | None, credentials: str | None) -> list[Finding]:
    """Whether the Prefect server works, and works for Antipode: deployments, a worker, automations, schedules."""
    import httpx

    if address is None:
        text = "no lasting server is named, each command starts its own; antipode up starts one"
        return [Finding("Prefect server", "ok", text)]
    user, _, password = (credentials or "").partition(":")
    auth = httpx.BasicAuth(user, password) if credentials else None
    advice = "antipode up (or: prefect server start); else correct PREFECT_API_URL, such as http://127.0.0.1:4200/api"
    try:
        with httpx.Client(base_url=address, auth=auth, timeout=ANSWER_TIMEOUT_S) as client:
            server = _prefect_server(client, shown_address(address))
            if server.level == "problem":
                return [server]
            _take_csrf_token(client)
            deployments = _deployments(client)
            return [
                server,
                _deployed(deployments),
                _worker(client),
                _automations(client),
                *schedule_findings(client, deployments),
            ]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return [Finding("Prefect server", "problem", f"{shown_address(address)}: {http_reason(error)}", advice)]


def _prefect_server(client: httpx.Client, name: str) -> Finding:
    if client.get("/health").raise_for_status().json() is not True:
        advice = "PREFECT_API_URL must end in /api, such as http://127.0.0.1:4200/api"
        return Finding("Prefect server", "problem", f"{name}: something else answers there", advice)
    answer = client.get("/admin/version")
    if answer.status_code in {401, 403}:
        text = f"{name} refuses the credentials ({answer.status_code})"
        advice = "export PREFECT_API_AUTH_STRING=<the server's PREFECT_SERVER_API_AUTH_STRING>"
        return Finding("Prefect server", "problem", text, advice)
    version, installed = answer.raise_for_status().json(), metadata.version("prefect")
    if version != installed:
        text = f"{name} runs Prefect {version}, this environment has {installed}"
        return Finding(
            "Prefect server", "problem", text, f"pip install prefect=={installed} where the server runs; start it anew"
        )
    return Finding("Prefect server", "ok", f"{name} answers, Prefect {version}")


def _take_csrf_token(client: httpx.Client) -> None:
    """A server that protects itself against forged requests wants a token with every filter."""
    name = str(uuid.uuid4())
    answer = client.get("/csrf-token", params={"client": name})
    if answer.status_code == 200:
        client.headers.update({"Prefect-Csrf-Token": answer.json()["token"], "Prefect-Csrf-Client": name})


def _ask(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, json=body).raise_for_status().json()


def _deployments(client: httpx.Client) -> list[dict[str, Any]]:
    deployments: list[dict[str, Any]] = _ask(client, "/deployments/filter", {"deployments": {"tags": {"all_": [TAG]}}})
    return deployments


def _deployed(deployments: Sequence[dict[str, Any]]) -> Finding:
    if not deployments:
        return Finding("deployments", "warning", f"none with the tag {TAG}", "antipode deploy")
    return Finding("deployments", "ok", f"{len(deployments)}: {', '.join(sorted(d['name'] for d in deployments))}")


def _worker(client: httpx.Client) -> Finding:
    answer = client.post(f"/work_pools/{POOL}/workers/filter", json={})
    if answer.status_code == 404:
        return Finding("workers", "warning", f"there is no work pool {POOL}", "antipode deploy, then antipode worker")
    online = [worker["name"] for worker in answer.raise_for_status().json() if worker["status"] == "ONLINE"]
    if not online:
        return Finding("workers", "warning", f"none is online in pool {POOL}; deployed runs wait", "antipode worker")
    return Finding("workers", "ok", f"{len(online)} online: {', '.join(online[:5])}")


def _automations(client: httpx.Client) -> Finding:
    automations = [
        automation
        for automation in _ask(client, "/automations/filter", {})
        if automation["name"].startswith(AUTOMATION_PREFIX)
    ]
    if off := [automation["name"] for automation in automations if not automation["enabled"]]:
        return Finding(
            "automations", "warning", f"switched off: {', '.join(off)}", "antipode deploy, or switch it on in the UI"
        )
    if not automations:
        return Finding("automations", "warning", "none: runs whose process died stay Running", "antipode deploy")
    return Finding(
        "automations", "ok", ", ".join(automation["name"].removeprefix(AUTOMATION_PREFIX) for automation in automations)
    )


def schedule_findings(
    client: httpx.Client, deployments: Sequence[dict[str, Any]], lag: timedelta = SCHEDULER_LAG
) -> list[Finding]:
    """Active schedules, older than the lag, without a planned run: no other check sees that the scheduler fails."""
    now = datetime.now(UTC)
    silent = []
    for deployment in deployments:
        plans = [
            plan for plan in deployment["schedules"] if plan["active"] and "rrule" not in plan["schedule"]
        ]  # those end
        if deployment["paused"] or all(now - datetime.fromisoformat(plan["updated"]) < lag for plan in plans):
            continue
        coming = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"after_": now.isoformat()}}
        body = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": coming}
        if _ask(client, "/flow_runs/count", body) == 0:
            silent.append(deployment["name"])
    if not silent:
        return []
    advice = "where the server runs: pip install 'sqlalchemy>=2.0.58,<2.1' (Prefect plans 100 days ahead, no further)"
    return [Finding("schedules", "problem", f"active, but no run is planned: {', '.join(silent)}", advice)]
