"""What a cluster makes of `antipode plan`: real Ray actors whose models sleep, then virtual time for what none can run.

python -m bench.simulated_cluster                    (8, 32 and 64 actors; ten minutes, 8 GB of memory)
python -m bench.simulated_cluster --only virtual     (the measured figures stay as they are; seconds)

Prints the figures and writes bench/simulated_cluster.json. The actors are processes with a logical GPU each; the pool,
the steps and the rows (SQLite) are the product's. Only the model sleeps, as long as the plan's constants say, faster by
`speed`. Responses are as long as an exponential distribution has it, 200 tokens on average. `in_calls` is the share of
a call's time in which actors worked, `model` what bench/cluster_model.py says of it, from the same lengths, without
Ray; the difference is `ray_ms_a_piece`, on a busy machine mostly waiting for a core; `ray_cpu_…` is what the driver
itself took meanwhile. `rows_…` is what the run's host takes a response between the calls, while the actors wait. In
virtual time: both stages at 10⁸ and 10¹⁰ responses, with the driver's CPU for pieces and responses, and the rows by
the plan's constants; beside it the plan.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.cluster_model import StageTime, call_seconds, piece_seconds, stage_seconds
from bench.machine import machine_words
from bench.sleeping_model import MEAN_TOKENS, SleepingModel, token_counts
from db import embeddings
from models.embedding import EmbeddingRequest, Embeddings
from models.processes.ray_cluster import UNTOLD
from models.processes.ray_pool import RayPool, piece_starts
from models.records import EmbedderIdentity, GeneratedResponse, GenerationRequest
from tasks.config.curation import CurateConfig
from tasks.config.exchange import ImportConfig
from tasks.config.plan import PlanConfig
from tasks.curation.embedding import _embed_all, _Responses
from tasks.curation.engines import generator_identity, vector_store
from tasks.curation.generation import _fix_candidates, _GeneratorStage
from tasks.curation.ingestion import import_source
from tasks.curation.opening import open_run
from tasks.plan import MODEL_OF_RATE, Shards, plan
from tasks.run_kinds import CURATION, RunAtWork, run_at_work
from tasks.settings import Settings

RESULTS = Path(__file__).with_suffix(".json")
RESPONSES, DIMENSION = 8, 256
PLAN = PlanConfig(prompts=(12_500_000, 1_250_000_000))
SAMPLED_TOKEN_S = PLAN.parameters / MODEL_OF_RATE / PLAN.rates.sampled_tokens_per_s
READ_TOKEN_S = 2 * PLAN.parameters * 1e9 / (PLAN.rates.gpu_flop_per_s * PLAN.rates.read_share)


class Case(NamedTuple):
    """Prompts, and the shards in which they are worked on."""

    prompts: int
    prompts_per_shard: int
    responses_per_shard: int


class Cluster(NamedTuple):
    """Actors, how much faster than a GPU their models are, and what they do one after the other."""

    actors: int
    speed: float
    cases: tuple[Case, ...]


CLUSTERS = (
    Cluster(8, 6, (Case(1_024, 256, 4_096), Case(4_096, 2_048, 32_768))),
    Cluster(32, 4, (Case(2_048, 256, 4_096), Case(8_192, 8_192, 65_536))),
    Cluster(64, 2, (Case(2_048, 256, 4_096), Case(16_384, 16_384, 65_536))),
)


class _Call(NamedTuple):
    wall_s: float
    cpu_s: float
    asked: Sequence[Any]


class _Watched:
    """The pool's backend, whose calls are timed; keeps what each was asked."""

    def __init__(self, pool: RayPool) -> None:
        self._pool = pool
        self.calls: list[_Call] = []

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        return self._timed("generate", requests)  # type: ignore[no-any-return]

    def embed(self, requests: Sequence[EmbeddingRequest], context: None = None) -> Embeddings:
        return self._timed("embed", requests)  # type: ignore[no-any-return]

    def close(self) -> None:
        """The pool goes on."""

    def _timed(self, method: str, asked: Sequence[Any]) -> Any:
        begun, cpu = time.monotonic(), time.process_time()
        made = self._pool._backend.call(method, asked)  # type: ignore[union-attr]
        self.calls.append(_Call(time.monotonic() - begun, time.process_time() - cpu, asked))
        return made


@contextmanager
def started(of: Cluster) -> Iterator[RayPool]:
    """A Ray cluster of this machine with so many logical GPUs, and a model on each."""
    import ray

    os.environ |= UNTOLD | {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "RAY_ADDRESS": ""}
    ray.init("local", num_cpus=0, num_gpus=of.actors, include_dashboard=False, log_to_driver=False)
    arguments = {
        "sampled_token_s": SAMPLED_TOKEN_S / of.speed,
        "read_token_s": READ_TOKEN_S / of.speed,
        "dimension": DIMENSION,
    }
    try:
        with closing(RayPool(actors=of.actors)) as pool:
            backend = pool.start(SleepingModel, arguments, log_path=None, timeout_s=900.0)
            while len(backend._ready) < of.actors:
                backend.call("generate", [])
            yield pool
    finally:
        ray.shutdown()


def measure(of: Cluster, case: Case, pool: RayPool, folder: Path) -> dict[str, Any]:
    """Sample and embed as a run does; between them once more a shard, during which an actor dies."""
    os.environ["ANTIPODE_ARTIFACT_ROOT"] = str(folder)
    os.environ["ANTIPODE_DATABASE_URL"] = f"sqlite:///{folder / 'antipode.db'}"
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"What is {number}?"}) + "\n" for number in range(case.prompts)))
    import_source(str(source), ImportConfig(), Settings())
    generate = {
        "backend": "scripted",
        "prompts_per_shard": case.prompts_per_shard,
        "responses_per_prompt": RESPONSES,
    }
    embed = {"backend": "hashed", "responses_per_shard": case.responses_per_shard}
    run_id = open_run.fn(CurateConfig.model_validate({"generate": generate, "embed": embed}))
    with run_at_work(run_id, CURATION) as run:
        generator, embedder = _Watched(pool), _Watched(pool)
        sampled = _spent(of, case, generator, partial(_sample, run, generator))
        embedded = _spent(of, case, embedder, partial(_embed, run, embedder))
        lost = _with_a_death(of, generator)
    return {
        "actors": of.actors,
        "speed": of.speed,
        **case._asdict(),
        "sample": sampled,
        "embed": embedded,
        "a_death": lost,
    }


def _advance(count: int, unit: str = "", /) -> None:
    """Nobody looks."""


def _sample(run: RunAtWork[CurateConfig], generator: _Watched) -> None:
    identity = generator_identity(run.config, "sleeping", None)
    _GeneratorStage(run, run.config, identity, lambda page: page).run(generator, _advance)
    _fix_candidates(run, [identity])


def _embed(run: RunAtWork[CurateConfig], embedder: _Watched) -> None:
    identity = EmbedderIdentity("hashed", "sleeping", "sleeping", "response", 0, "float32")
    with run.sessions.begin() as session:
        embedder_id = embeddings.ensure_embedder(session, identity)
    store = vector_store(identity.key, run.settings)
    _embed_all(run, _Responses(run, embedder_id), store, embedder, _advance)


def _item_seconds(items: Sequence[Any], speed: float) -> NDArray[np.float64]:
    """What the model sleeps for each item of a call."""
    if isinstance(items[0], GenerationRequest):
        return np.array([token_counts(item.seeds).sum() * SAMPLED_TOKEN_S / speed for item in items])
    return np.array([len(item.text) // 4 * READ_TOKEN_S / speed for item in items])


def _spent(of: Cluster, case: Case, backend: _Watched, work: Callable[[], None]) -> dict[str, float]:
    """A stage's times; those of the model as if it were not faster."""
    cpu, begun = time.process_time(), time.monotonic()
    work()
    wall, cpu = time.monotonic() - begun, time.process_time() - cpu
    calls = backend.calls
    in_calls, cpu_in_calls = sum(call.wall_s for call in calls), sum(call.cpu_s for call in calls)
    items = [_item_seconds(call.asked, of.speed) for call in calls]
    pieces = [piece_seconds(each, of.actors) for each in items]
    at_work = sum(float(each.sum()) for each in items)
    modelled = sum(call_seconds(each, of.actors) for each in pieces)
    count, responses = sum(map(len, pieces)), case.prompts * RESPONSES
    return {
        "calls": len(calls),
        "pieces": count,
        "in_calls": round(at_work / of.actors / in_calls, 3),
        "model": round(at_work / of.actors / modelled, 3),
        "ray_ms_a_piece": round(1e3 * (in_calls - modelled) / count, 2),
        "ray_cpu_ms_a_piece": round(1e3 * cpu_in_calls / count, 2),
        "ray_cpu_us": round(1e6 * cpu_in_calls / responses, 1),
        "rows_cpu_us": round(1e6 * (cpu - cpu_in_calls) / responses, 1),
        "rows_wall_us": round(1e6 * (wall - in_calls) / responses, 1),
    }


def _with_a_death(of: Cluster, generator: _Watched) -> dict[str, float]:
    """A shard during which an actor is killed, half-way: how much longer it takes than its pieces would without."""
    asked, pool = generator.calls[-1].asked, generator._pool
    expected = call_seconds(piece_seconds(_item_seconds(asked, of.speed), of.actors), of.actors)
    killed = threading.Timer(expected / 2, lambda: pool._ray.kill(pool._backend._ready[0]))  # type: ignore[union-attr]
    killed.start()
    begun = time.monotonic()
    generator.generate(asked)
    took = time.monotonic() - begun
    killed.join()
    return {"times_as_long": round(took / expected, 3), "s_more": round(took - expected, 2)}


def ray_cost(measured: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The driver's CPU time for a piece and for each response in it: a line through what was measured."""
    stages = [(case["prompts"] * RESPONSES, case[stage]) for case in measured for stage in ("sample", "embed")]
    per_piece = [responses / stage["pieces"] for responses, stage in stages]
    slope, start = np.polyfit(per_piece, [stage["ray_cpu_ms_a_piece"] for _, stage in stages], 1)
    return {"piece_cpu_ms": round(float(start), 2), "shared_out_cpu_us": round(1e3 * float(slope), 1)}


def virtual(ray: Mapping[str, float]) -> list[dict[str, Any]]:
    """Sampling and embedding of sizes that nobody runs, beside the plan."""
    found = []
    for prompts in PLAN.prompts:
        for gpus in (8, 64, 512):
            config = PLAN.model_copy(update={"gpus": gpus})
            by_default = {"prompts_per_shard": 256, "responses_per_shard": 4_096}
            for name, update in (("default", by_default), ("advised", {})):
                planned = plan(prompts, config.model_copy(update=update))
                stages = _stages(prompts, gpus, planned.shards, ray)
                row_days = planned.cpu_hours / 24
                days = sum(stage.wall for stage in stages) / 86_400 + row_days
                found.append(
                    {
                        "responses": prompts * RESPONSES,
                        "gpus": gpus,
                        "shards": name,
                        **{f"{of}_per_shard": count for of, count in planned.shards._asdict().items()},
                        "days": round(days, 3),
                        "plan_days": round(planned.work_days, 3),
                        "plan_of_simulated": round(planned.work_days / days, 3),
                        "busy_gpus_days": round(planned.gpu_hours / gpus / 24 + row_days, 3),
                        "gpus_at_work": round(sum(stage.at_work for stage in stages) / 86_400 / gpus / days, 3),
                        "plan_gpus_at_work": round(planned.gpus_at_work, 3),
                    }
                )
    return found


def _stages(prompts: int, gpus: int, shards: Shards, ray: Mapping[str, float]) -> list[StageTime]:
    """Both stages without the host's rows, which the plan counts in one sum; a piece takes the driver's CPU."""

    def of_piece(items: int, responses: int) -> float:
        per_piece = responses * items / len(piece_starts(items, gpus))
        return ray["piece_cpu_ms"] / 1e3 + per_piece * ray["shared_out_cpu_us"] / 1e6

    rng = np.random.default_rng(0)

    def lengths(*shape: int) -> NDArray[np.float64]:
        return rng.exponential(MEAN_TOKENS, shape)

    of_prompt = PLAN.prompt_tokens / RESPONSES
    common = {"actors": gpus, "host_s": 0.0}
    return [
        stage_seconds(
            prompts,
            per_shard=shards.prompts,
            item_seconds=lambda count: lengths(count, RESPONSES).sum(axis=1) * SAMPLED_TOKEN_S,
            piece_s=of_piece(shards.prompts, RESPONSES),
            **common,  # type: ignore[arg-type]
        ),
        stage_seconds(
            prompts * RESPONSES,
            per_shard=shards.responses,
            item_seconds=lambda count: (lengths(count) + of_prompt) * READ_TOKEN_S,
            piece_s=of_piece(shards.responses, 1),
            **common,  # type: ignore[arg-type]
        ),
    ]


def main() -> None:
    """Measure, print and write the results."""
    import ray

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("virtual",), help="this part; the other's figures stay as they are")
    kept = json.loads(RESULTS.read_text()) if parser.parse_args().only else None
    if kept is None:
        measured = []
        for of in CLUSTERS:
            with started(of) as pool:
                for case in of.cases:
                    load = os.getloadavg()[0]
                    with tempfile.TemporaryDirectory() as name:
                        found = measure(of, case, pool, Path(name))
                    measured.append({**found, "load": [round(load, 1), round(os.getloadavg()[0], 1)]})
                    print(json.dumps(measured[-1]), flush=True)
        kept = {"machine": machine_words(), "versions": {"ray": ray.__version__}, "measured": measured}
    ray_costs = ray_cost(kept["measured"])
    results = kept | {"ray": ray_costs, "virtual": virtual(ray_costs)}
    text = json.dumps(results, indent=2)
    print(text)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
