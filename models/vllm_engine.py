"""What every vLLM engine here shares: how it is fitted to the machine. Knows no task and no model."""

from __future__ import annotations

import os
from typing import Any

_CPU_CACHE_BYTES = 4 * 2**30
_CPU_CACHE_SHARE = 0.25  # of the memory that is free


def device_arguments(gpu_memory_utilization: float) -> dict[str, Any]:
    """Arguments of `vllm.LLM` for this machine. To be called before vLLM is imported.

    On a GPU the engine takes the given share of its memory. On a CPU that setting would mean a share of the machine's
    whole memory and refuse to start where other programs use it, so the KV cache gets at most 4 GiB, or what the
    environment variable VLLM_CPU_KVCACHE_SPACE (GiB) says.

    Args:
        gpu_memory_utilization: share of a GPU's memory for weights and KV cache, in (0, 1].
    """
    import torch

    if torch.cuda.is_available():
        return {"gpu_memory_utilization": gpu_memory_utilization}
    # Read when vLLM is imported. On few cores a second process only takes turns with the engine.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cache_bytes = min(_CPU_CACHE_BYTES, int(_CPU_CACHE_SHARE * free_bytes))
    if "VLLM_CPU_KVCACHE_SPACE" in os.environ:
        cache_bytes = int(os.environ["VLLM_CPU_KVCACHE_SPACE"]) * 2**30
    return {
        "kv_cache_memory_bytes": cache_bytes,
        "enforce_eager": True,  # compiling for a CPU takes minutes; on a GPU graphs pay off at once
        # A prompt read in pieces rewinds its request's random numbers in between, which a CPU's generator cannot:
        # "CPU Generator does not use offset" ends the engine (vLLM 0.32).
        "enable_chunked_prefill": False,
    }
