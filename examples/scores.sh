#!/usr/bin/env bash
# A data set with scored completions, as in UltraFeedback, becomes labelled pairs, a file for a trainer and a policy.
#
#   bash examples/scores.sh [PROMPTS]
#
# The rows are made here, about the demo world, so that nothing is downloaded. Everything is left in the folder
# example-scores-PROMPTS; given again, the script makes nothing twice. docs/examples/scores.md goes through it.
set -euo pipefail
trap 'echo "scores.sh stopped at line $LINENO; what is stored stays, and the same command goes on from there" >&2' ERR

prompts=${1:-96} # 10 to 500
PATH="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin:$PATH"
mkdir -p "example-scores-$prompts"
cd "example-scores-$prompts"

echo "== $prompts rows as UltraFeedback has them: an instruction, four completions, a score from 1 to 10 for each"
python - "$prompts" <<'END'
import json
import sys
from pathlib import Path

from models.demo.corpus import demo_prompts, training_dialogues
from models.demo.parser import utility  # the truth of the demo world, 0 to 10


def write_rows(name: str, completions: dict[str, list[str]]) -> None:
    rows = [
        {"instruction": prompt, "completions": [scored(prompt, text) for text in texts]}
        for prompt, texts in completions.items()
    ]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def scored(prompt: str, text: str) -> dict[str, object]:
    return {"response": text, "overall_score": round(1 + 0.9 * utility(prompt, text), 1)}


train = demo_prompts("train")
found: dict[str, list[str]] = {}
for *_, asked, answered in training_dialogues(4 * len(train), seed=0):
    found.setdefault(asked.content, []).append(answered.content)
write_rows("scored.jsonl", {prompt: found[prompt] for prompt in train[: int(sys.argv[1])]})
held_out = [json.dumps({"prompt": prompt}) + "\n" for prompt in demo_prompts("test")]
Path("held-out.jsonl").write_text("".join(held_out[:64]))
END

echo "== Import both files; the shape of the rows is recognised"
antipode import scored.jsonl --name scored
antipode import held-out.jsonl --name held-out --split test

echo "== Choose a pair a prompt among the completions that are there: nothing is sampled"
antipode curate --name scores --source.name scored --model.name demo --generate.when never \
    --select.strategies easy,random

echo "== Label each pair by its scores: the better one has at least 1.2 times the other's, else the pair stays open"
antipode label --name by-score --pairs.run scores --annotator scores --scores.min_ratio 1.2

echo "== What the labels are like, and the file for a trainer"
antipode quality --run scores
antipode export preferences.jsonl --run scores

echo "== Fine-tune on the chosen completions (policy 1), then DPO on the pairs (policy 2)"
antipode align --name scores --data.run scores --model.name demo --train.method dpo --train.max_length 256 \
    --train.examples_per_device 32 --sft.learning_rate 1e-4 --train.learning_rate 3e-4 \
    --evaluate.backend transformers --evaluate.max_tokens 96 --no-evaluate.has_drift

echo "== Both answer 64 other questions; the demo world's truth says who is better"
antipode evaluate 2 --against policy:1 --evaluate.source.name held-out --evaluate.annotator rubric \
    --evaluate.backend transformers --evaluate.max_tokens 96

echo "== What is stored"
antipode sql "SELECT strategy, outcome, COUNT(*) AS pairs FROM labelled_pairs WHERE run_id = 1 GROUP BY 1, 2"
echo "Done. $PWD holds preferences.jsonl, .antipode/antipode.db and the reports in .antipode/reports."
echo "Next: the same with a file of your own: antipode import FILE --preview, and your own model for --model.name"
