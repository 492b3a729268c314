"""Deployments on a real Prefect server: what a second deployment keeps, what it renews, what is there once."""

from __future__ import annotations

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from service_parts import Service
from stored_policies import finish, open_align_run, open_policy
from stored_rows import add, row

from flows.service.deploying import ZOMBIES
from tasks.service.offered_values import offer_values

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
NEW_LABELS = "antipode: new labels are looked at"


@pytest.fixture
def service(settings, tmp_path):
    parts = Service(tmp_path, settings.variables())
    yield parts
    parts.close()


def automations(service):
    return {one["name"]: one for one in service.call("POST", "/automations/filter", {})}


def test_what_people_set_in_the_ui_stays_when_it_is_deployed_again(service):
    service.start_server()
    service.deploy()
    nightly, on_labels = service.deployment("curate/nightly"), service.deployment("align/on-labels")
    (schedule,) = nightly["schedules"]
    assert schedule["active"] is False, "nothing is sampled before prompts and a model are chosen"
    changed = {"active": True, "schedule": {"cron": "30 5 * * 1", "timezone": "Europe/Berlin"}}
    service.call("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", changed)
    parameters = {"config": {"name": "mine", "model": {"name": "somebody/a-model"}}}
    service.call("PATCH", f"/deployments/{nightly['id']}", {"parameters": parameters})
    service.call("PATCH", f"/deployments/{on_labels['id']}", {"paused": True})
    before = automations(service)
    service.call("PATCH", f"/automations/{before[NEW_LABELS]['id']}", {"enabled": False})
    service.call("PATCH", "/work_pools/antipode", {"is_paused": True})

    service.deploy()
    again = service.deployment("curate/nightly")
    assert again["id"] == nightly["id"] and again["parameters"] == parameters
    (kept,) = again["schedules"]
    assert (kept["active"], kept["slug"]) == (True, schedule["slug"])
    assert kept["schedule"]["cron"] == "30 5 * * 1" and kept["schedule"]["timezone"] == "Europe/Berlin"
    for name in ("tags", "work_pool_name", "work_queue_name", "parameter_openapi_schema", "description", "entrypoint"):
        assert again[name] == nightly[name], name
    assert service.deployment("align/on-labels")["paused"] is True
    now = automations(service)
    assert now[NEW_LABELS]["enabled"] is False and set(now) == set(before)
    assert now[ZOMBIES]["id"] == before[ZOMBIES]["id"], "a new one would know of no heartbeat"
    assert service.call("GET", "/work_pools/antipode")["is_paused"] is True

    # What was deployed of an entry is forgotten, as if deployments.yaml had changed since.
    service.call("PATCH", "/variables/name/antipode_deployed", {"value": "{}"})
    service.deploy()
    assert service.deployment("curate/nightly")["parameters"] == nightly["parameters"]
    (renewed,) = service.deployment("curate/nightly")["schedules"]
    assert (renewed["active"], renewed["schedule"]["cron"]) == (False, "0 3 * * *")


def offered(service, deployment, section):
    """What a form offers for the name of a section."""
    schema = service.deployment(deployment)["parameter_openapi_schema"]
    kinds = schema["definitions"][section]["properties"]["name"]["anyOf"]
    return next((kind["enum"] for kind in kinds if "enum" in kind), [])


def test_forms_offer_what_there_is_and_the_sweep_what_has_come_since(service, sessions, settings):
    add(sessions, row(1, "Prompt?"), name="mine")
    service.start_server()
    service.deploy()
    assert offered(service, "curate/manual", "SourceConfig") == ["mine"]
    assert offered(service, "align/manual", "ModelConfig") == ["demo"]
    before = service.deployment("align/manual")
    add(sessions, row(1, "Another?"), name="later", content_hash="1" * 64)
    finish(sessions, open_policy(sessions, open_align_run(sessions), "a").id)
    with temporary_settings({PREFECT_API_URL: service.address}), get_client(sync_client=True) as client:
        changed = offer_values(client, settings)
        assert "manual" in changed and offer_values(client, settings) == [], "what is up to date is left alone"
    assert offered(service, "curate/nightly", "SourceConfig") == ["later", "mine"]
    assert offered(service, "align/manual", "ModelConfig") == ["demo", "policy:1"]
    after = service.deployment("align/manual")
    for name in ("tags", "work_pool_name", "work_queue_name", "parameters", "description", "entrypoint", "schedules"):
        assert after[name] == before[name], name
    service.start_run(
        "curate/manual", {"config": {"model": {"name": "somebody/a-model"}, "queue": {"is_opened": True}}}
    )
