"""What Prefect's forms offer to choose from: the sources and models that there are. Other values stay possible.

A form knows nothing but a deployment's schema, so the values are written there: when it is deployed, and by the sweep.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate

from db import policies, promotions
from db.engine import Session
from db.prompts import source_names
from tasks.config.curation import ModelConfig, SourceConfig
from tasks.database import open_database
from tasks.settings import Settings

TAG = "antipode"  # of our deployments: a server may hold others
MOST_OFFERED = 50  # a list that nobody scrolls through is none
_POLICY = re.compile(r"policy:\d+")


@task(name="renew offered values", task_run_name="renew offered values", cache_policy=NO_CACHE)
def renew_offered_values() -> int:
    """Offer what has come since in the forms of Prefect's deployments; return how many were changed."""
    with get_client(sync_client=True) as client:
        return len(offer_values(client, Settings()))


def offer_values(client: SyncPrefectClient, settings: Settings) -> list[str]:
    """Write what there is into the deployments' schemas; return the names of those that had something else."""
    with open_database(settings) as sessions, sessions() as session:
        offered = {SourceConfig.__name__: source_names(session)[:MOST_OFFERED], ModelConfig.__name__: _models(session)}
    changed = []
    for deployment in client.read_deployments():
        schema = deployment.parameter_openapi_schema
        if TAG not in deployment.tags or schema is None:
            continue
        new_schema = with_offers(schema, offered)
        if new_schema != schema:
            client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=new_schema))
            changed.append(deployment.name)
    return changed


def with_offers(schema: Mapping[str, Any], offered: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A flow's schema in which the `name` of these sections is any text, or one of a list."""
    result = copy.deepcopy(dict(schema))
    for section, values in offered.items():
        field = result.get("definitions", {}).get(section, {}).get("properties", {}).get("name")
        if field is None:
            continue
        kinds = field.pop("anyOf", [{"type": field.pop("type", None)}])
        can_be_empty = {"type": "null"} in kinds
        listed = [{"type": "string", "enum": list(values), "title": "of those there are"}] if values else []
        field["anyOf"] = [
            {"type": "string", "title": "any name"},
            *listed,
            *([{"type": "null"}] if can_be_empty else []),
        ]
    return result


def _models(session: Session) -> list[str]:
    """What a model may be named here: the demo's, the policy in use, trained policies, and what those began with."""
    trained = [policy for policy in policies.list_policies(session) if policy.status == policies.TRAINED]
    promoted = [] if promotions.in_use(session) is None else ["promoted"]
    starts = dict.fromkeys(p.start_model for p in trained if not _POLICY.fullmatch(p.start_model))
    names = dict.fromkeys(["demo", *promoted, *(f"policy:{policy.id}" for policy in trained), *starts])
    return list(names)[:MOST_OFFERED]
