"""What a Prefect server needs before a worker can run anything: the pool, deployments, the automation for deaths."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from db.engine import fault_of
from db.migrations import DatabaseOutdatedError
from tasks.config.service import POOL
from tasks.progress import say
from tasks.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

ROOT = Path(__file__).resolve().parents[2]
HEARTBEAT_S = 30  # the shortest that Prefect allows
MISSED_HEARTBEATS = 3
ZOMBIES = "antipode: a run whose process died is crashed"
SERVER_WAIT_S = 120.0
SHOWN_CHARACTERS = 400


class DeployError(RuntimeError):
    """The Prefect server is not there, refuses us, or does not take a deployment."""


class SilentServerError(DeployError):
    """The Prefect server answered before, and answers no longer.

    On SQLite, Prefect 3.7 blocks itself if an automation is made in the moment in which it reads all of them.
    """


def deploy() -> list[str]:
    """Bring the Prefect server of PREFECT_API_URL up to date with deployments.yaml; return the deployments' names.

    What a person has changed in the UI (parameters, schedules, what is paused or switched off) stays, unless the
    deployment's entry in deployments.yaml has changed since the last time.

    Raises:
        DeployError: If it does not answer, refuses the credentials, or a deployment.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    from flows.service.kept_changes import KeptChanges

    require_server()
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        _create_automation(client)
        changes = KeptChanges(client, ROOT / "deployments.yaml")
        _prefect_deploy()
        changes.restore()
        _offer_values(client)
        flows = {flow.id: flow.name for flow in client.read_flows()}
        return sorted(f"{flows[deployment.flow_id]}/{deployment.name}" for deployment in client.read_deployments())


def _offer_values(client: SyncPrefectClient) -> None:
    """Have the forms offer the sources and models that there are; a database that is away or old is no obstacle."""
    from tasks.service.offered_values import offer_values

    try:
        offer_values(client, Settings())
    except Exception as error:
        if fault_of(error) is None and not isinstance(error, DatabaseOutdatedError):
            raise
        say(f"the forms offer no sources and models yet: {str(error).splitlines()[0]}")


def set_nightly(source: str | None, model: str | None) -> None:
    """Switch the nightly curation of a source on, and set the model of it and of training on new labels.

    None changes nothing. The next deployment keeps both, as it keeps what people set in the UI.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate

    if source is None and model is None:
        return
    chosen = {"model": {"name": model}} if model else {}
    with get_client(sync_client=True) as client:
        for name, settings in (
            ("curate/nightly", chosen | ({"source": {"name": source}} if source else {})),
            ("align/on-labels", chosen),
        ):
            deployment = client.read_deployment_by_name(name)
            config = dict(deployment.parameters.get("config", {}))
            for section, values in settings.items():
                config[section] = {**config.get(section, {}), **values}
            is_switched_on = source is not None and name == "curate/nightly"
            schedules = [
                DeploymentScheduleUpdate(
                    schedule=schedule.schedule, active=is_switched_on or schedule.active, slug=schedule.slug
                )
                for schedule in deployment.schedules
            ]
            parameters = {**deployment.parameters, "config": config}
            client.update_deployment(deployment.id, DeploymentUpdate(parameters=parameters, schedules=schedules))


def require_server() -> None:
    """Wait until the server answers, and see that it lets us in.

    Raises:
        DeployError: If it does not.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    address = os.environ.get("PREFECT_API_URL")
    if not address:
        raise DeployError("PREFECT_API_URL names no server; set it, or start everything on this machine: antipode up")
    until = time.monotonic() + SERVER_WAIT_S
    while True:
        try:
            with get_client(sync_client=True) as client:
                client.read_work_pools(limit=1)
            return
        except PrefectHTTPStatusError as error:
            if error.response.status_code in {401, 403}:
                raise DeployError(
                    f"the Prefect server at {address} refuses us; set PREFECT_API_AUTH_STRING to user:password"
                ) from error
            if time.monotonic() > until:
                raise DeployError(f"the Prefect server at {address} answers {error.response.status_code}") from error
        except (httpx.HTTPError, RuntimeError) as error:
            if time.monotonic() > until:
                raise DeployError(
                    f"no Prefect server answers at {address} after {SERVER_WAIT_S:g} s ({type(error).__name__}); "
                    "start it, or mend PREFECT_API_URL"
                ) from error
        time.sleep(0.5)


def _create_automation(client: SyncPrefectClient) -> None:
    """Make the automation that marks runs as crashed which died together with their worker: Prefect itself does not.

    An existing one is kept: a new one would know nothing of the heartbeats that came before it.
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    if client.read_automations_by_name(ZOMBIES):
        return
    client.create_automation(
        AutomationCore(
            name=ZOMBIES,
            description="After three missed heartbeats; the sweep takes the run up again.",
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect={
                    "prefect.flow-run.heartbeat",
                    *(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")),
                },
                match={"prefect.resource.id": ["prefect.flow-run.*"]},
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=MISSED_HEARTBEATS * HEARTBEAT_S),
            ),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message="its process died: no heartbeat came")],
        )
    )


def _prefect_deploy() -> None:
    try:
        process = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", "deployments.yaml", "--all"],
            cwd=ROOT,
            env=project_environment(os.environ) | {"PREFECT_LOGGING_LEVEL": "INFO"},  # else a failure says nothing
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SERVER_WAIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise SilentServerError("the Prefect server has stopped answering; start it anew and deploy again") from error
    if process.returncode:
        end = " ".join((process.stdout + process.stderr).split())[-SHOWN_CHARACTERS:]
        raise DeployError(f"prefect deploy failed: …{end}")


def project_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Prefect's own commands find the project's files."""
    return {**environment, "PWD": str(ROOT), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
