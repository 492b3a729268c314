"""What a soak found, as JSON and as a page for people."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.number_format import this_device
from tests.soak.trials import Tally


def write_report(folder: Path, tallies: list[Tally], *, cases: dict[str, int], command: str, seconds: float) -> None:
    """Write soak.json and soak.md."""
    report: dict[str, Any] = {
        "command": command,
        "processor": this_device().name,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds),
        "kills": sum(tally.kills for tally in tallies),
        "outages": sum(tally.outages for tally in tallies),
        "requests": sum(tally.requests for tally in tallies),
        "cases": cases,
        "wrong": sum(len(tally.wrong) for tally in tallies),
        "acts": [tally.as_json() for tally in tallies],
    }
    (folder / "soak.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    (folder / "soak.md").write_text(_page(report, tallies), "utf-8")


_HOW = """
An act runs in a process of its own on a copy of a prepared installation. It is ended by SIGKILL before or after one of
its commits and renames (points), or at a random moment; what is given again is killed again in three of ten cases. In
the end the database equals that of an undisturbed twin row by row (ids and times aside; what a transaction that was
rolled back had used up of PostgreSQL's ids is given back after each kill, since sides and names are made of them), and
vectors byte for byte; on SQLite the files of policies, exports and refused rows too.

In an outage PostgreSQL is stopped at a point, as by a power cut, and started later: the act waits, goes on, and ends as
its twin without being given again. A judge is asked nothing twice but what was under way when it was killed.
"""


def _page(report: dict[str, Any], tallies: list[Tally]) -> str:
    cases = sum(report["cases"].values())
    lines = [
        "# Soak: every act killed, its database taken away, its inputs fuzzed",
        "",
        f"`{report['command']}`, {report['date']}, {report['processor']}, {report['cores']} cores, "
        f"Python {report['python']}, {report['seconds'] / 60:.0f} minutes.",
        "",
        f"**{report['kills']:,} kills, {report['outages']:,} outages, {cases:,} generated cases, "
        f"{report['requests']:,} requests to a judge: lost, doubled or wrong in silence {report['wrong']}.**",
        _HOW,
        "| act | database | points | kills at points | at moments | outages | differences |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {tally.act} | {tally.database} | {tally.points} | {tally.kills_at_points} | {tally.kills_at_moments} | "
        f"{tally.outages} | {len(tally.wrong)} |"
        for tally in tallies
    ]
    if cases:
        lines += ["", "Generated cases, none of them answered with anything but what its test allows:", ""]
        lines += ["| fuzz test | cases |", "|---|---:|"]
        lines += [f"| {name} | {count:,} |" for name, count in sorted(report["cases"].items())]
    return "\n".join((*lines, ""))
