"""Given pairs, ranked without those of held-out prompts: a policy on each end of the ranking."""

from __future__ import annotations

import numpy as np
import pytest
from alignment_world import tiny_model
from installed import installed
from policy_worlds import carried_out_study, curate_candidates, study_config

from models.studies.pool import owners
from tasks.run_kinds import STUDY, run_at_work
from tasks.studies.policies.real_pairs import given_pairs
from tasks.studies.policies.trials import Workbench
from tasks.studies.reporting import study_report
from tasks.studies.running import open_study


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sessions, a study of given pairs, its run and its outcomes."""
    folder = tmp_path_factory.mktemp("real-pairs")
    with installed(folder) as (_, sessions):
        curate_candidates(sessions)
        config = study_config(
            tiny_model(folder / "model"), "real-pairs", labels=("stored",), strategies=("easy", "hard")
        )
        yield sessions, config, *carried_out_study(sessions, config)


def test_easy_has_the_less_similar_half_of_the_pairs_that_may_be_trained_on(world):
    _, _, run_id, outcomes = world
    with run_at_work(run_id, STUDY) as study:
        bench = Workbench(study)
        rows = given_pairs(bench)
        groups = set(owners(bench.candidates.pool, rows[:, 0]).tolist())
        embeddings = bench.candidates.pool.embeddings
        similarity = np.sort(np.sum(embeddings[rows[:, 0]] * embeddings[rows[:, 1]], axis=1))
    assert groups <= set(bench.parts.training.tolist())
    half = max(1, int(len(rows) / 2 + 0.5))
    means = {one.trial.arm: one.figures["similarity"] for one in outcomes}
    assert {one.figures["labels"] for one in outcomes} == {half}
    assert means["easy"] == pytest.approx(similarity[:half].mean(), abs=1e-5)
    assert means["hard"] == pytest.approx(similarity[-half:].mean(), abs=1e-5)


def test_the_report_has_the_sizes_of_the_data(world):
    _, _, run_id, _ = world
    sections = {section.title: section for section in study_report(run_id).findings.sections}
    sizes = dict(sections["The data"].tables[0].rows)
    assert int(sizes["prompts to train on"]) + int(sizes["prompts that are only measured on"]) == 8
    assert [row[0] for row in sections["Each arm by itself"].tables[0].rows] == ["easy", "hard", "random"]


def test_strategies_that_need_several_candidates_and_pairs_without_labels_are_refused(world):
    _, config, *_ = world
    with pytest.raises(ValueError, match="centroid chooses among several candidates, a given pair has two"):
        open_study.fn(config.model_copy(update={"strategies": ("centroid",)}))
