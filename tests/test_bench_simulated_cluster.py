"""The benchmark of a cluster whose models sleep: virtual time by hand and step by step, and two real actors."""

from __future__ import annotations

import json
from collections import deque

import numpy as np
import pytest
from hypothesis import given, strategies
from ray_backends import has_ray

from bench.cluster_model import call_seconds, piece_seconds, stage_seconds
from bench.simulated_cluster import (
    PLAN,
    RESULTS,
    SAMPLED_TOKEN_S,
    Case,
    Cluster,
    measure,
    ray_cost,
    started,
    virtual,
)
from bench.sleeping_model import MEAN_TOKENS, token_counts
from models.processes.ray_cluster import UNTOLD
from tasks.config.plan import RatesConfig


@pytest.fixture
def own_environment(monkeypatch, tmp_path):
    """What the benchmark says of its installation and of Ray ends with the test."""
    for name in ("ANTIPODE_ARTIFACT_ROOT", "ANTIPODE_DATABASE_URL", "PYTHONPATH", "RAY_ADDRESS", *UNTOLD):
        monkeypatch.setenv(name, str(tmp_path))


def step_by_step(pieces, actors):
    """The same, a second at a time, as the pool's loop has it: whoever holds fewest gets the next, two at most."""
    waiting, held, second = deque(pieces), [[] for _ in range(actors)], 0
    while True:
        held = [[left for left in of if left > 0] for of in held]
        while waiting and min(map(len, held)) < 2:
            min(held, key=len).append(waiting.popleft())
        if not any(held):
            return second
        for of in filter(None, held):
            of[0] -= 1
        second += 1


def test_calls_by_hand():
    assert call_seconds([], 3) == 0
    assert call_seconds([5.0], 3) == 5
    assert call_seconds([3.0, 1.0, 1.0, 1.0], 2) == 4, "the third waits behind the first, whoever is idle"
    assert call_seconds([3.0, 1.0, 1.0, 1.0, 1.0], 2) == 4, "the fifth goes to whoever is done first"
    assert call_seconds([4.0, 4.0], 2, 1.0) == 5.5, "handed out at 0.5 and 1, done at 4.5 and 5, taken at 5 and 5.5"
    assert call_seconds([4.0] * 4, 2, 1.0) == 9.5, "the driver is at work while the actors are"
    assert call_seconds([1.0] * 6, 2, 2.0) == 12, "the driver is what takes time"


@given(strategies.lists(strategies.integers(1, 9), max_size=20), strategies.integers(1, 6))
def test_a_call_takes_as_long_as_step_by_step(pieces, actors):
    assert call_seconds(pieces, actors) == step_by_step(pieces, actors)


def test_pieces_are_the_pools():
    assert piece_seconds(np.ones(300), 2) == [64, 64, 64, 64, 44]
    assert piece_seconds(np.ones(256), 64) == [4] * 64
    assert piece_seconds(np.ones(16_384), 64) == [64] * 256


def test_a_stage_is_its_calls_and_its_hosts_rows():
    time = stage_seconds(1_000, per_shard=10, actors=5, item_seconds=np.ones, host_s=0.5, piece_s=0.25)
    assert time.at_work == 1_000 and time.host == 500
    assert time.wall == 100 * (5 * 0.125 + 2 + 0.125 + 5), "the last of five pieces of two items, the rows of ten"


def test_lengths_are_those_of_an_exponential_distribution():
    counts = token_counts(range(0, 2**63, 2**63 // 20_000))
    assert counts.min() >= 1
    assert counts.mean() == pytest.approx(MEAN_TOKENS, rel=0.02) and counts.std() == pytest.approx(
        MEAN_TOKENS, rel=0.03
    )
    assert token_counts([2**64 - 1, 0]).tolist() == [token_counts([seed])[0] for seed in (2**64 - 1, 0)]


def test_a_small_cluster_does_what_a_run_does(tmp_path, own_environment):
    has_ray()
    case = Case(32, 16, 64)
    of = Cluster(2, 500.0, (case,))
    with started(of) as pool:
        found = measure(of, case, pool, tmp_path)
    sampled, embedded = found["sample"], found["embed"]
    assert (sampled["calls"], sampled["pieces"]) == (2, 4), "sixteen prompts for two actors"
    assert embedded["calls"] == 32 * 8 / 64
    for stage in (sampled, embedded):
        assert 0 < stage["in_calls"] < stage["model"] <= 1 and stage["rows_cpu_us"] > 0 and stage["ray_cpu_us"] > 0
    assert found["a_death"]["s_more"] > 0


def test_what_was_measured_is_what_the_plan_takes():
    written = json.loads(RESULTS.read_text())
    assert ray_cost(written["measured"]) == written["ray"]
    rates = RatesConfig().model_dump()
    for name, measured in written["ray"].items():
        assert rates[name] == pytest.approx(measured, rel=0.01), name


def test_virtual_time_and_the_plan_agree():
    rows = virtual({name: getattr(PLAN.rates, name) for name in ("piece_cpu_ms", "shared_out_cpu_us")})
    assert {row["gpus"] for row in rows} == {8, 64, 512} and {row["responses"] for row in rows} == {10**8, 10**10}
    for row in rows:
        most = 0.04 if row["shards"] == "advised" or row["gpus"] < 512 else 0.1
        assert row["plan_of_simulated"] == pytest.approx(1, abs=most), row
        assert row["busy_gpus_days"] < row["days"]
    assert pytest.approx(1 / PLAN.rates.sampled_tokens_per_s) == SAMPLED_TOKEN_S
