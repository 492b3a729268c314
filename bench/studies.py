"""Makes the committed reports of docs/studies anew: `python -m bench.studies MODEL DATA [--only NAME]`.

MODEL is a folder or hub name, DATA a folder with the sets below. Every set is imported, curated, labelled and studied
by the commands that a user gives, in folders of their own below `--folder` (thrown away unless it is named).

- the demo world: `antipode demo --prompts 518`; for studies that train policies by many methods, 256 prompts.
- `pandalm_pairs_3humans.jsonl.gz`: pairs of five models' responses, `votes` of three people.
- `tulu_pairs_human_experts.jsonl.gz`: pairs of four models' responses, `votes` of experts with `grade` −2 to 2.
- `self_instruct_user_252.jsonl.gz`: responses of eight models; nobody has said which is better.

Of the real sets the run selects every pair, so that each vote has one; the study chooses among them itself.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

REPORTS = Path(__file__).resolve().parent.parent / "docs" / "studies"
MAX_TOKENS = 128
ALL_PAIRS = 28  # of eight responses
SHOWN = {"first": "left", "second": "right", "tie": "tie"}
Row = dict[str, Any]


class Report(NamedTuple):
    """A study of a set, committed as NAME-DATA.md and .json; `arguments` as given to `antipode study NAME`."""

    study: str
    data: str
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.study}-{self.data}"


DRIFT = (
    "--model.name", "demo", "--seeds", "5", "--sft.learning_rate", "1e-4", "--train.epochs", "1",
    "--train.learning_rate", "3e-4", "--train.examples_per_device", "32", "--train.max_length", "256",
    "--train.evaluate_every", "0", "--train.save_every", "0",
)  # fmt: skip
# As small as `antipode demo` trains, with one pass over the preferences: a trial is half a minute on two quiet cores.
_TRAINING = {"examples_per_device": 32, "max_length": 256, "epochs": 1, "evaluate_every": 5, "save_every": 0}
_SMALL_POLICIES = {
    "seeds": 5,
    "sft.learning_rate": 1e-4,
    "train.learning_rate": 3e-4,
    **{f"train.{name}": value for name, value in _TRAINING.items()},
    "evaluate.annotator": "rubric",
    "evaluate.source.name": "demo",
    "evaluate.source.split": "test",
    "evaluate.source.limit": 64,
    "evaluate.responses_per_prompt": 2,
    "evaluate.temperature": 1,
    "evaluate.max_tokens": 96,
    "evaluate.backend": "transformers",
    "evaluate.has_drift": False,
}
# The guide from scratch does without its latent vector in the demo world: it is told to go on, and the report says so.
_SMALL_ROUNDS = {
    "rounds.count": 2,
    "rounds.learning_rates": 3e-4,
    **{f"rounds.{name}": value for name, value in _TRAINING.items()},
    "guide.base": "scratch",
    "guide.must_use_latent": False,
    "sampling.max_tokens": 96,
}


def _options(*sections: dict[str, object]) -> tuple[str, ...]:
    """Settings as the command line takes them."""
    return tuple(
        f"--no-{name}" if value is False else f"--{name}={value}" for of in sections for name, value in of.items()
    )


MADE = (
    Report("label-efficiency", "demo", ("--labels", "truth,noisy", "--seeds", "10")),
    Report("label-efficiency", "pandalm", ("--labels", "stored", "--seeds", "10", "--budgets", "25,50,100")),
    Report("label-efficiency", "tulu", ("--labels", "stored", "--seeds", "10")),
    Report("real-pairs", "small_demo", _options({"model.name": "demo"}, _SMALL_POLICIES)),
    Report("real-candidates", "small_demo", _options({"model.name": "demo", "labels": "noisy"}, _SMALL_POLICIES)),
    Report("losses", "small_demo", _options(_SMALL_POLICIES)),
    Report("ld-align", "small_demo", _options(_SMALL_POLICIES, _SMALL_ROUNDS)),
    Report("pilot", "demo"),
    Report("pilot", "pandalm"),
    Report("pilot", "tulu"),
    Report("noise", "demo"),  # of real sets: bench/real_noise.py
    Report("embedding-drift", "demo", DRIFT),
)


def main() -> None:
    """Prepare the sets that are asked for, study them, and put the reports where they are committed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="reports whose name has this in it")
    parser.add_argument("--folder", type=Path, help="where the sets' databases stay, to be used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = arguments.folder or Path(thrown_away)
        for report in MADE:
            if arguments.only in report.name:
                _prepared(folder / report.data, report.data, arguments.model, arguments.data)
                _make(report, folder / report.data)


def _prepared(folder: Path, name: str, model: str, data: Path) -> None:
    """A database with the set, curated and labelled, unless it is there already."""
    if (folder / "is_ready").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if name in DEMOS:
        _antipode(folder, "demo", "--prompts", DEMOS[name])
    else:
        _curated(folder, name, model, list(_rows(data / FILES[name])))
    (folder / "is_ready").touch()


def _make(report: Report, folder: Path) -> None:
    _antipode(folder, "study", report.study, "--name", report.name, *report.arguments)
    run = _ask(folder, "SELECT max(run_id) AS run FROM study_results")[0]["run"]
    REPORTS.mkdir(exist_ok=True)
    made = folder / "root" / "reports"
    shutil.copyfile(made / f"study-{run}.md", REPORTS / f"{report.name}.md")
    content = json.loads((made / f"study-{run}.json").read_text(encoding="utf-8"))
    small = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (REPORTS / f"{report.name}.json").write_text(small + "\n", encoding="utf-8")
    print(f"docs/studies/{report.name}.md", flush=True)


def _curated(folder: Path, name: str, model: str, rows: list[Row]) -> None:
    responses: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        responses[row["prompt"]] |= dict.fromkeys(_texts(row))
    _write(folder / f"{name}.jsonl", ({"prompt": prompt, "responses": list(r)} for prompt, r in responses.items()))
    _antipode(folder, "import", folder / f"{name}.jsonl", "--name", name)
    _antipode(
        folder, "curate", "--name", name, "--source.name", name, "--generate.when", "never", "--model.name", model,
        "--embed.max_tokens", MAX_TOKENS, "--select.strategies", "random", "--select.pairs_per_prompt", ALL_PAIRS,
    )  # fmt: skip
    if votes_on := VOTES.get(name):
        _antipode(folder, "export-pairs", folder / "pairs.jsonl", "--tool", "labels")
        voted = {_known_by(row["prompt"], *_texts(row)): row for row in rows}
        _write(folder / "labels.jsonl", _labels(folder / "pairs.jsonl", voted, votes_on))
        _antipode(folder, "import-labels", folder / "labels.jsonl")


def _labels(pairs: Path, voted: dict[frozenset[str], Row], votes_on: Callable[[Row], dict[str, str]]) -> Iterator[Row]:
    """What everybody said of each pair that the run has, in the columns of `antipode import-labels`."""
    for line in pairs.read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        row = voted.get(_known_by(pair["prompt"], pair["left"], pair["right"]))
        if row is None:
            continue
        is_exchanged = pair["left"].strip() != row["first"]["text"].strip()
        for annotator, verdict in votes_on(row).items():
            shown = {"first": "right", "second": "left"}.get(verdict, verdict) if is_exchanged else SHOWN[verdict]
            yield {
                "left_response_id": pair["left_response_id"],
                "right_response_id": pair["right_response_id"],
                "annotator": annotator,
                "verdict": shown,
            }


def _pandalm_votes(row: Row) -> dict[str, str]:
    return dict(row["votes"])


def _tulu_votes(row: Row) -> dict[str, str]:
    words = {vote["annotator"]: vote["grade"] for vote in row["votes"]}
    return {name: "first" if grade > 0 else "second" if grade < 0 else "tie" for name, grade in words.items()}


DEMOS = {"demo": 518, "small_demo": 256}
FILES = {
    "pandalm": "pandalm_pairs_3humans.jsonl.gz",
    "tulu": "tulu_pairs_human_experts.jsonl.gz",
    "self_instruct": "self_instruct_user_252.jsonl.gz",
}
VOTES: dict[str, Callable[[Row], dict[str, str]]] = {"pandalm": _pandalm_votes, "tulu": _tulu_votes}


def _rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _texts(row: Row) -> list[str]:
    sides = row["responses"] if "responses" in row else (row["first"], row["second"])
    return [side["text"] for side in sides]


def _known_by(*texts: str) -> frozenset[str]:
    """The texts of a pair, without what an import trims."""
    return frozenset(text.strip() for text in texts)


def _write(path: Path, rows: Iterator[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _antipode(folder: Path, *arguments: object) -> None:
    environment = os.environ | {"ANTIPODE_ARTIFACT_ROOT": str(folder / "root")}
    subprocess.run([sys.executable, "-m", "flows", *map(str, arguments)], check=True, env=environment, stdout=2)


def _ask(folder: Path, query: str) -> list[Row]:
    output = folder / "answer.jsonl"
    _antipode(folder, "sql", query, "--format", "jsonl", "--output", output)
    return [json.loads(line) for line in output.read_text().splitlines()]


if __name__ == "__main__":
    main()
