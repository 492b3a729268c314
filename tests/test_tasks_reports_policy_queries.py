"""What the page of a policy says of its comparisons."""

from __future__ import annotations

import pytest
from compared_policies import HELD_OUT, compared_world, poor
from surroundings import on_sqlite

from db import evaluations
from models.demo.corpus import reference_response
from tasks.reports.policy_publishing import write_policy_page
from tasks.reports.policy_queries import policy_contents


@pytest.fixture
def world(preferred, settings, sessions, tmp_path):
    return compared_world(preferred, settings, sessions, tmp_path)


@on_sqlite
def test_the_page_shows_what_was_compared(world):
    better = world.policy(reference_response)
    world.says(str(world.model), poor)
    found = world.compared(better)
    with world.sessions.begin() as session:  # as it was stored when more settings were part of its key
        older = evaluations.open_evaluation(
            session, key="0" * 64, run_id=found.run_id, policy_id=better, baseline_id=None,
            baseline_model=found.baseline_model, settings=found.settings,
        )  # fmt: skip
        evaluations.set_annotator(session, older, found.annotator_id)
        evaluations.add_evaluation_pairs(session, older, evaluations.evaluation_pairs(session, found.id))
        evaluations.finish_evaluation(session, older, found.metrics)
    contents = policy_contents(better, world.settings)
    (figures,) = contents.evaluations
    assert (figures.win, figures.tie, figures.lose, figures.prompt_count) == (HELD_OUT, 0, 0, HELD_OUT)
    assert figures.seed == 0 and figures.compared_at >= found.finished_at
    assert contents.config == [("beta", "0.1"), ("seed", "0")]
    assert contents.gate and contents.gate.verdict == "passed" and "1.000" in contents.gate.reason
    assert all(one.verdict == "win" for one in contents.examples) and len(contents.examples) == 6
    assert "1.000" in write_policy_page(better, world.settings).read_text()
