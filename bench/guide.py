"""LD-Align section 5.2 in the demo world: is the response that lies farther from the golden one the worse one?

    antipode demo && python -m bench.guide      # some minutes on one core; prints a table, writes bench/guide.json

For every prompt that the demo trains on: its golden (chosen) response and two samples of the fine-tuned model, judged
by the true utility. Read-out and conditioning are what the paper leaves open. `own` and `other`: the decoder's loss in
nats a token on held-out golden responses, with a text's own h and with other texts'; equal numbers mean that h is not
used. `length`: Spearman's ρ of distance and difference in length.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

import numpy as np

from models.demo.parser import utility
from models.guide import GuideText
from models.guide.checks import latent_use, length_correlation
from models.guide.distances import distance_weights, farther_is_worse, latent_distances
from models.guide.training import Guide, train_guide
from models.number_format import fast_format
from models.records import StoredPrompt
from tasks.alignment.data import alignment_at_work
from tasks.alignment.guides import guide_settings_of
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.samples import policy_samples
from tasks.alignment.training import fine_tune
from tasks.config.curation import GenerateConfig
from tasks.config.rounds import GuideConfig, LdAlignConfig
from tasks.named_models import NamedModel
from tasks.run_kinds import ALIGNMENT_IN_ROUNDS

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


class World(NamedTuple):
    """Golden responses, two samples for each by the fine-tuned model, held-out ones; whose tokenizer the guide has."""

    golden: list[GuideText]
    first: list[GuideText]
    second: list[GuideText]
    held_out: list[GuideText]
    base: NamedModel


def world() -> World:
    """What the guide is trained on and looked at with."""
    run_id = open_ld_align_run.fn(LdAlignConfig.model_validate(RUN))
    start_id = fine_tune.fn(run_id)
    with alignment_at_work(run_id, ALIGNMENT_IN_ROUNDS.load_config) as run:
        assert run.data.golden is not None
        golden = {sample.prompt_id: sample for sample in run.data.golden.train}
        prompts = [StoredPrompt(sample.prompt_id, sample.prompt) for sample in golden.values()]
        samples = policy_samples(run, run.model(start_id), prompts, GENERATE)
        base, held_out = run.base, [GuideText(one.prompt, one.text) for one in run.data.golden.held_out]
    first, second = ([sample for sample in samples if sample.sample_index == index] for index in (0, 1))
    chosen = [golden[sample.prompt_id] for sample in first]
    rows = [
        [GuideText(sample.prompt, sample.text, sample.is_cut) for sample in part] for part in (chosen, first, second)
    ]
    return World(rows[0], rows[1], rows[2], held_out, base)


def utilities(rows: list[GuideText]) -> list[float]:
    """The true utility of each response in the demo world."""
    return [utility(row.prompt.text, row.response) for row in rows]


def measure(read_out: Any, conditioning: Any, epochs: float, rows: World, folder: Path) -> dict[str, Any]:
    """Train one guide and measure it."""
    golden, first, second, held_out, base = rows
    config = GuideConfig(base="scratch", read_out=read_out, conditioning=conditioning, epochs=epochs)
    settings = replace(guide_settings_of(config, base, dtype=fast_format().dtype, seed=0), max_length=256)
    trained = train_guide(golden + first, settings, folder, on_step=lambda _done, _total: None)
    guide = Guide(trained.folder)
    latent = [guide.encode(part) for part in (golden, first, second)]
    near, far = latent_distances(latent[0], latent[1]), latent_distances(latent[0], latent[2])
    prompts = [row.prompt.key for row in golden]
    farther = farther_is_worse((near, far), (utilities(first), utilities(second)), prompts)
    use = latent_use(held_out, guide.encode(held_out), guide.reconstruction_nats)
    return {
        "read_out": read_out,
        "conditioning": conditioning,
        "epochs": epochs,
        "seconds": trained.seconds,
        "own": use.own_loss,
        "other": use.other_loss,
        "gain": use.gain,
        "length": length_correlation(near, [one.response for one in golden], [one.response for one in first]),
        "share": farther.rate,
        "compared": farther.count,
        "ties": farther.tie_count,
        "correlation_with_utility": float(np.corrcoef(near, utilities(first))[0, 1]),
        "weights_5_25_50_75_95": np.quantile(distance_weights(near), (0.05, 0.25, 0.5, 0.75, 0.95)).round(2).tolist(),
    }


def main() -> None:
    """Measure every variant, print the table, write the file."""
    rows = world()
    results = []
    print("read-out  conditioning  own/other nats  length  farther is worse    n    weights at 5, 25, 50, 75, 95 %")
    with tempfile.TemporaryDirectory() as scratch:
        for number, variant in enumerate(VARIANTS):
            print(*variant, file=sys.stderr)
            result = measure(*variant, rows, Path(scratch) / str(number))
            results.append(result)
            value, low, high = result["share"]
            weights = result["weights_5_25_50_75_95"]
            print(
                f"{result['read_out']:<9} {result['conditioning']:<13} {result['own']:.2f} / {result['other']:.2f}"
                f"  {result['length']:.2f}    {value:.3f} [{low:.3f}, {high:.3f}]  {result['compared']:>4}  {weights}"
            )
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "prompts": len(rows.golden),
        "results": results,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
