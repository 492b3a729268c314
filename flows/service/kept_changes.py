"""What people have changed in the Prefect UI, kept over a new deployment of an unchanged deployments.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate, VariableCreate, VariableUpdate
from prefect.client.schemas.responses import DeploymentResponse

from models.records import content_key

VARIABLE = "antipode_deployed"  # content hash of each entry of deployments.yaml when it was deployed last
OWN_SETTINGS = ("parameters", "schedules", "concurrency_limit", "triggers")


class KeptChanges:
    """Parameters, schedules and switches as they are before a deployment, to be put back after it."""

    def __init__(self, client: SyncPrefectClient, file: Path) -> None:
        """Read what is on the server now, and which entries of the file are as they were when it was deployed last."""
        self._client = client
        entries = yaml.safe_load(file.read_text("utf-8"))["deployments"]
        self._entries = {
            f"{entry['entrypoint']} {entry['name']}": content_key(_changeable_settings(entry)) for entry in entries
        }
        variable = client.read_variable_by_name(VARIABLE)
        deployed = json.loads(str(variable.value)) if variable else {}
        self._before = {
            key: deployment
            for key, deployment in _deployments(client).items()
            if key in deployed and deployed[key] == self._entries.get(key)
        }
        self._switched_off = {
            automation.name
            for deployment in self._before.values()
            for automation in client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")
            if not automation.enabled
        }

    def restore(self) -> None:
        """Put back what people had changed, and remember the entries that are deployed now."""
        now = _deployments(self._client)
        for key, before in self._before.items():
            self._client.update_deployment(now[key].id, _as_it_was(before, now[key]))
            for automation in self._client.read_resource_related_automations(f"prefect.deployment.{now[key].id}"):
                if automation.name in self._switched_off:
                    self._client.pause_automation(automation.id)
        self._remember()

    def _remember(self) -> None:
        value = json.dumps(self._entries)
        if self._client.read_variable_by_name(VARIABLE) is None:
            self._client.create_variable(VariableCreate(name=VARIABLE, value=value))
        else:
            self._client.update_variable(VariableUpdate(name=VARIABLE, value=value))


def _deployments(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    return {f"{deployment.entrypoint} {deployment.name}": deployment for deployment in client.read_deployments()}


def _as_it_was(before: DeploymentResponse, now: DeploymentResponse) -> DeploymentUpdate:
    """The update that restores what people may change, and leaves the rest as deployed now."""
    schedules = [
        DeploymentScheduleUpdate(
            schedule=schedule.schedule,
            active=schedule.active,
            parameters=schedule.parameters,
            max_scheduled_runs=schedule.max_scheduled_runs,
            slug=schedule.slug or f"kept-{number}",
        )
        for number, schedule in enumerate(before.schedules)
    ]
    return DeploymentUpdate(
        parameters=before.parameters,
        paused=before.paused,
        schedules=schedules,
        tags=now.tags,
        work_pool_name=now.work_pool_name,
        work_queue_name=now.work_queue_name,
        parameter_openapi_schema=now.parameter_openapi_schema,
    )


def _changeable_settings(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name) for name in OWN_SETTINGS}
