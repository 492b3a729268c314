"""What an alignment of the demo costs beside its work: `python -m bench.alignment_overhead`.

The demo is curated and labelled; then `align` as the demo has it, and one round of `ld-align` on the chosen responses,
each in a copy of that database, as a process of its own with Prefect's temporary server. Every 20 ms that process and
each engine are looked at: what is their main thread at (`bench.sampling`)? Work is training, sampling,
log-probabilities, embedding, the guide and the verdicts; all else is overhead, by kind. An engine's start is the time
that was waited for engines less the time in which they were at something. The command's own start (imports, Prefect's
server) is not the alignment's: `bench.start` measures it.

Wall clock and CPU seconds (without the server's), written to bench/alignment_overhead.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

from bench.machine import machine_words
from bench.sampling import Sampler, Seconds, counted_by_engines, sample_engines

RESULTS = Path(__file__).with_suffix(".json")
FLOWS = ("align", "ld_align")
PROMPTS = 256  # the demo's
WORK = ("training", "generation", "log-probabilities", "embedding", "guide", "verdicts")
WAITING, IDLE, START = "waiting for engines", "idle", "process starts"
_WORK_OF = {
    "TransformersGenerator": "generation",
    "LogpScorer": "log-probabilities",
    "HiddenStateEmbedder": "embedding",
    "GuideProcess": "guide",
}
_OF_TRAINING = {
    "load_policy": "model loads",
    "load_tokenizer": "model loads",
    "save_policy": "model saves",
    "_rows": "tokenising",
    "write_job": "training's files",
    "read_job": "training's files",
}
_ROOT = str(Path(__file__).parent.parent) + os.sep


def engine_kind(frame: FrameType | None) -> str:
    """What an engine is at."""
    names: set[str] = set()
    while frame is not None:
        code = frame.f_code
        if code.co_filename == "<frozen importlib._bootstrap>":
            return "imports"
        if code.co_name == "train" and code.co_filename.endswith("transformers/trainer.py"):
            return "training"
        if code.co_name == "_do" and code.co_filename.endswith("isolated_host.py"):
            message, backend = frame.f_locals["message"], frame.f_locals["self"]._backend
            return _message_kind(type(message).__name__, type(backend).__name__, names)
        names.add(code.co_name)
        frame = frame.f_back
    return IDLE


def _message_kind(message: str, backend: str, names: set[str]) -> str:
    if message != "Call":
        return "model loads" if message == "Build" else "models given up"
    kinds = [kind for name, kind in _OF_TRAINING.items() if name in names]
    return _WORK_OF.get(backend) or (kinds[0] if kinds else "training made ready")


def command_kind(frame: FrameType | None) -> str:
    """What the command itself is at: the innermost frame that says it, but an import whatever it is for."""
    kind = ""
    while frame is not None:
        code, file = frame.f_code, frame.f_code.co_filename
        if file == "<frozen importlib._bootstrap>":
            return "imports"
        own = file.removeprefix(_ROOT)
        if own == f"models{os.sep}processes{os.sep}isolation.py" or own.endswith(f"alignment{os.sep}training.py"):
            kind = WAITING if own.startswith("models") else kind
        if code.co_name == "read_data":
            kind = "snapshot reads" if kind in {"", "database"} else kind
        kind = kind or _own_kind(own, code.co_name)
        frame = frame.f_back
    return kind or "rest"


def _own_kind(file: str, name: str) -> str:
    if file.startswith(("db/",)) or "/sqlalchemy/" in file:
        return "database"
    if name in {"load_tokenizer", "model_fingerprint"}:
        return "model loads"
    if file.startswith(("models/demo/", "models/evaluation/", "models/labelling/")):
        return "verdicts"
    if file.startswith("tasks/reports/"):
        return "reports"
    return "Prefect" if "/prefect/" in file else ""


def run_counted(flow: str, config: str, report: Path) -> None:
    """Run a flow in this process, and write what it took and where the time went."""
    from flows.processes.engine import prepare_prefect

    prepare_prefect()
    if flow == "align":
        from flows.align import align as run
        from tasks.config.alignment import AlignConfig as Config
    else:
        from flows.ld_align import ld_align as run  # type: ignore[assignment]
        from tasks.config.rounds import LdAlignConfig as Config  # type: ignore[assignment]
    folder = report.with_suffix("")
    folder.mkdir()
    sample_engines(folder)
    sampler = Sampler(command_kind, folder / "command.json")
    begun, begun_cpu = time.perf_counter(), time.process_time()
    run(Config.model_validate_json(config))
    wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    sampler.end()
    command: Seconds = json.loads((folder / "command.json").read_text())
    report.write_text(json.dumps(summary(wall, cpu, command, counted_by_engines(folder))))


def summary(wall: float, cpu: float, command: Seconds, engines: list[Seconds]) -> dict[str, Any]:
    """What an alignment took by kinds, of the seconds by the clock and of the CPU's; what is overhead of each."""
    by_kind = {name: defaultdict[str, float](float) for name in ("wall", "cpu")}
    for at, seconds in enumerate(by_kind.values()):
        for counted in (command, *engines):
            for kind, values in counted.items():
                seconds[kind] += values[at]
    walls, cpus = by_kind["wall"], by_kind["cpu"]
    walls[START] = walls.pop(WAITING, 0.0) - sum(
        values[0] for counted in engines for kind, values in counted.items() if kind != IDLE
    )
    walls.pop(IDLE, None)
    cpus["rest"] += cpus.pop(WAITING, 0.0) + cpus.pop(IDLE, 0.0)
    found: dict[str, Any] = {"wall_s": wall, "cpu_s": cpu + sum(v[1] for one in engines for v in one.values())}
    found["engine_processes"] = len(engines)
    for name, seconds in by_kind.items():
        total = sum(seconds.values())
        in_order = sorted(seconds, key=lambda kind: -seconds[kind])
        found[f"{name}_by_kind"] = {kind: round(seconds[kind], 2) for kind in in_order}
        found[f"{name}_overhead"] = 1 - sum(seconds[kind] for kind in WORK) / total
    return found


def make_world(folder: Path, prompts: int) -> int:
    """Curate and label as the demo does, in this folder; return the run's id."""
    command = [sys.executable, "-m", "bench.alignment_overhead", "--make", "--prompts", str(prompts)]
    made = subprocess.run(command, check=True, env=_environment(folder), stdout=subprocess.PIPE, text=True)
    return int(made.stdout.splitlines()[-1])


def _make(prompts: int) -> None:
    from flows.commands.demo import ANNOTATORS, annotation, curation
    from flows.processes.engine import prepare_prefect
    from tasks.curation.ingestion import import_demo_prompts
    from tasks.settings import Settings

    import_demo_prompts(Settings())
    prepare_prefect()
    from flows.curate import curate
    from flows.label import label

    run_id = curate(curation(prompts, 0))
    for seed in range(ANNOTATORS):
        label(annotation(run_id, seed))
    print(run_id)


def _config(flow: str, run_id: int) -> str:
    from flows.commands.demo import DPO_RATE, alignment

    config = alignment(run_id)
    if flow == "align":
        return config.model_dump_json()
    from tasks.config.rounds import LdAlignConfig

    rounds = {"count": 1, "learning_rates": [DPO_RATE], "examples_per_device": 32, "max_length": 256}
    guide = {"base": "scratch", "must_use_latent": False}
    shared = config.model_dump(mode="json", include={"name", "data", "evaluate"})
    values = {**shared, "rounds": rounds, "guide": guide, "max_tokens": config.evaluate.max_tokens}
    return LdAlignConfig.model_validate(values).model_dump_json()


def measure(flow: str, world: Path, run_id: int) -> dict[str, Any]:
    """Align once in a copy of the world."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, report = Path(scratch) / "world", Path(scratch) / "report.json"
        shutil.copytree(world, copy)
        command = [sys.executable, "-m", "bench.alignment_overhead", "--run", flow, _config(flow, run_id), str(report)]
        subprocess.run(command, check=True, env=_environment(copy), stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(report.read_text())
        return found


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "ANTIPODE_DATABASE_URL": f"sqlite:///{folder / 'antipode.db'}",
        "ANTIPODE_ARTIFACT_ROOT": str(folder / "artifacts"),
        "PREFECT_HOME": str(folder / "prefect"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def measure_all(world: Path, run_id: int, *, prompts: int, rounds: int) -> dict[str, Any]:
    """Both alignments in turn; of each the round whose share of overhead is the median one."""
    found: dict[str, list[dict[str, Any]]] = {flow: [] for flow in FLOWS}
    for _ in range(rounds):
        for flow, of_flow in found.items():
            of_flow.append(measure(flow, world, run_id))
            print(f"{flow}: {json.dumps(of_flow[-1], indent=2)}", flush=True)
    figures: dict[str, Any] = {"machine": machine_words(), "rounds": rounds}
    for flow, of_flow in found.items():
        of_flow.sort(key=lambda one: float(one["wall_overhead"]))
        spread = [of_flow[0]["wall_overhead"], of_flow[-1]["wall_overhead"]]
        figures[flow] = {"prompts": prompts, "wall_overhead_spread": spread, **of_flow[len(of_flow) // 2]}
    return figures


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        _make(arguments.prompts)
        return
    if arguments.run is not None:
        run_counted(arguments.run[0], arguments.run[1], Path(arguments.run[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        run_id = make_world(Path(folder), arguments.prompts)
        figures = measure_all(Path(folder), run_id, prompts=arguments.prompts, rounds=arguments.rounds)
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
