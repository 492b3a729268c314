"""Does agreement fall with similarity in real data? `python -m bench.real_noise MODEL DATA FOLDER`.

MODEL is a folder or hub name, DATA a folder with the sets below, FOLDER where databases stay: a second call goes on.
Every set is imported, embedded and labelled by the commands that a user gives; then `antipode study noise` asks.

- `pandalm_pairs_3humans.jsonl.gz`: pairs of five models' responses, `votes` of three people.
- `tulu_pairs_human_experts.jsonl.gz`: pairs of four models' responses, `votes` with `grade` −2 to 2, two or three on
  some pairs.
- `llmbar_pairs_gold_and_judges.jsonl.gz`: `gold` and the answers of `judges` in both orders; an answer that follows the
  order is a tie.
- `hh_rlhf_harmless_base_test.jsonl.gz`: `chosen` and `rejected`, one label a pair, so that the study refuses.

Writes docs/studies/noise-SET.md and .json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

REPORTS = Path(__file__).resolve().parent.parent / "docs" / "studies"
MAX_TOKENS = 128
HH_ROWS = 300
IDS = """
    SELECT prompt, first_response, second_response, first_response_id, second_response_id FROM selected_pairs
"""
Row = dict[str, Any]
Side = str  # first, second or tie
FILES = {
    "pandalm": "pandalm_pairs_3humans",
    "tulu": "tulu_pairs_human_experts",
    "llmbar": "llmbar_pairs_gold_and_judges",
    "hh": "hh_rlhf_harmless_base_test",
}


def main() -> None:
    """Make the databases that are missing, and ask each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(FILES), choices=list(FILES))
    arguments = parser.parse_args()
    for name in arguments.sets:
        folder = arguments.folder.absolute() / name  # the sets share prompts
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "labelled").exists():
            prepare(folder, name, arguments.data, arguments.model)
            (folder / "labelled").touch()
        ask(folder, name)


def prepare(folder: Path, name: str, data: Path, model: str) -> None:
    """Import, embed and label a set: all of its pairs are selected, and nothing is guarded against."""
    rows = _rows(data, FILES[name])
    file = folder / f"{name}.jsonl"
    if name == "hh":
        _write(file, islice(rows, HH_ROWS))
    else:
        pairs = ({"prompt": row["prompt"], **_sides(row), "winner": "tie"} for row in rows)
        _write(file, pairs)
    antipode(folder, "import", file, "--name", name)
    antipode(
        folder, "curate", "--name", name, "--source.name", name, "--generate.when", "never", "--model.name", model,
        "--embed.max_tokens", MAX_TOKENS, "--select.scope", "source_pairs", "--select.strategies", "random",
        "--select.share", 1.0, "--guard.none",
    )  # fmt: skip
    if name == "hh":
        antipode(folder, "label", "--annotator", "source", "--pairs.run", name)
        return
    labels = folder / "labels.jsonl"
    _write(labels, _labels(folder, name, rows))
    antipode(folder, "import-labels", labels)


def ask(folder: Path, name: str) -> None:
    """Ask the study; a set that cannot answer refuses, which is told and no failure."""
    gold = ["--data.gold", "gold"] if name == "llmbar" else []
    antipode(folder, "study", "noise", "--name", f"noise-{name}", "--data.run", name, *gold, check=name != "hh")
    pages = sorted((folder / "root" / "reports").glob("study-*.md"), key=lambda page: page.stat().st_mtime)
    for page in pages[-1:]:
        for report in (page, page.with_suffix(".json")):
            shutil.copyfile(report, (REPORTS / f"noise-{name}").with_suffix(report.suffix))


def _rows(data: Path, name: str) -> list[Row]:
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _sides(row: Row) -> Row:
    return {"response_a": row["first"]["text"], "response_b": row["second"]["text"]}


def _labels(folder: Path, name: str, rows: list[Row]) -> Iterator[Row]:
    """Labels of the pairs that were stored; those whose text an import refused have none."""
    output = folder / "ids.jsonl"
    antipode(folder, "sql", IDS, "--format", "jsonl", "--output", output)
    ids = {}
    for pair in map(json.loads, output.read_text("utf-8").splitlines()):
        texts = tuple(pair[column].strip() for column in ("prompt", "first_response", "second_response"))
        ids[texts] = pair["first_response_id"], pair["second_response_id"]
        ids[texts[0], texts[2], texts[1]] = pair["second_response_id"], pair["first_response_id"]
    for row in rows:
        key = tuple(text.strip() for text in (row["prompt"], row["first"]["text"], row["second"]["text"]))
        for annotator, side, strength in _votes(name, row) if key in ids else ():
            left_id, right_id = ids[key]
            yield {
                "left_response_id": left_id,
                "right_response_id": right_id,
                "annotator": annotator,
                "verdict": {"first": "left", "second": "right", "tie": "tie"}[side],
                **({} if strength is None else {"strength": strength}),
            }


def _votes(name: str, row: Row) -> Iterator[tuple[str, Side, float | None]]:
    """Who says what of a pair, and how strongly where that is known."""
    match name:
        case "pandalm":
            yield from ((annotator, side, None) for annotator, side in row["votes"].items())
        case "tulu":
            for vote in row["votes"]:
                grade = vote["grade"]
                side = "tie" if not grade else "first" if grade > 0 else "second"
                yield vote["annotator"], side, abs(grade) / 2 if grade else None
        case "llmbar":
            yield "gold", _side(row["gold"]), None
            for judge, answers in row["judges"].items():
                both = {_side(answer) for answer in answers.values() if answer in (1, 2)}
                yield judge, both.pop() if len(both) == 1 else "tie", None


def _side(answer: object) -> Side:
    return "first" if answer in (1, "1", "first") else "second"


def _write(path: Path, rows: Iterator[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def antipode(folder: Path, *arguments: object, check: bool = True) -> None:
    """Give a command, as a user does."""
    environment = os.environ | {"ANTIPODE_ARTIFACT_ROOT": str(folder / "root")}
    subprocess.run([sys.executable, "-m", "flows", *map(str, arguments)], check=check, env=environment)


if __name__ == "__main__":
    main()
