#!/usr/bin/env bash
# Two on-policy rounds: what a policy says is labelled, the labels train the next one, which samples the next round.
#
#   bash examples/rounds.sh [PROMPTS]
#
# The model is the demo's, and its world's truth labels, so that nothing is downloaded and nobody is asked. Everything
# is left in the folder example-rounds-PROMPTS; given again, the script makes nothing twice. docs/examples/rounds.md
# goes through it.
set -euo pipefail
trap 'echo "rounds.sh stopped at line $LINENO; what is stored stays, and the same command goes on from there" >&2' ERR

prompts=${1:-96} # 48 to 500: fewer were not tried
PATH="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin:$PATH"
mkdir -p "example-rounds-$prompts"
cd "example-rounds-$prompts"

what_is_stored() {
    echo "== What is stored"
    antipode policies
    antipode sql "SELECT run, kind, status, device_seconds FROM run_summary ORDER BY run_id"
    echo "Done. $PWD holds .antipode/antipode.db and the reports in .antipode/reports."
    echo "Next: the same every night: antipode up --nightly SOURCE --model NAME"
}

if [[ -e ended ]]; then # "promoted" is another policy by now, and would begin a third round
    echo "== Both rounds are there already"
    what_is_stored
    exit
fi

echo "== $prompts questions to train on, 130 others to compare on"
python - "$prompts" <<'END'
import json
import sys
from pathlib import Path

from models.demo.corpus import demo_prompts

for name, prompts in (("train", demo_prompts("train")[: int(sys.argv[1])]), ("test", demo_prompts("test"))):
    Path(f"{name}.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
END
antipode import train.jsonl --name questions
antipode import test.jsonl --name held-out --split test

echo "== Round 1: the model as it is answers; its pairs are labelled"
antipode curate --name round-1 --source.name questions --model.name demo --generate.backend transformers \
    --generate.responses_per_prompt 4 --generate.max_tokens 96 --select.strategies easy,random
antipode label --name round-1-labels --pairs.run round-1 --annotator rubric --rubric.temperature 0

echo "== It is trained on them (policy 1) and compared with what it was"
antipode align --name round-1-policy --data.run round-1 --model.name demo --sft.epochs 0 --train.method dpo \
    --train.max_length 256 --train.examples_per_device 32 --train.learning_rate 5e-4 --train.epochs 4 \
    --evaluate.annotator rubric --evaluate.source.name held-out --evaluate.responses_per_prompt 2 \
    --evaluate.max_tokens 96 --evaluate.backend transformers --no-evaluate.has_drift

echo "== The gate: it is put into use only if it is better by more than noise"
antipode promote 1

echo "== Round 2: the policy in use answers the same questions"
antipode curate --name round-2 --source.name questions --model.name promoted --generate.backend transformers \
    --generate.responses_per_prompt 4 --generate.max_tokens 96 --select.strategies easy,random
antipode label --name round-2-labels --pairs.run round-2 --annotator rubric --rubric.temperature 0

echo "== It is trained further (policy 2) and compared with the one in use"
antipode align --name round-2-policy --data.run round-2 --model.name promoted --sft.epochs 0 --train.method dpo \
    --train.max_length 256 --train.examples_per_device 32 --train.learning_rate 5e-4 --train.epochs 4 \
    --evaluate.annotator rubric --evaluate.source.name held-out --evaluate.responses_per_prompt 2 \
    --evaluate.max_tokens 96 --evaluate.backend transformers --no-evaluate.has_drift

echo "== The gate again; if this step cannot be told from noise, policy 1 stays"
antipode promote 2 || echo "policy 1 stays in use: more prompts, or more labels, before the next try"

touch ended
what_is_stored
