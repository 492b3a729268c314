"""The command `antipode doctor`: which checks run, all at once, and how their findings are printed."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

from pydantic import BaseModel, Field

from flows.terminal.failures import DEBUG_VARIABLE
from tasks.doctor import artifacts, database, machine
from tasks.doctor.devices import (
    NVIDIA_SMI_TIMEOUT_S,
    TORCH_TIMEOUT_S,
    device_findings,
    engine_findings,
    graphics_cards,
    number_format_findings,
    probe_torch,
)
from tasks.doctor.engine import engine_place_findings
from tasks.doctor.machine import Finding
from tasks.doctor.models import model_findings, server_findings
from tasks.doctor.prefect_server import prefect_address, prefect_findings
from tasks.settings import Settings
from tasks.terminal import show

CHECK_LIMIT_S = 20
TORCH_LIMIT_S = TORCH_TIMEOUT_S + NVIDIA_SMI_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Check:
    """Some findings under one heading, and the time they may take."""

    group: str
    run: Callable[[], list[Finding]]
    limit_s: float = CHECK_LIMIT_S


class Doctor(BaseModel):
    """Check this installation: packages, GPU, disk, database, Prefect, ports, models; say what to do."""

    model: tuple[str, ...] = Field((), description="Models to look for: hub names, folders, `demo`.")
    base_url: tuple[str, ...] = Field((), description="OpenAI-compatible servers to ask, such as a judge's.")
    page_port: int = Field(4300, ge=1, le=65534, description="Port that the labelling page is to have.")
    prefect_port: int = Field(4200, ge=1, le=65534, description="Port that Prefect's server is to have.")

    def cli_cmd(self) -> None:
        """Run the command; exit status 1 if there is a problem."""
        levels = []
        for group, findings in groupby(run_checks(self.checks(Settings())), key=itemgetter(0)):
            show(group)
            for _, finding in findings:
                levels.append(finding.level)
                show_finding(finding)
        problems, warnings = levels.count("problem"), levels.count("warning")
        show(f"{len(levels)} checks: problems {problems}, warnings {warnings}")
        sys.exit(1 if problems else 0)

    def checks(self, settings: Settings) -> list[Check]:
        """Every check, in the order in which its findings are printed."""
        key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
        return [
            Check("installation", machine.python_findings),
            Check("installation", _package_findings),
            Check("devices", _device_findings, TORCH_LIMIT_S),
            Check("devices", partial(engine_place_findings, settings)),
            Check("machine", partial(machine.disk_findings, settings.artifact_root)),
            Check("machine", partial(artifacts.storage_findings, settings)),
            Check("machine", machine.memory_findings),
            Check("database", partial(database.database_findings, settings)),
            Check("database", partial(artifacts.artifact_findings, settings)),
            Check("Prefect", lambda: prefect_findings(*prefect_address())),
            Check("ports", partial(database.page_port_findings, self.page_port)),
            Check("ports", partial(database.prefect_port_findings, self.prefect_port)),
            *(Check("models", partial(model_findings, name)) for name in self.model),
            *(Check("models", partial(server_findings, address, key)) for address in self.base_url),
        ]


def run_checks(checks: Sequence[Check]) -> Iterator[tuple[str, Finding]]:
    """Run the checks side by side and yield heading and finding in their order; none outlasts its limit."""
    started = time.monotonic()
    findings: dict[int, list[Finding]] = {}

    def run(number: int, check: Check) -> None:
        findings[number] = _without_failure(check)

    # Daemon threads: a check that hangs does not keep the command from ending.
    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(checks)]
    for thread in threads:
        thread.start()
    for number, (check, thread) in enumerate(zip(checks, threads, strict=True)):
        thread.join(max(0.0, started + check.limit_s - time.monotonic()))
        late = Finding(
            check.group, "problem", f"no result within {check.limit_s:.0f} s", "try again when less runs here"
        )
        for finding in findings.get(number, [late]):
            yield check.group, finding


def show_finding(finding: Finding) -> None:
    """Print a line, and a second one that says what to do."""
    show(f"  {finding.level:<9}{finding.name}: {finding.text}")
    if finding.advice:
        show(f"{'':11}do: {finding.advice}")


def _without_failure(check: Check) -> list[Finding]:
    """The findings of a check; one that raises is a finding itself, so that the others are still printed."""
    try:
        return check.run()
    except Exception as error:  # noqa: BLE001 (the command reports whatever is broken)
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        # The type alone: the message may hold an address with its password.
        text = f"the check itself failed ({type(error).__name__})"
        return [Finding(check.group, "problem", text, f"{DEBUG_VARIABLE}=1 antipode doctor says where")]


def _package_findings() -> list[Finding]:
    versions = machine.installed_versions()
    return machine.package_findings(versions, machine.stated_requirements(versions))


def _device_findings() -> list[Finding]:
    cards = graphics_cards()
    report = probe_torch()
    devices = device_findings(report, cards, os.environ.get("CUDA_VISIBLE_DEVICES"))
    engines = engine_findings(machine.installed_versions(), cards)
    return [*engines, *devices, *number_format_findings(report)]
