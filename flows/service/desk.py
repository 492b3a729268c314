"""What the workbench's buttons do: deployments are started through Prefect, what takes a moment is done at once.

Prefect is imported when it is first needed: that takes seconds, and most pages need none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from flows.service.forms import config_of, form_of
from flows.service.kinds import KINDS, PromotionConfig, QueueOfPairsConfig, kind_of
from models.records import shortened
from tasks.config.section import Section
from tasks.settings import Settings
from web.service import Form, Started

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

SHOWN_RUNS = 12
SHOWN_CHARACTERS = 300
SOON = timedelta(seconds=5)
COMPLETED = "Completed"
EXCEPTION = "Flow run encountered an exception: "  # how Prefect begins what the flow has said


class Desk:
    """The service of a page that is served beside a Prefect server: that of PREFECT_API_URL."""

    def __init__(self, settings: Settings) -> None:
        """`settings` say where the database and the artifacts are."""
        self._settings = settings

    def start(self, what: str, settings: Mapping[str, Any]) -> Started:
        """See `web.service.Service`."""
        kind = kind_of(what)
        config = config_of(kind, settings)
        if kind.deployment is None:
            name, message = AT_ONCE[what](config, self._settings)
            return Started("", what, name, COMPLETED, datetime.now(UTC), message)
        with _prefect() as client:
            deployment = client.read_deployment_by_name(kind.deployment)
            flow_run = client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"config": config.model_dump(mode="json")},
                name=f"{what} {getattr(config, 'title', None) or getattr(config, 'name', '')}".strip(),
            )
            return _started(flow_run, what, "")

    def recent(self) -> Sequence[Started]:
        """See `web.service.Service`."""
        with _prefect() as client:
            kinds = _kinds_by_deployment(client)
            flow_runs = _newest_runs(client, list(kinds))
            stages = _stages(client, [run.id for run in flow_runs if run.state is not None and run.state.is_running()])
            return [
                _started(run, kinds[run.deployment_id], stages.get(run.id, ""))
                for run in flow_runs
                if run.deployment_id in kinds
            ]

    def form(self, what: str) -> Form:
        """See `web.service.Service`."""
        return form_of(what, kind_of(what))


def _open_queue(config: Section, settings: Settings) -> tuple[str, str]:
    from tasks.labels.people import open_people_queue

    queue_id = open_people_queue(cast("QueueOfPairsConfig", config).labelling(), settings)
    return f"queue {queue_id}", f"queue {queue_id} is open; it is on the first page of everybody with a link"


def _promote(config: Section, settings: Settings) -> tuple[str, str]:
    from tasks.evaluation.promotion import promote

    chosen = cast("PromotionConfig", config)
    reason = promote(chosen.policy, is_forced=chosen.force, settings=settings)
    return f"policy {chosen.policy}", f"policy {chosen.policy} is in use: {reason}"


def _roll_back(_config: Section, settings: Settings) -> tuple[str, str]:
    from tasks.evaluation.promotion import roll_back

    removed, in_use = roll_back(settings)
    now = "none" if in_use is None else f"policy {in_use}"
    return f"policy {removed}", f"policy {removed} is out of use; in use now: {now}"


AT_ONCE: Mapping[str, Callable[[Section, Settings], tuple[str, str]]] = {
    "queue": _open_queue,
    "promote": _promote,
    "rollback": _roll_back,
}


@contextmanager
def _prefect() -> Iterator[SyncPrefectClient]:
    """A client of the server; whatever keeps it from answering becomes one line.

    Raises:
        ConnectionError: If it does not answer, refuses us, or has not what is asked for.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    try:
        with get_client(sync_client=True) as client:
            yield client
    except ObjectNotFound as error:
        raise ConnectionError("Prefect's server does not know this deployment; deploy it: antipode deploy") from error
    except PrefectHTTPStatusError as error:
        said = shortened(" ".join(error.response.text.split()), SHOWN_CHARACTERS)
        raise ConnectionError(f"Prefect's server answered {error.response.status_code}: {said}") from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise ConnectionError(
            f"Prefect's server does not answer ({type(error).__name__}); start it, or wait until it is back"
        ) from error


def _kinds_by_deployment(client: SyncPrefectClient) -> dict[UUID, str]:
    """What the page calls the runs of each deployment; a nightly or automatic one is of the kind of its flow."""
    by_flow = {kind.deployment.partition("/")[0]: what for what, kind in KINDS.items() if kind.deployment}
    flows = {flow.id: by_flow[flow.name] for flow in client.read_flows() if flow.name in by_flow}
    return {one.id: flows[one.flow_id] for one in client.read_deployments() if one.flow_id in flows}


def _newest_runs(client: SyncPrefectClient, deployment_ids: Sequence[UUID]) -> list[FlowRun]:
    """The newest flow runs of these deployments that are due; what a schedule has planned for later is not."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    is_due = {"expected_start_time": {"before_": datetime.now(UTC) + SOON}}
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(is_due),
        deployment_filter=DeploymentFilter.model_validate({"id": {"any_": list(deployment_ids)}}),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=SHOWN_RUNS,
    )


def _stages(client: SyncPrefectClient, flow_run_ids: Sequence[UUID]) -> dict[UUID, str]:
    """How far each of these flow runs has come in its newest stage that tells it."""
    from prefect.client.schemas.filters import ArtifactFilter
    from prefect.client.schemas.sorting import ArtifactSort

    if not flow_run_ids:
        return {}
    which = {"flow_run_id": {"any_": list(flow_run_ids)}, "type": {"any_": ["progress"]}}
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter.model_validate(which), sort=ArtifactSort.UPDATED_DESC, limit=4 * SHOWN_RUNS
    )
    stages: dict[UUID, str] = {}
    for artifact in found:
        if artifact.flow_run_id is not None and isinstance(artifact.data, int | float):
            stage = (artifact.description or "").partition(":")[0]
            stages.setdefault(artifact.flow_run_id, f"{stage} {artifact.data:.0f} %".strip())
    return stages


def _started(run: FlowRun, what: str, stage: str) -> Started:
    from prefect.utilities.urls import url_for

    state = run.state
    said = "" if state is None else " ".join((state.message or "").removeprefix(EXCEPTION).split())
    return Started(
        id=str(run.id),
        what=what,
        name=run.name,
        state="Scheduled" if state is None else state.name or state.type.value.title(),
        started_at=run.start_time or run.expected_start_time,
        message=stage or shortened(said, SHOWN_CHARACTERS),
        url=url_for("flow-run", obj_id=run.id),
    )
