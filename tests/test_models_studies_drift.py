"""Whether the same pairs stay chosen as embeddings move: by hand, and what is said of it over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from models.intervals import clustered_mean
from models.studies.drift import moved
from models.studies.drift_findings import Checkpoint, correlation, drift_findings

OFFSETS = np.array([0, 3, 6])
ANGLES = np.array([0.0, 0.3, 1.0, 0.0, 0.4, 1.2])  # of unit vectors in the plane: the easy pairs are (0, 2) and (3, 5)


def plane(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_embeddings_that_did_not_move_keep_every_pair():
    base = np.random.default_rng(0).normal(size=(6, 8))
    found = moved(base, base, OFFSETS, (4, 9))
    assert found.correlation == (1.0, 1.0) and found.rank_correlation == pytest.approx(1)
    assert found.kept == {"easy": (1.0, 1.0), "centroid": (1.0, 1.0), "hard": (1.0, 1.0)}
    assert (found.prompts, found.responses, found.counts) == ((4, 9), 6, found.base_counts)
    assert found.by_chance == pytest.approx(1 / 3) and sum(found.base_counts) == 6


def test_a_prompt_whose_easy_pair_changes_is_seen_as_one():
    later = ANGLES.copy()
    later[4] = 2.0  # of the second prompt now (3, 4)
    assert moved(plane(ANGLES), plane(later), OFFSETS, (4, 9)).kept["easy"] == (1.0, 0.0)


def test_scale_and_rotation_change_no_pair():
    base = plane(ANGLES)
    found = moved(base, 3 * plane(ANGLES + 0.5), OFFSETS, (4, 9))
    assert found.kept["easy"] == found.kept["hard"] == (1.0, 1.0)
    assert found.rank_correlation == pytest.approx(1)


def test_a_response_that_one_model_cannot_embed_is_left_out_under_both():
    later = plane(ANGLES)
    later[2] = np.nan
    found = moved(plane(ANGLES), later, OFFSETS, (4, 9))
    assert found.responses == 5 and sum(found.base_counts) == sum(found.counts) == 1 + 3
    assert found.kept["easy"] == (1.0, 1.0) and found.by_chance == pytest.approx((1 + 1 / 3) / 2)


def test_similarities_beyond_the_base_models_are_in_the_outer_bins():
    found = moved(plane(ANGLES), plane(np.array([0.0, 3.0, 1.5, 0.0, 0.4, 1.2])), OFFSETS, (4, 9))
    assert sum(found.counts) == 6 and found.counts[0] >= 1


def test_shapes_that_differ_and_prompts_without_a_pair_are_refused():
    with pytest.raises(ValueError, match="same responses"):
        moved(np.ones((6, 2)), np.ones((6, 3)), OFFSETS, (4, 9))
    with pytest.raises(ValueError, match="no prompt has two responses"):
        moved(np.ones((2, 2)), np.ones((2, 2)), np.array([0, 1, 2]), (4, 9))


def test_findings_go_along_the_training_and_over_seeds():
    random = np.random.default_rng(1)
    base = random.normal(size=(6, 8))
    checkpoints = [
        Checkpoint(name, steps, seed, {"response": moved(base, base + noise, OFFSETS, (4, 9))})
        for seed in (0, 1)
        for name, steps, size in (("late", 40, 3.0), ("early", 10, 0.0))
        for noise in [size * random.normal(size=(6, 8))]
    ]
    found = drift_findings("3 (mine)", "dpo", checkpoints)
    (table,) = found.sections[0].tables
    assert [row[:3] for row in table.rows] == [("early", "y alone", "10"), ("late", "y alone", "40")]
    assert table.rows[0][3] == "1.000 [1.000, 1.000]"
    assert found.answer.startswith("At the end of training, y alone: correlation")
    assert [line.points[0][0] for line in found.sections[0].plots[0].lines] == [10.0]
    assert [name for name, _ in found.sections[1].plots[0].series] == ["base model", "early", "late"]
    assert ("Training", "dpo, 40 steps at a constant learning rate") in found.sizes


def test_what_one_seed_measured_has_its_interval_over_prompts():
    random = np.random.default_rng(2)
    base = random.normal(size=(60, 8))
    start = moved(base, base + 0.5 * random.normal(size=(60, 8)), np.arange(0, 61, 3), tuple(range(20)))
    found = correlation([Checkpoint("fine-tuned", 0, 0, {"response": start})], "response")
    assert found == pytest.approx(clustered_mean(start.correlation, np.arange(20)))
    assert 0.8 < found.low < found.value < found.high < 1
