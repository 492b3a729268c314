"""LD-Align section 5.2 in the demo world: is the response that lies farther from the golden one the worse one?

    antipode demo && python -m bench.guide      # some minutes on one core; prints a table, writes bench/guide.json

For every prompt that the demo trains on: its golden (chosen) response and two samples of the fine-tuned model, judged
by the true utility. Read-out and conditioning are what the paper leaves open. `own` and `other`: the decoder's loss in
nats a token with a text's own h and with another text's; equal numbers mean that h is not used.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

import numpy as np
import torch

from models.demo.parser import utility
from models.guide import GuideText
from models.guide.distances import distance_weights, farther_is_worse, latent_distances
from models.guide.training import Guide, train_guide
from models.number_format import fast_format
from models.records import StoredPrompt
from tasks.alignment.data import alignment_at_work
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.rounds import guide_settings_of
from tasks.alignment.samples import policy_samples
from tasks.alignment.training import fine_tune
from tasks.config.curation import GenerateConfig
from tasks.config.rounds import GuideConfig, LdAlignConfig
from tasks.run_kinds import ALIGNMENT_IN_ROUNDS

LOSS_TEXTS = 64  # texts on which the two losses are measured
VARIANTS = [
    (read_out, conditioning, 10.0) for conditioning in ("every_token", "prefix") for read_out in ("last", "mean")
]
RUN = {
    "name": "guide",
    "data": {"run": "demo"},
    "sft": {"epochs": 1.0, "learning_rate": 1e-4},
    "rounds": {"examples_per_device": 32, "max_length": 256},
}
GENERATE = GenerateConfig(when="always", backend="transformers", responses_per_prompt=2, temperature=1.0, max_tokens=96)


def texts() -> tuple[list[GuideText], list[GuideText], list[GuideText], Any]:
    """Golden responses, two samples each by the fine-tuned model, and the model the guide's tokenizer is of."""
    run_id = open_ld_align_run.fn(LdAlignConfig.model_validate(RUN))
    start_id = fine_tune.fn(run_id)
    with alignment_at_work(run_id, ALIGNMENT_IN_ROUNDS.load_config) as run:
        assert run.data.golden is not None
        golden = {sample.prompt_id: sample for sample in run.data.golden.train}
        prompts = [StoredPrompt(sample.prompt_id, sample.prompt) for sample in golden.values()]
        samples = policy_samples(run, run.model(start_id), prompts, GENERATE)
        base = run.base
    first, second = ([sample for sample in samples if sample.sample_index == index] for index in (0, 1))
    chosen = [golden[sample.prompt_id] for sample in first]
    rows = [
        [GuideText(sample.prompt, sample.text, sample.is_cut) for sample in part] for part in (chosen, first, second)
    ]
    return rows[0], rows[1], rows[2], base


def utilities(rows: list[GuideText]) -> list[float]:
    """The true utility of each response in the demo world."""
    return [utility(row.prompt.text, row.response) for row in rows]


def measure(read_out: Any, conditioning: Any, epochs: float, rows: Any, folder: Path) -> dict[str, Any]:
    """Train one guide and measure it."""
    golden, first, second, base = rows
    config = GuideConfig(read_out=read_out, conditioning=conditioning, epochs=epochs)
    settings = replace(guide_settings_of(config, base, dtype=fast_format().dtype, seed=0), max_length=256)
    trained = train_guide(golden + first, settings, folder, on_step=lambda _done, _total: None)
    guide = Guide(trained.folder)
    latent = [guide.encode(part) for part in (golden, first, second)]
    near, far = latent_distances(latent[0], latent[1]), latent_distances(latent[0], latent[2])
    share = farther_is_worse(near, far, utilities(first), utilities(second))
    batch = guide.batch(golden[:LOSS_TEXTS])
    with torch.no_grad():
        h = guide.network.encode(batch)
        losses = [float(guide.network.reconstruction_loss(batch, vectors)) for vectors in (h, h.roll(1, 0))]
    return {
        "read_out": read_out,
        "conditioning": conditioning,
        "epochs": epochs,
        "seconds": trained.seconds,
        "own": losses[0],
        "other": losses[1],
        "share": [share.value, share.low, share.high],
        "compared": share.count,
        "ties": share.tie_count,
        "correlation_with_utility": float(np.corrcoef(near, utilities(first))[0, 1]),
        "weights_5_25_50_75_95": np.quantile(distance_weights(near), (0.05, 0.25, 0.5, 0.75, 0.95)).round(2).tolist(),
    }


def main() -> None:
    """Measure every variant, print the table, write the file."""
    rows = texts()
    results = []
    print("read-out  conditioning  own/other nats   farther is worse    n    weights at 5, 25, 50, 75, 95 %")
    with tempfile.TemporaryDirectory() as scratch:
        for number, variant in enumerate(VARIANTS):
            print(*variant, file=sys.stderr)
            result = measure(*variant, rows, Path(scratch) / str(number))
            results.append(result)
            value, low, high = result["share"]
            print(
                f"{result['read_out']:<9} {result['conditioning']:<13} {result['own']:.2f} / {result['other']:.2f}"
                f"     {value:.3f} [{low:.3f}, {high:.3f}]  {result['compared']:>4}  {result['weights_5_25_50_75_95']}"
            )
    report = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "prompts": len(rows[0]), "results": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
