"""The batch files are what vLLM's own command reads, offline; its results are read as a server's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.chat.batch_records import BatchLine
from models.chat.batches import file_line
from models.chat.form import RequestForm
from models.chat.reader import read_answer
from models.records import Message

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_vllm_answers_a_batch_file(demo_model: Path, tmp_path: Path) -> None:
    form = RequestForm(token_limit="max_completion_tokens")
    lines = []
    for word in ("bread", "rye"):
        body = form.body(
            (Message("user", word),), model="tiny", temperature=1.0, max_tokens=8, seed=3, fields={"top_p": 1.0}
        )
        lines.append(BatchLine(word, body, 0.0))
    (tmp_path / "in.jsonl").write_bytes(b"".join(map(file_line, lines)))
    command = [sys.executable, "-m", "vllm.entrypoints.openai.run_batch", "-i", str(tmp_path / "in.jsonl")]
    command += ["-o", str(tmp_path / "out.jsonl"), "--model", str(demo_model), "--served-model-name", "tiny"]
    command += ["--dtype", "float32", "--enforce-eager"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = {one["custom_id"]: one for one in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())}
    assert set(results) == {"bread", "rye"}
    for result in results.values():
        assert result["error"] is None
        response = result["response"]
        body = json.dumps(response["body"]).encode()
        reply = read_answer(response["status_code"], body, model="tiny", clean=str)
        assert reply.output_tokens is not None and 0 < reply.output_tokens <= 8
