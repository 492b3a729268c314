"""Tasks of lm-eval made on the spot: three questions, each with two answers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HAS_LM_EVAL = importlib.util.find_spec("lm_eval") is not None
needs_lm_eval = pytest.mark.skipif(not HAS_LM_EVAL, reason="lm-eval is not installed (extra lm-eval)")
ROWS = [
    {"question": "rye or", "choices": ["wheat", "oat"], "answer": 0},
    {"question": "oat and", "choices": ["rye", "wheat"], "answer": 1},
    {"question": "wheat or", "choices": ["rye", "oat"], "answer": 1},
]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}, train: {data}}}
output_type: multiple_choice
test_split: test
fewshot_split: train
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
doc_to_choice: choices
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def write_tasks(folder: Path, *names: str) -> str:
    """A folder with tasks of the same questions under these names; its path as lm-eval takes it."""
    folder.mkdir()
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in names:
        (folder / f"{name}.yaml").write_text(TASK.format(data=data, name=name))
    return str(folder)
