"""What the start of a command costs: CPU seconds of `antipode` and all that it starts, beside Prefect's own imports.

python -m bench.start                (3 rounds, in turn)
python -m bench.start --rounds 1

Five prompts in a folder of their own, scripted replies, hashed embeddings, Prefect's temporary server, whose database
was made before. The limit is what Prefect needs for itself: its engine imported in the command, its server imported and
its application built. Prints medians and writes them, with the least and the most, to bench/start.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench.database import SPAWN, World
from bench.machine import machine_words

RESULTS = Path(__file__).with_suffix(".json")
LIGHT = ("--generate.backend", "scripted", "--generate.models", '["scripted"]', "--embed.backend", "hashed")
PREFECT = {
    "prefect_engine": "import prefect.flow_engine, prefect.task_engine",
    "prefect_server": "from prefect.server.api.server import create_app; create_app()",
}


def bare_s(code: str, world: World) -> float:
    """CPU seconds of a Python of its own that runs some code, in the world's environment."""
    command = [sys.executable, "-S", "-c", SPAWN, sys.executable, "-c", code]
    ended = subprocess.run(command, check=True, env=world.environment, capture_output=True, text=True)
    return float(json.loads(ended.stderr.splitlines()[-1])["cpu_s"])


def measure(world: World, number: int) -> dict[str, float]:
    """One round; each of its curations is new, since a finished one would be told and not run."""
    found = {name: bare_s(code, world) for name, code in PREFECT.items()}
    for name, arguments in (
        ("help", ("--help",)),
        ("runs", ("runs",)),
        ("curate_dry_run", ("curate", *LIGHT, "--dry-run")),
        ("curate", ("curate", *LIGHT, "--seed", str(number))),
    ):
        found[name] = world.run(*arguments)["cpu_s"]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.environment |= {"PREFECT_HOME": str(Path(folder) / "prefect"), "PREFECT_UI_ENABLED": "0"}
        source = Path(folder) / "prompts.jsonl"
        source.write_text("".join(json.dumps({"prompt": f"What is {at} times {at}?"}) + "\n" for at in range(5)))
        world.run("import", str(source))
        world.run("curate", *LIGHT, "--seed", "1000")  # makes Prefect's database
        rounds = [measure(world, number) for number in range(arguments.rounds)]
    figures: dict[str, Any] = {
        "machine": machine_words(),
        "prefect": version("prefect"),
        "rounds": arguments.rounds,
    }
    for name in rounds[0]:
        values = sorted(one[name] for one in rounds)
        figures[f"{name}_s"] = {"median": median(values), "least": values[0], "most": values[-1]}
        print(f"{name:16} {median(values):6.2f} s   ({values[0]:.2f} to {values[-1]:.2f})")
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
