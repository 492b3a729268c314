"""The regular sweep of the database: resumes runs whose process died, starts trainings whose event was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed
from pydantic import ValidationError

from db import runs
from db.engine import Sessions, alone
from db.runs import RunRecord
from models.records import shortened
from tasks.config.alignment import AlignConfig
from tasks.config.service import SweepConfig, TriggerConfig
from tasks.database import open_database
from tasks.errors import NoModelError
from tasks.progress import say
from tasks.service.retraining import is_worth_a_run
from tasks.settings import Settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.client.schemas.responses import DeploymentResponse

ON_LABELS = "on-labels"
DIED = "its process died"
SECOND_LOOK_S = 3.0
LONGEST_START = timedelta(minutes=5)
UNFIT = (409, 422)
REASON_WIDTH = 400


@task(name="take up dead runs", task_run_name="take up dead runs", cache_policy=NO_CACHE)
def take_up_dead_runs(config: SweepConfig) -> int:
    """Mark the runs whose process died as crashed, and start those of a deployment again; return how many.

    A run that was cancelled in Prefect has failed, and stays so. One begun at a command line is only marked: the same
    command goes on with it.
    """
    count = 0
    with open_database(Settings()) as sessions, get_client(sync_client=True) as client:
        for run in _dead_runs(sessions, min_age_s=config.min_age_s):
            with alone(sessions, f"run {run.id}") as is_free:  # still
                count += _take_up(sessions, client, run, config.max_resumes) if is_free else 0
    return count


@task(name="start due trainings", task_run_name="start due trainings", cache_policy=NO_CACHE)
def start_due_trainings() -> int:
    """Start the deployments that wait for labels, where enough have come; return how many.

    One that has a flow run already, waiting or at work, is left to it. Where one has completed that saw the newest
    label, it found nothing that was not trained on before.
    """
    count = 0
    with get_client(sync_client=True) as client:
        for due in due_deployments(client, Settings(), tell=say):
            if not _is_looked_at(client, due):
                client.create_flow_run_from_deployment(due.deployment.id, parameters={"is_automatic": True})
                say(f"{ON_LABELS}: started a training, since its event was lost or came too early")
                count += 1
    return count


@dataclass(frozen=True, slots=True)
class Due:
    """A deployment that has enough new labels, and when the newest of them came."""

    deployment: DeploymentResponse
    newest_at: datetime | None


def due_deployments(client: SyncPrefectClient, settings: Settings, *, tell: Callable[[str], None]) -> list[Due]:
    """The deployments tagged `on-labels` that have enough new labels; `tell` gets a line on each that has not."""
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[ON_LABELS]))
    candidates = (
        _due(deployment, settings, tell)
        for deployment in client.read_deployments(deployment_filter=tagged)
        if not deployment.paused and not _is_switched_off(client, deployment)
    )
    return [due for due in candidates if due is not None]


def _is_switched_off(client: SyncPrefectClient, deployment: DeploymentResponse) -> bool:
    """Whether a person has switched the deployment's own automation off."""
    automations = client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")
    return bool(automations) and not any(automation.enabled for automation in automations)


def _due(deployment: DeploymentResponse, settings: Settings, tell: Callable[[str], None]) -> Due | None:
    parameters: dict[str, Any] = deployment.parameters
    try:
        config = AlignConfig.model_validate(parameters.get("config", {}))
        trigger = TriggerConfig.model_validate(parameters.get("trigger", {}))
        verdict = is_worth_a_run(config, trigger, settings)
    except (ValidationError, LookupError, NoModelError) as error:
        tell(f"{deployment.name} cannot look for labels: {' '.join(str(error).split())}")
        return None
    if not verdict.is_due:
        tell(f"{deployment.name}: {verdict.reason}")
        return None
    return Due(deployment, verdict.labels.newest_at)


def _is_looked_at(client: SyncPrefectClient, due: Due) -> bool:
    """Whether a flow run is open, or has completed that looked for labels after the newest came.

    One that resumed a dead run has looked for no labels: its parameter `is_automatic` is False.
    """
    is_open = _flow_runs(client, due, {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}})
    if any(run.state is None or not (run.state.is_pending() and _is_overdue(run.state)) for run in is_open):
        return True
    has_ended = {"state": {"type": {"any_": ["COMPLETED"]}}, "start_time": {"after_": due.newest_at}}
    return any(run.parameters.get("is_automatic") for run in _flow_runs(client, due, has_ended))


def _flow_runs(client: SyncPrefectClient, due: Due, which: dict[str, Any]) -> list[FlowRun]:
    from prefect.client.schemas.filters import FlowRunFilter

    of_it = DeploymentFilter.model_validate({"id": {"any_": [due.deployment.id]}})
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(which), deployment_filter=of_it)


def _dead_runs(sessions: Sessions, *, min_age_s: float) -> list[RunRecord]:
    """Runs stored as running that no process works on; checked twice, since one may just be starting."""
    started_before = datetime.now(UTC) - timedelta(seconds=min_age_s)

    def look() -> list[RunRecord]:
        with sessions() as session:
            running = runs.running(session, started_before=started_before)
        return [run for run in running if _is_free(sessions, run)]

    first_look_ids = {run.id for run in look()}
    if not first_look_ids:
        return []
    time.sleep(SECOND_LOOK_S)
    return [run for run in look() if run.id in first_look_ids]


def _is_free(sessions: Sessions, run: RunRecord) -> bool:
    with alone(sessions, f"run {run.id}") as is_free:
        return is_free


def _take_up(sessions: Sessions, client: SyncPrefectClient, run: RunRecord, max_resumes: int) -> int:
    """Mark a dead run; start one of a deployment again, at most `max_resumes` times. Returns how many were started."""
    flow_run = _flow_run(client, run)
    state = None if flow_run is None else flow_run.state
    if state is not None and (state.is_cancelled() or state.is_cancelling()):
        return _mark(sessions, run, runs.FAILED, "cancelled in Prefect")
    # One that was started again says RUNNING some seconds before it takes the run up.
    is_dead = state is not None and ((state.is_running() and run.status == runs.RUNNING) or _is_overdue(state))
    if flow_run is not None and is_dead:
        state = Crashed(message=DIED)
        client.set_flow_run_state(flow_run.id, state, force=True)
    if run.status == runs.RUNNING:
        _mark(sessions, run, runs.CRASHED, DIED)
    if state is not None and not state.is_final():
        return 0  # an earlier sweep, or a person, started it again
    if run.deployment is None:
        return 0
    if run.resumes >= max_resumes:
        return _mark(sessions, run, runs.FAILED, f"{DIED} {run.resumes + 1} times; see the logs, then start it anew")
    return _start_again(sessions, client, run)


def _start_again(sessions: Sessions, client: SyncPrefectClient, run: RunRecord) -> int:
    assert run.deployment is not None
    try:
        deployment = client.read_deployment_by_name(run.deployment)
        again = client.create_flow_run_from_deployment(
            deployment.id,
            parameters=deployment.parameters | {"config": run.config},
            idempotency_key=f"run {run.id} after {run.flow_run_id}",
        )
    except ObjectNotFound:
        return _mark(sessions, run, runs.FAILED, f"{DIED}, and its deployment {run.deployment} is gone")
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in UNFIT:
            raise
        reason = f"{DIED}, and its configuration no longer fits {run.deployment}: {error.response.text}"
        return _mark(sessions, run, runs.FAILED, shortened(reason, REASON_WIDTH))
    with sessions.begin() as session:
        runs.count_resume(session, run.id)
        runs.set_origin(session, run.id, deployment=run.deployment, flow_run_id=str(again.id))
    say(f"run {run.id} ({run.name}): {DIED}; {run.deployment} takes it up")
    return 1


def _is_overdue(state: State) -> bool:
    """Whether a process that was to take up a run must have died before it did."""
    return (state.is_pending() or state.is_running()) and datetime.now(UTC) - state.timestamp > LONGEST_START


def _flow_run(client: SyncPrefectClient, run: RunRecord) -> FlowRun | None:
    if run.flow_run_id is None:
        return None
    try:
        return client.read_flow_run(UUID(run.flow_run_id))
    except ObjectNotFound:
        return None


def _mark(sessions: Sessions, run: RunRecord, status: str, error: str) -> int:
    with sessions.begin() as session:
        runs.set_status(session, run.id, status, error=error)
    say(f"run {run.id} ({run.name}): {error}")
    return 0
