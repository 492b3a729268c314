"""The gate at the end of an alignment."""

from __future__ import annotations

import pytest
from compared_policies import compared_world, poor
from surroundings import on_sqlite

from db import promotions
from models.demo.corpus import reference_response
from tasks.alignment.opening import open_align_run
from tasks.evaluation.gate import pass_gate
from tasks.evaluation.promotion import promote, roll_back


@pytest.fixture
def world(preferred, settings, sessions, tmp_path):
    return compared_world(preferred, settings, sessions, tmp_path)


@on_sqlite
def test_the_gate_step_promotes_only_where_it_is_asked_to(world):
    better, used = world.policy(reference_response), world.policy(poor)
    promote(used, is_forced=True, settings=world.settings)
    pass_gate.fn(world.run_id, better, None)
    with world.sessions() as session:
        assert promotions.in_use(session) == used
    gated = world.config.model_dump(mode="json") | {"gate": {"promote": True}, "name": "gated"}
    run_id = open_align_run.fn(type(world.config).model_validate(gated))
    pass_gate.fn(run_id, better, None)
    with world.sessions() as session:
        assert promotions.in_use(session) == better, "compared with the policy in use first"
    pass_gate.fn(run_id, used, None)
    with world.sessions() as session:
        assert promotions.in_use(session) == better
    assert roll_back(world.settings) == (better, used)
    pass_gate.fn(run_id, better, None)
    with world.sessions() as session:
        assert promotions.in_use(session) == used, "what a person took out of use stays out"
