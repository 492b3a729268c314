"""What curation at a given size takes: pure arithmetic over measured constants. Knows no database and no engine.

Time that grows with the number of things is linear in it, but for the comparison of prompts with each other, each pair
once, and for an index's lists, whose number grows with its vectors'. Sizes of files are exact, since their formats fix
them; everything else stands or falls with its constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from models.index.factory import TRAINING_ROUNDS, TRAINING_ROWS_A_LIST, factory_of_size
from models.index.kept import EXACT_ROWS
from models.index.making import MEASURED
from models.processes.ray_pool import piece_starts
from tasks.config.plan import PlanConfig

MODEL_OF_RATE = 8.0  # billions of weights, of RatesConfig.sampled_tokens_per_s
CHARACTERS_A_TOKEN = 4.0
HALF, SINGLE, LONG = 2, 4, 8  # bytes of a float16, a float32, an int64
NORM_AND_ID = SINGLE + LONG  # of a stored vector
CENTRE_BYTES = 4 * 65  # of a prompt while prompts are compared: its bounds
POSTGRESQL_TABLE_BYTES = 32e12  # its limit of a table, at pages of 8 kB
SQLITE_RESPONSES = 1_000_000  # measured up to here: bench/million.json
# Of a call, for each model at once; embedded ones are not more at once than fit the memory of any host as vectors.
PROMPTS_A_GPU, RESPONSES_A_GPU, MOST_EMBEDDED = 256, 4_096, 65_536
WEIGHTS_SHARE = 0.75  # of a GPU's memory at most: the rest is for what is computed, and its cache
HOUR, DAY = 3600.0, 86_400.0


class Limit(NamedTuple):
    """Something that gives out.

    Attributes:
        need: how much of it this size takes, in `unit`, of `have`.
        prompts: how many prompts it is enough for, the rest as planned.
        remedy: what then.
    """

    name: str
    need: float
    have: float
    unit: str
    prompts: float
    remedy: str

    @property
    def is_broken(self) -> bool:
        """Whether there is too little of it."""
        return self.need > self.have


class Shards(NamedTuple):
    """What is handed to all models at once, and waited for."""

    prompts: int
    responses: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes. Hours are of GPUs or of single CPU cores; bytes are on disk.

    Attributes:
        shards: those that keep so many GPUs at work, or the ones that were given.
        work_days: sampling, embedding, rows and vectors, one after the other; GPUs wait for the last of each shard.
        gpus_at_work: the share of them in which a GPU works; else it waits for others, or for the run's host.
        days: work_days, and on all cores the filling of the index and the comparison of prompts.
        index: `Flat`, or FAISS's factory string.
        database: the kind to take.
        vector_store: where the vectors lie.
        limits: what gives out, the first first.
        money: at the prices given; None where none was.
    """

    responses: int
    sampled_tokens: float
    read_tokens: float
    sampling_gpu_hours: float
    embedding_gpu_hours: float
    cpu_hours: float
    filling_cpu_hours: float
    comparison_cpu_hours: float
    shards: Shards
    work_days: float
    gpus_at_work: float
    days: float
    vector_bytes: float
    index: str
    index_bytes: float
    database: str
    database_bytes: float
    vector_store: str
    limits: tuple[Limit, ...]
    money: float | None

    @property
    def gpu_hours(self) -> float:
        """Of sampling and of embedding."""
        return self.sampling_gpu_hours + self.embedding_gpu_hours

    @property
    def bytes(self) -> float:
        """Of vectors, index and database."""
        return self.vector_bytes + self.index_bytes + self.database_bytes

    @property
    def breaks(self) -> Limit:
        """What gives out first."""
        return self.limits[0]


def plan(prompts: int, config: PlanConfig) -> Plan:
    """What the work on so many prompts takes, else as `config` says."""
    rates, count = config.rates, prompts * config.responses
    sampled = float(count * config.response_tokens)
    # A prompt is read once for all its responses; each response once more, to be embedded.
    read = float(prompts * config.prompt_tokens + sampled)
    sampling = sampled * config.parameters / MODEL_OF_RATE / rates.sampled_tokens_per_s / HOUR
    embedding = 2 * config.parameters * 1e9 * read / (rates.gpu_flop_per_s * rates.read_share) / HOUR
    vectors = count + prompts
    cpu, comparison = _cpu_seconds(prompts, config)
    filling = _filling_seconds(prompts, config)
    vector_bytes = float(vectors * (HALF * config.dimension + NORM_AND_ID))
    index_bytes = sum(_index_bytes(number, config.dimension) for number in (count, prompts))
    database_bytes = float(count * _row_bytes(config))
    all_bytes = vector_bytes + index_bytes + database_bytes
    gpu_hours = sampling + embedding
    shards = _shards(config)
    in_calls = _in_calls(config, sampling, prompts, shards.prompts, config.responses)
    in_calls += _in_calls(config, embedding, count, shards.responses, 1)
    work_days = (in_calls + cpu) / DAY
    limits = sorted(_limits(prompts, config, all_bytes), key=lambda limit: limit.prompts)
    return Plan(
        responses=count,
        sampled_tokens=sampled,
        read_tokens=read,
        sampling_gpu_hours=sampling,
        embedding_gpu_hours=embedding,
        cpu_hours=cpu / HOUR,
        filling_cpu_hours=filling / HOUR,
        comparison_cpu_hours=comparison / HOUR,
        shards=shards,
        work_days=work_days,
        gpus_at_work=gpu_hours / config.gpus / 24 / work_days,
        days=work_days + (filling + comparison) / config.cores / DAY,
        vector_bytes=vector_bytes,
        index=_index_kind(count),
        index_bytes=index_bytes,
        database="SQLite or PostgreSQL" if count <= SQLITE_RESPONSES else "PostgreSQL",
        database_bytes=database_bytes,
        vector_store="a local disk" if all_bytes <= config.disk_gb * 1e9 else "a shared file system",
        limits=tuple(limits),
        money=_money(config, gpu_hours, all_bytes),
    )


def _shards(config: PlanConfig) -> Shards:
    prompts = config.prompts_per_shard or PROMPTS_A_GPU * config.models
    most = max(RESPONSES_A_GPU, min(RESPONSES_A_GPU * config.models, MOST_EMBEDDED))
    return Shards(prompts, config.responses_per_shard or most)


def _in_calls(config: PlanConfig, gpu_hours: float, items: int, per_call: int, responses: int) -> float:
    """Seconds of a stage's calls of so many items, each of so many responses.

    The last model of a call, on one GPU or split over several, is waited for. Its responses, k of them, are as long as
    k draws of a distribution whose standard deviation is `length_spread` of its mean, and of n sums that are about
    normal the greatest lies sqrt(2 ln n) standard deviations above their mean, or less. Where that is quicker than the
    run's host can hand pieces out and take what comes back, the host is waited for.
    """
    used = min(config.models, per_call)
    per_model = per_call * responses / used
    last = 1 + config.rates.length_spread * math.sqrt(2 * math.log(used) / per_model)
    pieces = items / per_call * len(piece_starts(per_call, config.models)) if config.models > 1 else 0
    handing = pieces * config.rates.piece_cpu_ms / 1e3 + items * responses * config.rates.shared_out_cpu_us / 1e6
    return max(gpu_hours * HOUR / (used * config.tensor_parallel_size) * last, handing if pieces else 0.0)


def _cpu_seconds(prompts: int, config: PlanConfig) -> tuple[float, float]:
    """What one core takes for all that grows with the responses, and for the comparison of prompts."""
    rates, count = config.rates, prompts * config.responses
    rows = count * (rates.row_cpu_us + rates.guard_cpu_us) / 1e6
    components = count * config.dimension * rates.component_cpu_ns / 1e9
    gram = count * config.dimension * SINGLE / rates.selected_bytes_per_s
    return rows + components + gram, prompts**2 / 2 / rates.compared_prompts_per_s


def _filling_seconds(prompts: int, config: PlanConfig) -> float:
    """What one core takes for the lists of both indexes: to find their centres, to fill them, and to measure them.

    Centres are found among so many vectors for each, in rounds; some vectors are compared with all.
    """
    products = 0.0
    for count in (prompts * config.responses, prompts):
        if lists := _lists(count):
            products += TRAINING_ROUNDS * TRAINING_ROWS_A_LIST * lists**2 + count * lists + count * MEASURED
    return 2 * products * config.dimension / config.rates.core_flop_per_s


def _row_bytes(config: PlanConfig) -> float:
    """Database of a response, whose text is longer or shorter than the measured one's."""
    text = CHARACTERS_A_TOKEN * (config.response_tokens + config.prompt_tokens / config.responses)
    return config.rates.row_bytes - config.rates.row_text_bytes + text


def _index_kind(count: int) -> str:
    return "Flat" if count <= EXACT_ROWS else factory_of_size(count)


def _lists(count: int) -> int:
    return 0 if count <= EXACT_ROWS else int(factory_of_size(count).partition(",")[0].removeprefix("IVF"))


def _index_bytes(count: int, dimension: int) -> float:
    """Exact vectors, and above their limit the index of 8 bits a component that proposes."""
    exact = float(count * (SINGLE * dimension + LONG))
    lists = _lists(count)
    return exact + (count * (dimension + LONG) + lists * SINGLE * dimension if lists else 0.0)


def _limits(prompts: int, config: PlanConfig, all_bytes: float) -> Iterator[Limit]:
    rates, count = config.rates, prompts * config.responses
    cpu, comparison = _cpu_seconds(prompts, config)
    memory, patience = config.memory_gb * 1e9, config.patience_days * DAY

    def linear(name: str, need: float, have: float, unit: str, remedy: str) -> Limit:
        return Limit(name, need, have, unit, prompts * have / need, remedy)

    weights, of_gpu = config.parameters * 1e9 * HALF, config.gpu_memory_gb * 1e9 * config.tensor_parallel_size
    if weights > of_gpu:  # no number of prompts changes that
        enough = 2 ** math.ceil(math.log2(weights / (WEIGHTS_SHARE * config.gpu_memory_gb * 1e9)))
        split = f"--generate.tensor_parallel_size {enough} --embed.backend vllm (here: --tensor_parallel_size {enough})"
        yield Limit("memory of a GPU: weights", weights, of_gpu, "bytes", 0.0, f"vLLM splits it: {split}")
    compared = float(prompts * (SINGLE * config.dimension + CENTRE_BYTES))
    yield linear("memory: prompts compared", compared, memory, "bytes", "curate in parts of so many prompts")
    guard = float(count * rates.guard_bytes)
    yield linear("memory: guard", guard, memory, "bytes", "curate in parts, or: --guard.off boilerplate")
    lists = _lists(count)
    index = count * (config.dimension + LONG) + lists * SINGLE * config.dimension if lists else 0.0
    if index:
        yield linear(
            "memory: index", index, memory, "bytes", "an index of fewer bytes: --index.factory OPQ64,IVF65536,PQ64"
        )
    filling = _filling_seconds(prompts, config) / config.cores
    if filling:
        yield Limit(
            "time: index",
            filling,
            patience,
            "seconds",
            _most_prompts(lambda number: _filling_seconds(number, config) / config.cores, patience),
            "ANTIPODE_ENGINE=ray, whose hosts share it, or fewer lists: --index.factory IVF16384,SQ8",
        )
    wall = comparison / config.cores
    enough = prompts * math.sqrt(patience / wall)
    yield Limit("time: prompts compared", wall, patience, "seconds", enough, "curate in parts of so many prompts")
    yield linear("time: rows and vectors, one core", cpu, patience, "seconds", "curate in parts on several hosts")
    disk = config.disk_gb * 1e9
    yield linear("disk", all_bytes, disk, "bytes", "a shared file system, or delete the index of earlier runs")
    database = count * _row_bytes(config)
    yield linear("database: one table", database, POSTGRESQL_TABLE_BYTES, "bytes", "a database a part")


def _most_prompts(need: Callable[[int], float], have: float) -> float:
    """The most prompts that `have` is enough for, of a need that grows with them."""
    enough, too_many = 0, 10**15
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        enough, too_many = (middle, too_many) if need(middle) <= have else (enough, middle)
    return float(enough)


def _money(config: PlanConfig, gpu_hours: float, all_bytes: float) -> float | None:
    if config.gpu_hour_price is None and config.gb_month_price is None:
        return None
    return gpu_hours * (config.gpu_hour_price or 0) + all_bytes / 1e9 * config.months * (config.gb_month_price or 0)
