"""What each strategy selects of real text, with the guard and without: `python -m bench.real_text MODEL DATA`.

MODEL is a folder or hub name, DATA a folder with the sets below. Every set is imported and curated by the commands that
a user gives, in a folder that is thrown away; a judgement costs nothing, since people have made it already.

- `self_instruct_user_252.jsonl.gz`: `prompt`, `responses` of eight models.
- `pandalm_pairs_3humans.jsonl.gz`: pairs of five models' responses, `votes` of three people: how many pairs are one
  voice's, among those of a strategy that were voted on.
- `tulu_pairs_human_experts.jsonl.gz`: pairs of four models' responses, `votes` with `grade` −2 to 2: how clear
  they are.

Prints the tables of docs/strategies.md and writes bench/real_text.json. Intervals are over prompts, 95 %.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from models.intervals import Interval, prompt_mean, share

STRATEGIES = ("easy", "hard", "centroid", "random", "longest_gap", "closest_lengths_easy")
MAX_TOKENS = 128
RESULTS = Path(__file__).with_suffix(".json")
PAIRS = """
    SELECT strategy, prompt, first_response, second_response, similarity FROM selected_pairs WHERE run_id = {run}
"""
Row = dict[str, Any]


def main() -> None:
    """Measure all sets, print the tables, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    results: Row = {"machine": platform.machine(), "model": Path(arguments.model).name, "max_tokens": MAX_TOKENS}
    with tempfile.TemporaryDirectory() as folder:
        for name, read in (("self_instruct", _self_instruct), ("pandalm", _pandalm), ("tulu", _tulu)):
            rows, votes = read(arguments.data)
            own = Path(folder) / name  # the sets share prompts, whose responses of all sources are candidates
            own.mkdir()
            results[name] = _measured(own, name, rows, votes, arguments.model)
            print(_table(name, results[name]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def _rows(data: Path, name: str) -> list[Row]:
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _self_instruct(data: Path) -> tuple[dict[str, list[str]], dict[frozenset[str], float]]:
    rows = _rows(data, "self_instruct_user_252")
    return {row["prompt"]: [response["text"] for response in row["responses"]] for row in rows}, {}


def _pandalm(data: Path) -> tuple[dict[str, list[str]], dict[frozenset[str], float]]:
    """Responses by prompt; of each pair whether its three people agree."""
    rows = _rows(data, "pandalm_pairs_3humans")
    return _responses(rows), {_key(row): float(len(set(row["votes"].values())) == 1) for row in rows}


def _tulu(data: Path) -> tuple[dict[str, list[str]], dict[frozenset[str], float]]:
    """Responses by prompt; of each pair the mean grade's size."""
    rows = _rows(data, "tulu_pairs_human_experts")
    return _responses(rows), {_key(row): abs(float(np.mean([vote["grade"] for vote in row["votes"]]))) for row in rows}


def _responses(rows: list[Row]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        found[row["prompt"]] |= {row["first"]["text"]: None, row["second"]["text"]: None}
    return {prompt: list(texts) for prompt, texts in found.items()}


def _key(row: Row) -> frozenset[str]:
    return _known_by(row["prompt"], row["first"]["text"], row["second"]["text"])


def _measured(
    folder: Path, name: str, rows: dict[str, list[str]], votes: dict[frozenset[str], float], model: str
) -> Row:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"prompt": p, "responses": texts}) + "\n" for p, texts in rows.items()))
    _antipode(folder, "import", file, "--name", name)
    found: Row = {"prompts": len(rows)}
    for guard in ("guard", "no guard"):
        _antipode(
            folder, "curate", "--name", f"{name}, {guard}", "--source.name", name, "--generate.when", "never",
            "--model.name", model, "--embed.max_tokens", MAX_TOKENS, "--select.strategies", ",".join(STRATEGIES),
            *(["--guard.none"] if guard == "no guard" else []),
        )  # fmt: skip
        run = _ask(folder, "SELECT max(run_id) AS run FROM run_summary")[0]["run"]
        flagged = _ask(folder, f"SELECT strategy, degenerate_share FROM strategy_summary WHERE run_id = {run}")
        degenerate = {row["strategy"]: row["degenerate_share"] for row in flagged}
        pairs = _ask(folder, PAIRS.format(run=run))
        of_strategy = {each: [row for row in pairs if row["strategy"] == each] for each in STRATEGIES}
        found[guard] = {each: _figures(of_strategy[each], votes) | {"flagged": degenerate[each]} for each in STRATEGIES}
    return found


def _figures(pairs: list[Row], votes: dict[frozenset[str], float]) -> Row:
    prompts = [row["prompt"] for row in pairs]
    lengths = [sorted((len(row["first_response"]), len(row["second_response"]))) for row in pairs]
    ratios = [short / max(long, 1) for short, long in lengths]
    voted = [(row["prompt"], votes[key]) for row in pairs if (key := _pair_key(row)) in votes]
    figures: Row = {
        "pairs": len(pairs),
        "similarity": prompt_mean([row["similarity"] for row in pairs], prompts),
        "length_ratio": prompt_mean(ratios, prompts),
        "voted": len(voted),
    }
    if voted:
        mean = share if max(votes.values()) <= 1 else prompt_mean
        figures["votes"] = mean([value for _, value in voted], [prompt for prompt, _ in voted])
    return figures


def _pair_key(row: Row) -> frozenset[str]:
    return _known_by(row["prompt"], row["first_response"], row["second_response"])


def _known_by(*texts: str) -> frozenset[str]:
    """The texts of a pair, without what an import trims."""
    return frozenset(text.strip() for text in texts)


def _antipode(folder: Path, *arguments: object) -> None:
    environment = os.environ | {"ANTIPODE_ARTIFACT_ROOT": str(folder / "root")}
    subprocess.run([sys.executable, "-m", "flows", *map(str, arguments)], check=True, env=environment, stdout=2)


def _ask(folder: Path, query: str) -> list[Row]:
    output = folder / "answer.jsonl"
    _antipode(folder, "sql", query, "--format", "jsonl", "--output", output)
    return [json.loads(line) for line in output.read_text().splitlines()]


def _table(name: str, found: Row) -> str:
    lines = [f"\n{name}, {found['prompts']} prompts", "| strategy | pairs | similarity | length | voted on | votes |"]
    lines += ["|---|--:|--:|--:|--:|--:|"]
    for strategy, row in found["guard"].items():
        votes = _shown(row["votes"]) if "votes" in row else ""
        lines.append(
            f"| `{strategy}` | {row['pairs']} | {_shown(row['similarity'])} | {_shown(row['length_ratio'])} "
            f"| {row['voted']} | {votes} |"
        )
    flagged = ", ".join(f"`{strategy}` {100 * row['flagged']:.0f} %" for strategy, row in found["no guard"].items())
    return "\n".join([*lines, "", f"Without the guard, pairs with a response that it flags: {flagged}."])


def _shown(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


if __name__ == "__main__":
    main()
