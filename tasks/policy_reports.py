"""The report page of a policy, and what the Prefect UI shows of it."""

from __future__ import annotations

import base64
from pathlib import Path

from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.events import emit_event

from models.report.curves_picture import curves_svg
from models.report.page import write_page
from models.report.policy_page import policy_markdown, policy_page
from tasks.policy_queries import policy_contents, policy_page_path
from tasks.settings import Settings

POLICY_TRAINED = "antipode.policy.trained"


@task(name="publish policy", task_run_name="publish policy {policy_id}", cache_policy=NO_CACHE)
def publish_policy(run_id: int, policy_id: int) -> None:
    """Write the policy's page and, under Prefect, show its figures and curves as artifacts and tell of it."""
    settings = Settings()
    write_policy_page(policy_id, settings)
    if TaskRunContext.get() is None:
        return
    contents = policy_contents(policy_id, settings)
    key = f"policy-{policy_id}"
    create_markdown_artifact(policy_markdown(contents), key=key, description=contents.name)
    if contents.points:
        picture = base64.b64encode(curves_svg(contents.points).encode()).decode()
        create_image_artifact(f"data:image/svg+xml;base64,{picture}", key=f"{key}-curves", description="Training")
    emit_event(
        POLICY_TRAINED,
        resource={"prefect.resource.id": f"antipode.policy.{policy_id}"},
        payload={"run_id": run_id, "policy_id": policy_id, "method": contents.method},
    )


def write_policy_page(policy_id: int, settings: Settings) -> Path:
    """Write the page of a policy and return where it is.

    Raises:
        LookupError: If there is no such policy.
    """
    path = policy_page_path(policy_id, settings)
    write_page(policy_page(policy_contents(policy_id, settings)), path)
    return path
