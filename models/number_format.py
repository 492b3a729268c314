"""Which device models run on, and which number format it computes fast in: decided once, from what the device can do.

A CPU without bfloat16 instructions emulates the format: on one with AVX2 alone a product in bfloat16 takes 19 times as
long as in float32; with the instructions a fifth to an eighth. Imports torch only where a GPU may be, or to measure.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

FastFormat = Literal["float32", "bfloat16"]

# What a processor calls its bfloat16 products, in /proc/cpuinfo: x86's AVX-512 and AMX, ARM's extension.
BFLOAT16_FLAGS = {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16", "bf16": "ARM's BF16"}
# Environment variables that hold torch's kernels, or oneDNN's, which compute its products, to older instructions.
_BEFORE_BFLOAT16 = {"sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni"}
WITHOUT_BFLOAT16 = {
    "ATEN_CPU_CAPABILITY": {"default", "avx2"},
    "ONEDNN_MAX_CPU_ISA": _BEFORE_BFLOAT16,
    "DNNL_MAX_CPU_ISA": _BEFORE_BFLOAT16,  # its older name
}
_GPU_FILES = ("nvidia[0-9]*", "kfd", "dxg")  # NVIDIA's, AMD's, WSL's
_PRODUCT = {"cpu": (1024, 512, 512), "cuda": (4096, 4096, 4096)}
_CALLS, _LONGEST_S = 12, 0.7  # a rate is the best of so many products (the first ones prepare), or of so many seconds


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device says of itself.

    Attributes:
        device: as torch names it.
        name: for people.
        has_bfloat16: of a GPU, whether it computes in bfloat16 itself.
        flags: of a CPU, as /proc/cpuinfo lists them.
        limits: of a CPU, the environment variables of `WITHOUT_BFLOAT16` that are set.
    """

    device: Literal["cpu", "cuda"]
    name: str
    has_bfloat16: bool = False
    flags: frozenset[str] = frozenset()
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A number format, and why it was chosen."""

    dtype: FastFormat
    reason: str


@cache
def fast_format() -> NumberFormat:
    """The format that this machine's device computes fast in: what `auto` stands for, wherever a model is loaded."""
    return choose_format(this_device())


def choose_format(device: Capabilities) -> NumberFormat:
    """bfloat16 where the device has instructions for it that nothing switches off, else float32."""
    if device.device == "cuda":
        if device.has_bfloat16:
            return NumberFormat("bfloat16", f"{device.name} computes in it")
        return NumberFormat("float32", f"{device.name} has no bfloat16")
    instructions = next((name for flag, name in BFLOAT16_FLAGS.items() if flag in device.flags), None)
    if instructions is None:
        return NumberFormat("float32", f"{device.name} has no bfloat16 instructions")
    for variable, values in WITHOUT_BFLOAT16.items():
        if (value := device.limits.get(variable, "")).lower() in values:
            return NumberFormat("float32", f"{variable}={value} switches the {instructions} of {device.name} off")
    return NumberFormat("bfloat16", f"{device.name} has {instructions}")


def this_device() -> Capabilities:
    """What the device that models run on says of itself."""
    if torch_device() == "cuda":
        import torch

        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Capabilities("cuda", torch.cuda.get_device_name(), has_bfloat16=has_bfloat16)
    limits = {name: os.environ[name] for name in WITHOUT_BFLOAT16 if name in os.environ}
    lines = first_processor()
    flags = frozenset(lines.get("flags", lines.get("Features", "")).split())
    return Capabilities("cpu", lines.get("model name", f"this {platform.machine()} CPU"), flags=flags, limits=limits)


@cache
def torch_device() -> Literal["cpu", "cuda"]:
    """The device that models are loaded on; where no GPU's driver is, torch is not asked."""
    if not any(any(Path("/dev").glob(pattern)) for pattern in _GPU_FILES):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def measured_rate(dtype: str, device: str) -> float:
    """How fast a matrix product is, in GFLOP/s; of a CPU on one thread, which others do not disturb."""
    import torch

    rows, inner, columns = _PRODUCT[device]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        left = torch.randn(rows, inner, device=device).to(getattr(torch, dtype))
        right = torch.randn(inner, columns, device=device).to(left.dtype)
        seconds: list[float] = []
        while len(seconds) < 2 or (len(seconds) < _CALLS and sum(seconds) < _LONGEST_S):
            begun = time.perf_counter()
            left @ right
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
    finally:
        torch.set_num_threads(threads)
    return 2 * rows * inner * columns / min(seconds) / 1e9


@cache
def times_slower(dtype: str) -> float:
    """How many times as long as in float32 a product in this format takes here, measured.

    In a process of its own: one that has used a GPU keeps some of its memory.
    """
    rates = f"measured_rate('float32', {torch_device()!r}) / measured_rate({dtype!r}, {torch_device()!r})"
    code = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import *; print({rates})"
    command = [sys.executable, "-c", code, json.dumps(sys.path)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def is_of_intel() -> bool:
    """Whether the CPU is Intel's, whose own matrix products (MKL) are made for it."""
    return first_processor().get("vendor_id") == "GenuineIntel"


@cache
def first_processor() -> dict[str, str]:
    """The lines `name : value` of /proc/cpuinfo up to its first blank one."""
    path = Path("/proc/cpuinfo")
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    pairs = (line.partition(":") for line in text.strip().partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
