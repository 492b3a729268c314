"""What buttons do at once, and what they say where Prefect is not there or does not know the deployment."""

from __future__ import annotations

import pytest
from compared_policies import compared_world, poor
from labelling_steps import curate_breads
from surroundings import free_port, on_sqlite

from db import promotions
from db.labels import queues
from flows.service.desk import Desk
from models.demo.corpus import reference_response

pytestmark = on_sqlite


def test_a_queue_is_opened_at_once(settings, sessions):
    run_id = curate_breads(sessions)
    started = Desk(settings).start("queue", {"run": str(run_id), "judgements_per_pair": 2, "limit": 3})
    assert started.state == "Completed" and "queue 1 is open" in started.message
    with sessions() as session:
        [queue] = queues.list_queues(session)
    assert (queue.pair_count, queue.judgements_per_pair) == (3, 2)
    with pytest.raises(LookupError, match="there is no run 'none'"):
        Desk(settings).start("queue", {"run": "none"})


def test_a_policy_is_promoted_by_the_gate_or_by_force_and_rolled_back(preferred, settings, sessions, tmp_path):
    world = compared_world(preferred, settings, sessions, tmp_path)
    policy, desk = world.policy(reference_response), Desk(world.settings)
    world.says(str(world.model), poor)
    with pytest.raises(ValueError, match="stays out: it was never compared"):
        desk.start("promote", {"policy": policy})
    assert f"policy {policy} is in use" in desk.start("promote", {"policy": policy, "force": True}).message
    with sessions() as session:
        assert promotions.in_use(session) == policy
    assert "in use now: none" in desk.start("rollback", {}).message
    with pytest.raises(LookupError, match="no policy is in use"):
        desk.start("rollback", {})


def test_a_server_that_is_away_is_one_line(settings, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        for ask in (lambda desk: desk.start("curate", {}), lambda desk: desk.recent()):
            with pytest.raises(ConnectionError, match=r"^Prefect's server does not answer \(\w+\); start it"):
                ask(Desk(settings))


def test_a_deployment_that_the_server_does_not_know_is_named_with_what_to_do(settings, prefect_server):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_server}):
        with pytest.raises(ConnectionError, match="antipode deploy"):
            Desk(settings).start("export", {"name": "mine"})
        assert Desk(settings).recent() == []
