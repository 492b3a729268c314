"""What `antipode plan` prints: a column a size, and what each line rests on. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

from flows.terminal.estimates import duration, size
from flows.terminal.tables import make_console, print_rows
from models.records import plain
from tasks.config.plan import PlanConfig
from tasks.plan import PROMPTS_A_GPU, RESPONSES_A_GPU, Limit, Plan, plan
from tasks.terminal import show


class _Line(NamedTuple):
    name: str
    cell: Callable[[Plan], str]
    basis: str


def show_plans(plans: Sequence[Plan], config: PlanConfig) -> None:
    """Print a table, and what gives out first at each size."""
    columns = ("", *(f"{prompts:,} prompts" for prompts in config.prompts))
    lines = list(_lines(config))
    rows = [(line.name, *map(line.cell, plans)) for line in lines]
    print_rows(make_console(), columns, rows, text_columns=1)
    for prompts, made in zip(config.prompts, plans, strict=True):
        show(f"{prompts:,} prompts: {_first_words(made.breaks)}")
    for line in lines:
        if line.basis:
            show(f"  {line.name}: {line.basis}")


def markdown(plans: Sequence[Plan], config: PlanConfig) -> str:
    """The same table for a page of documentation, with a column of what each line rests on."""
    header = ["", *(f"{made.responses:,} responses" for made in plans), "how it is known"]
    rows = [[line.name, *map(line.cell, plans), line.basis] for line in _lines(config)]
    rule = ["---", *("--:" for _ in plans), "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def print_json(plans: Sequence[Plan], config: PlanConfig) -> None:
    """Print the figures in hours, days and bytes as JSON, a list."""
    rows = [
        {"prompts": prompts, **asdict(made), "limits": [limit._asdict() for limit in made.limits]}
        for prompts, made in zip(config.prompts, plans, strict=True)
    ]
    show(json.dumps(plain(rows), ensure_ascii=False, indent=2))


def _lines(config: PlanConfig) -> Iterator[_Line]:
    rates = config.rates
    yield _Line("prompts", lambda made: f"{made.responses // config.responses:,}", f"{config.responses} responses each")
    yield _Line(
        "sampling",
        lambda made: _gpu_hours(made.sampling_gpu_hours),
        f"{config.response_tokens} tokens a response, {config.parameters:g} billion weights; "
        f"{rates.sampled_tokens_per_s:,.0f} tokens/s at 8 billion",
    )
    yield _Line(
        "embedding",
        lambda made: _gpu_hours(made.embedding_gpu_hours),
        f"2 operations a weight and token at {rates.read_share:.0%} of {rates.gpu_flop_per_s / 1e12:,.0f} TFLOP/s",
    )
    yield _Line(
        "rows, vectors, selection",
        lambda made: duration(made.cpu_hours * 3600),
        f"CPU time: {rates.row_cpu_us + rates.guard_cpu_us:,.0f} µs a response and "
        f"{rates.component_cpu_ns:g} ns a component",
    )
    yield _Line(
        "index filled",
        lambda made: duration(made.filling_cpu_hours * 3600) if made.filling_cpu_hours else "nothing to fill",
        f"CPU time: each vector against the centre of each list, {rates.core_flop_per_s / 1e9:,.0f} GFLOP/s a core",
    )
    yield _Line(
        "prompts compared",
        lambda made: duration(made.comparison_cpu_hours * 3600),
        f"CPU time: {rates.compared_prompts_per_s / 1e6:,.0f} million pairs/s, each pair once",
    )
    yield _Line(
        "in all, at the soonest",
        lambda made: duration(made.days * 86_400),
        f"{config.gpus} {'GPU' if config.gpus == 1 else 'GPUs'}, {config.cores} cores of which rows take one",
    )
    yield _Line(
        "shards",
        lambda made: f"{made.shards.prompts:,} prompts, {made.shards.responses:,} responses",
        "of a run: `--generate.prompts_per_shard`, `--embed.responses_per_shard`; a shard's last GPU is waited for",
    )
    yield _Line("GPUs at work", lambda made: f"{made.gpus_at_work:.0%}", _what_keeps_gpus_waiting(config))
    yield _Line("index", lambda made: made.index, "`Flat` is exact; IVF proposes and is measured")
    yield _Line(
        "vectors on disk", lambda made: size(made.vector_bytes), f"2 × {config.dimension} + 12 bytes, prompts' too"
    )
    yield _Line("index on disk", lambda made: size(made.index_bytes), "4 d + 8 bytes, above a million d + 8 more")
    yield _Line(
        "database",
        lambda made: f"{size(made.database_bytes)}, {made.database}",
        f"{rates.row_bytes - rates.row_text_bytes:,.0f} bytes a response beside its text (PostgreSQL)",
    )
    yield _Line("where vectors lie", lambda made: made.vector_store, f"{size(config.disk_gb * 1e9)} on the run's host")
    yield _Line(
        "gives out first",
        lambda made: made.breaks.name if made.breaks.is_broken else "nothing",
        f"{size(config.memory_gb * 1e9)} of memory, {size(config.gpu_memory_gb * 1e9)} of a GPU's, "
        f"{config.patience_days:g} days of patience",
    )
    if config.gpu_hour_price is not None or config.gb_month_price is not None:
        yield _Line(
            "money",
            lambda made: f"{made.money or 0:,.0f}",
            f"{config.gpu_hour_price or 0:g} a GPU hour, {config.gb_month_price or 0:g} a GB and month, "
            f"for {config.months:g} {'month' if config.months == 1 else 'months'}",
        )


def _what_keeps_gpus_waiting(config: PlanConfig) -> str:
    """What the share is of, and what it would be with the default shards; both are the same at every size."""
    shards = {"prompts_per_shard": PROMPTS_A_GPU, "responses_per_shard": RESPONSES_A_GPU}
    made = plan(config.prompts[0], config.model_copy(update=shards))
    return (
        f"of sampling, embedding, rows and vectors; with the default shards {made.gpus_at_work:.0%}; with "
        f"{made.gpu_hours / made.cpu_hours:.0f} GPUs less than half, since they wait for the host's rows and vectors"
    )


def _first_words(limit: Limit) -> str:
    words = f"{limit.name}, enough for {_rounded(limit.prompts)} prompts" if limit.prompts else limit.name
    if limit.is_broken:
        return f"gives out first: {words}: {limit.need / limit.have:,.1f} times what there is; {limit.remedy}"
    return f"nothing gives out; the first to: {words}"


def _rounded(count: float) -> str:
    """Three digits of a number of prompts."""
    for unit, factor in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f}"


def _gpu_hours(hours: float) -> str:
    return f"{hours:,.0f} GPU h" if hours >= 100 else f"{hours:.2g} GPU h"
