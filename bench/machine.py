"""The machine that figures were measured on, in words."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_CPU = Path("/proc/cpuinfo")
_INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 bfloat16", "amx_bf16": "AMX bfloat16"}
_LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")  # that hold a library to fewer instructions


def machine_words() -> str:
    """The CPU's name, the instructions that matter here and what holds them back, its cores, the Python."""
    described = _CPU.read_text() if _CPU.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", described, re.MULTILINE)
    flags = set(re.findall(r"\w+", next((line for line in described.splitlines() if line.startswith("flags")), "")))
    parts = [named[1] if named else platform.processor() or platform.machine()]
    parts += [words for flag, words in _INSTRUCTIONS.items() if flag in flags]
    parts += [f"{name}={os.environ[name]}" for name in _LIMITS if name in os.environ]
    return ", ".join([*parts, f"{os.cpu_count()} cores", f"Python {platform.python_version()}"])
