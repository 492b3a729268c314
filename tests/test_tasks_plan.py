"""What a size takes: by hand, against a run that was made at a million responses, and what gives out first."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, strategies
from pydantic import ValidationError

from bench.plan_rates import other_rates
from tasks.config.curation import CurateConfig
from tasks.config.plan import PlanConfig, RatesConfig
from tasks.plan import plan

BENCH = Path(__file__).resolve().parents[1] / "bench"
# The run of bench/million.py: 30 words a response, 12 a prompt.
MILLION = {"dimension": 768, "response_tokens": 52, "prompt_tokens": 22, "responses": 8}


def planned(prompts, **settings):
    return plan(prompts, PlanConfig(prompts=(prompts,), **settings))


def test_a_small_case_by_hand():
    made = planned(
        1000,
        responses=4,
        dimension=10,
        parameters=2,
        prompt_tokens=10,
        response_tokens=100,
        gpus=2,
        cores=4,
        gpu_hour_price=3,
        gb_month_price=1000,
        months=2,
        rates={
            "sampled_tokens_per_s": 100,
            "gpu_flop_per_s": 1e12,
            "read_share": 0.5,
            "length_spread": 0,
            "row_cpu_us": 900,
            "guard_cpu_us": 100,
            "component_cpu_ns": 1e5,
            "compared_prompts_per_s": 1e5,
            "selected_bytes_per_s": 1.6e5,
            "row_bytes": 300,
            "row_text_bytes": 100,
        },
    )
    assert made.responses == 4000
    assert made.sampled_tokens == 400_000 and made.read_tokens == 410_000
    assert made.sampling_gpu_hours == pytest.approx(400_000 / 400 / 3600), (
        "a quarter of the weights: four times as fast"
    )
    assert made.embedding_gpu_hours == pytest.approx(2 * 2e9 * 410_000 / 0.5e12 / 3600)
    assert made.cpu_hours == pytest.approx((4 + 4 + 1) / 3600), "rows, components, Gram matrices"
    assert made.comparison_cpu_hours == pytest.approx(1000**2 / 2 / 1e5 / 3600)
    assert made.work_days == pytest.approx((made.gpu_hours / 2 + 9 / 3600) / 24), "no length is spread: nobody waits"
    assert made.filling_cpu_hours == 0, "exact"
    assert made.days == pytest.approx(made.work_days + 5 / 4 / 86_400)
    assert made.gpus_at_work == pytest.approx(made.gpu_hours / 2 / (made.gpu_hours / 2 + 9 / 3600))
    assert made.vector_bytes == 5000 * 32
    assert (made.index, made.index_bytes) == ("Flat", 5000 * 48)
    assert made.database_bytes == 4000 * (200 + 4 * (100 + 10 / 4))
    assert made.money == pytest.approx(3 * made.gpu_hours + 2 * 1000 * made.bytes / 1e9)
    assert made.database == "SQLite or PostgreSQL" and made.vector_store == "a local disk"
    assert not made.breaks.is_broken


def test_sizes_are_those_of_the_run_of_a_million_responses():
    measured = json.loads((BENCH / "million.json").read_text())["postgresql"]
    made = planned(125_000, **MILLION)
    disk = measured["disk_bytes"]
    assert made.vector_bytes == pytest.approx(disk["vectors"] + disk["prompt_vectors"], rel=1e-3)
    assert made.index_bytes == pytest.approx(disk["indexes"], rel=1e-3)
    assert made.database_bytes == pytest.approx(disk["database"], rel=0.01)
    with_sqlite = json.loads((BENCH / "million.json").read_text())["sqlite"]["stages"]["check prompts"]["cpu_s"]
    assert made.comparison_cpu_hours * 3600 == pytest.approx(with_sqlite, rel=0.07), "not what the constant is of"


def test_constants_are_those_that_the_benchmarks_wrote():
    assert not other_rates(), "tasks/config/plan.py"


def test_what_gives_out_first_is_enough_for_just_so_many_prompts():
    made = planned(12_500_000)
    assert made.breaks.is_broken and made.breaks.name == "memory: index"
    assert made.index == "IVF32768,SQ8" and made.database == "PostgreSQL"
    assert "time: index" in {limit.name for limit in made.limits}
    for limit in made.limits:
        there, beyond = (
            {one.name: one for one in planned(int(times * limit.prompts)).limits}[limit.name] for times in (1, 1.01)
        )
        assert there.need < 1.01 * there.have and beyond.need > there.have, (
            "an index's lists are a power of two, and jump"
        )
    roomy = planned(12_500_000, memory_gb=10_000, disk_gb=100)
    assert roomy.breaks.name == "disk" and roomy.vector_store == "a shared file system"


def test_an_index_of_lists_takes_the_time_to_train_to_fill_and_to_measure_it():
    made = planned(12_500_000, dimension=1_000, rates={"core_flop_per_s": 1e9})
    responses = 5 * 39 * 32_768**2 + 100_000_000 * (32_768 + 1_000)
    prompts = 5 * 39 * 16_384**2 + 12_500_000 * (16_384 + 1_000)
    assert made.filling_cpu_hours == pytest.approx(2 * 1_000 * (responses + prompts) / 1e9 / 3600)
    assert made.days == pytest.approx(
        made.work_days + (made.filling_cpu_hours + made.comparison_cpu_hours) / 16 / 24, rel=1e-9
    )
    assert "time: index" not in {limit.name for limit in planned(100_000).limits}, "exact: there are no lists"


def test_a_model_that_no_gpu_holds_gives_out_before_all_else():
    made = planned(1_000, parameters=70)
    assert made.breaks.is_broken and made.breaks.name == "memory of a GPU: weights"
    assert (made.breaks.need, made.breaks.have, made.breaks.prompts) == (140e9, 80e9, 0)
    assert "--generate.tensor_parallel_size 4 --embed.backend vllm" in made.breaks.remedy
    assert not planned(1_000, parameters=70, gpu_memory_gb=141).breaks.is_broken


def test_split_models_are_fewer_at_once_and_each_as_many_times_as_fast():
    split = planned(1_000_000, parameters=70, tensor_parallel_size=4, gpus=32)
    assert not any(limit.name == "memory of a GPU: weights" for limit in split.limits)
    few = planned(1_000_000, parameters=70 / 4, gpus=8)
    assert split.shards == few.shards and split.gpu_hours == pytest.approx(4 * few.gpu_hours)
    assert split.work_days == pytest.approx(few.work_days)
    with pytest.raises(ValidationError, match="split over 16 GPUs, got 8"):
        planned(1_000, tensor_parallel_size=16)


def test_gpus_wait_for_the_last_of_a_shard_and_for_the_hosts_rows():
    def waited(prompts_per_shard, gpus):
        """How many times as long as its GPUs' work a call of the sampler takes; embedding waits for nobody."""
        settings = {"gpus": gpus, "prompts_per_shard": prompts_per_shard, "responses_per_shard": 10**12}
        made = planned(12_500_000, **settings)
        in_calls = (made.work_days * 24 - made.cpu_hours) * gpus - made.embedding_gpu_hours
        return in_calls / made.sampling_gpu_hours

    assert waited(256, 1) == pytest.approx(1)
    assert waited(2_048, 8) == pytest.approx(1 + math.sqrt(2 * math.log(8) / 2_048), rel=1e-3)
    assert waited(256, 512) == pytest.approx(2 * (1 + math.sqrt(2 * math.log(256) / 8)), rel=1e-3), (
        "half have no prompt"
    )
    assert planned(12_500_000, gpus=64).shards == (16_384, 65_536)
    assert planned(12_500_000, gpus=1).shards == (256, 4_096), "the defaults of a run"
    default = CurateConfig()
    assert (default.generate.prompts_per_shard, default.embed.responses_per_shard) == (256, 4_096)
    host = planned(12_500_000)
    twice = planned(12_500_000, gpus=round(host.gpu_hours / host.cpu_hours))
    assert twice.gpus_at_work == pytest.approx(0.48, abs=0.02), "as long as rows and vectors take"


@given(strategies.integers(2, 10**9), strategies.integers(2, 64), strategies.integers(1, 8192))
def test_more_prompts_never_take_less(prompts, responses, dimension):
    fewer, more = (planned(count, responses=responses, dimension=dimension) for count in (prompts, 2 * prompts))
    assert fewer.gpu_hours < more.gpu_hours and fewer.cpu_hours < more.cpu_hours
    assert fewer.bytes < more.bytes and fewer.money is None
    needs, more_needs = ({limit.name: limit.need for limit in one.limits} for one in (fewer, more))
    assert all(needs[name] < more_needs[name] for name in needs.keys() & more_needs.keys())


def test_more_text_a_row_than_there_is_of_a_row_is_refused():
    with pytest.raises(ValidationError, match="row_text_bytes is a part of row_bytes"):
        RatesConfig(row_bytes=150)


def test_numbers_of_prompts_are_read_as_people_write_them():
    assert PlanConfig(prompts=("1e8", "125000")).prompts == (10**8, 125_000)
    with pytest.raises(ValidationError, match="valid integer"):
        PlanConfig(prompts=("1.5",))
