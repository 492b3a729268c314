"""Configuration of a plan: how large the work is to be, what there is for it, and the measured constants."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from tasks.config.section import Section


def _whole(value: Any) -> Any:
    """A number of things, also written as 1e8."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return int(number) if number.is_integer() else value
    return value


Count = Annotated[int, BeforeValidator(_whole)]


class RatesConfig(Section):
    """What things cost, each measured where its description says; another machine's may be given."""

    sampled_tokens_per_s: float = Field(
        5_777,
        gt=0,
        description="Tokens that one GPU samples a second of a model of 8 billion weights. Published, not measured "
        "here: Llama-3.1-8B in FP8, vLLM 0.10, one H100, MLPerf v5.1 offline.",
    )
    gpu_flop_per_s: float = Field(
        733e12,
        gt=0,
        description="Floating-point operations a second of a GPU's matrix product. bench/gpu.json: H100, bfloat16.",
    )
    read_share: float = Field(
        0.498,
        gt=0,
        le=1,
        description="Share of that at which texts are embedded. bench/gpu.json: packed rows of 32,768 tokens.",
    )
    length_spread: float = Field(
        1.0,
        ge=0,
        description="Standard deviation of a response's tokens, of their mean: how long GPUs wait for the last of a "
        "shard. Assumed; 1 is that of an exponential distribution.",
    )
    piece_cpu_ms: float = Field(
        2.2,
        ge=0,
        description="CPU time of the run's host for each piece of a shard that it hands to a GPU of a Ray cluster, in "
        "ms. bench/simulated_cluster.json.",
    )
    shared_out_cpu_us: float = Field(
        10.3,
        ge=0,
        description="CPU time of the run's host for each response that comes back, sampled or embedded, in µs. "
        "bench/simulated_cluster.json.",
    )
    row_cpu_us: float = Field(
        333,
        gt=0,
        description="CPU time a response with its share of prompts and pairs, PostgreSQL's server included, in µs: "
        "import, selection, report, queue. bench/million.json.",
    )
    guard_cpu_us: float = Field(
        235,
        gt=0,
        description="CPU time of the guard a response, PostgreSQL's server included, in µs. bench/million.json.",
    )
    component_cpu_ns: float = Field(
        120,
        gt=0,
        description="CPU time to store and index one component of a vector, in ns. bench/million.json: "
        "PostgreSQL, d = 768.",
    )
    compared_prompts_per_s: float = Field(
        1.117e8,
        gt=0,
        description="Pairs of prompts that one core compares a second. bench/million.json: PostgreSQL, "
        "125,000 prompts.",
    )
    core_flop_per_s: float = Field(
        1.12e11,
        gt=0,
        description="Floating-point operations a second of one core that compares vectors with the centres of an "
        "index's lists. bench/index.json: 65,536 vectors of 768 components, 4,096 lists.",
    )
    selected_bytes_per_s: float = Field(
        9.1e9,
        gt=0,
        description="Bytes of float32 vectors that one core selects from a second, the Gram matrix of each prompt. "
        "bench/selection.json: 8 candidates of 4,096 components.",
    )
    row_bytes: float = Field(
        1_457,
        gt=0,
        description="Database a response with its share of prompts and pairs, its text included. bench/million.json: "
        "PostgreSQL; SQLite takes 909.",
    )
    row_text_bytes: float = Field(
        219, ge=0, description="Of that, text, the prompt's share included. bench/million.py: 30 words, 12 a prompt."
    )
    guard_bytes: float = Field(280, gt=0, description="Memory of the guard a response. docs/performance.md.")

    @model_validator(mode="after")
    def _text_is_a_part(self) -> Self:
        if self.row_text_bytes >= self.row_bytes:
            raise ValueError("row_text_bytes is a part of row_bytes; make it less")
        return self


class PlanConfig(Section):
    """What curation of so many prompts takes, computed from measured constants; nothing is looked up or stored."""

    prompts: tuple[Annotated[Count, Field(ge=2, le=10**12)], ...] = Field(
        min_length=1, description="Prompts (2 or more); 1e8 is a number too. Several, by commas, give a column each."
    )
    responses: int = Field(8, ge=2, le=1024, description="Responses a prompt (2 to 1024).")
    dimension: int = Field(4096, ge=1, le=65_536, description="Components of a vector (1 to 65536).")
    parameters: float = Field(8.0, gt=0, description="Weights of the model that samples and embeds, in billions.")
    prompt_tokens: int = Field(100, ge=1, description="Tokens of a prompt (1 or more).")
    response_tokens: int = Field(200, ge=1, description="Tokens of a response (1 or more).")
    gpus: int = Field(8, ge=1, description="GPUs at once (1 or more).")
    gpu_memory_gb: float = Field(80, gt=0, description="Memory of a GPU, in GB; of the model, 2 bytes a weight.")
    tensor_parallel_size: int = Field(
        1, ge=1, description="GPUs that a model is split over (1 or more), as --generate.tensor_parallel_size."
    )
    prompts_per_shard: int | None = Field(
        None, ge=1, description="generate.prompts_per_shard of the runs. Empty: 256 for each GPU."
    )
    responses_per_shard: int | None = Field(
        None, ge=1, description="embed.responses_per_shard of the runs. Empty: 4,096 for each GPU, 65,536 at most."
    )
    cores: int = Field(16, ge=1, description="CPU cores of the run's host (1 or more).")
    memory_gb: float = Field(128, gt=0, description="Memory of the run's host, in GB.")
    disk_gb: float = Field(8_000, gt=0, description="Disk of the run's host, in GB.")
    patience_days: float = Field(
        30, gt=0, description="What takes longer than so many days does not count as possible."
    )
    gpu_hour_price: float | None = Field(None, ge=0, description="Price of a GPU for an hour. Empty: no money.")
    gb_month_price: float | None = Field(None, ge=0, description="Price of a GB stored for a month. Empty: no money.")
    months: float = Field(1, gt=0, description="How long vectors, index and database are kept, in months.")
    rates: RatesConfig = RatesConfig()

    @property
    def models(self) -> int:
        """Models at once."""
        return self.gpus // self.tensor_parallel_size

    @model_validator(mode="after")
    def _one_model_has_its_gpus(self) -> Self:
        if not self.models:
            raise ValueError(f"a model is split over {self.tensor_parallel_size} GPUs, got {self.gpus}; give more gpus")
        return self
