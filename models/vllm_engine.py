"""What every vLLM engine here shares: how it is fitted to the machine. Knows no task and no model."""

from __future__ import annotations

import os
from typing import Any

_CPU_CACHE_BYTES = 4 * 2**30
_CPU_CACHE_SHARE = 0.25  # of the memory that is free


def device_arguments(gpu_memory_utilization: float, tensor_parallel_size: int = 1) -> dict[str, Any]:
    """Arguments of `vllm.LLM` for this machine. To be called before vLLM is imported.

    On a GPU the engine takes the given share of its memory. On a CPU that setting would mean a share of the machine's
    whole memory and refuse to start where other programs use it, so the KV cache gets at most 4 GiB, or what the
    environment variable VLLM_CPU_KVCACHE_SPACE (GiB) says.

    Args:
        gpu_memory_utilization: share of a GPU's memory for weights and KV cache, in (0, 1].
        tensor_parallel_size: GPUs of this host that hold a part of every layer each; on a CPU, processes.
    """
    import torch

    # Not Ray's, which vLLM takes within an actor: it would ask the cluster for GPUs that the actor holds.
    parallel = {"tensor_parallel_size": tensor_parallel_size, "distributed_executor_backend": "mp"}
    arguments: dict[str, Any] = parallel if tensor_parallel_size > 1 else {}
    if torch.cuda.is_available():
        return arguments | {"gpu_memory_utilization": gpu_memory_utilization}
    if arguments:  # each on the cores of a memory node of its own, or, as here, on any
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    # Read when vLLM is imported. On few cores a second process only takes turns with the engine.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cache_bytes = min(_CPU_CACHE_BYTES, int(_CPU_CACHE_SHARE * free_bytes))
    if "VLLM_CPU_KVCACHE_SPACE" in os.environ:
        cache_bytes = int(os.environ["VLLM_CPU_KVCACHE_SPACE"]) * 2**30
    return arguments | {
        "kv_cache_memory_bytes": cache_bytes,
        "enforce_eager": True,  # compiling for a CPU takes minutes; on a GPU graphs pay off at once
        # A prompt read in pieces rewinds its request's random numbers in between, which a CPU's generator cannot:
        # "CPU Generator does not use offset" ends the engine (vLLM 0.32).
        "enable_chunked_prefill": False,
    }
