"""The constants of `antipode plan` that benchmarks wrote, as their files have them now."""

from __future__ import annotations

import json
from typing import Any

from bench.goals import FOLDER
from tasks.config.plan import RatesConfig

_TOLERANCE = 0.01


def measured_rates() -> dict[str, float]:
    """By the name of the setting."""
    gpu, million = _read("gpu"), _read("million")["postgresql"]
    (selected,) = (row for row in _read("selection")["results"] if (row["candidates"], row["dimension"]) == (8, 4_096))
    seconds = {name: stage["cpu_s"] + stage["server_cpu_s"] for name, stage in million["stages"].items()}
    prompts, responses = million["prompts"], 8 * million["prompts"]
    by_component = seconds["vectors"] + seconds["index"]
    rows = sum(seconds.values()) - by_component - seconds["check prompts"] - seconds["guard"]
    return {
        "gpu_flop_per_s": gpu["rates"]["bf16_gemm_flop_per_s"],
        "read_share": gpu["embedding"]["hh"]["packed_32768"]["share_of_gemm_rate"],
        "row_cpu_us": rows / responses * 1e6,
        "guard_cpu_us": seconds["guard"] / responses * 1e6,
        "component_cpu_ns": by_component / responses / 768 * 1e9,
        "compared_prompts_per_s": prompts**2 / 2 / seconds["check prompts"],
        "row_bytes": million["disk_bytes"]["database"] / responses,
        "core_flop_per_s": _read("index")["fill_flop_per_s"],
        "selected_bytes_per_s": selected["selection_gb_per_s"] * 1e9,
    }


def other_rates() -> dict[str, float]:
    """Those that the settings have otherwise."""
    rates = RatesConfig()
    return {name: rate for name, rate in measured_rates().items() if abs(getattr(rates, name) / rate - 1) > _TOLERANCE}


def _read(program: str) -> Any:
    return json.loads((FOLDER / f"{program}.json").read_text())
