"""Do strategies save labels in a policy of a real model? DPO on pairs that people have graded, an arm a strategy.

    python -m bench.real_policy MODEL DATA --work FOLDER                   (MODEL: a folder or hub name, DATA: two sets)
    python -m bench.real_policy MODEL DATA --work FOLDER --limit-seconds 420         (stops in time; goes on when asked)

Needs `models/`, torch, transformers and scipy alone: no database, no orchestrator. Each strategy chooses one pair a
prompt, of those that people told apart, so that a tie costs none a label. All arms of a seed have the same prompts, and
all trainings the same start (the model fine-tuned on one preferred response of each training prompt), steps and
settings. The learning rate is `random`'s best on training prompts with a single pair, where nothing can be chosen.
Measured on all pairs of held-out prompts. Outcomes are kept in FOLDER, a line each; a second call does what is missing,
from a start made again, which on a GPU differs by rounding. Prints a table and writes bench/real_policy.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.graded_pairs import GradedPrompt, graded_prompts
from bench.graded_policies import PolicyBench, chosen_pairs
from models.intervals import Interval
from models.records import content_key
from models.studies.comparing import Compared, compared, crossed_mean
from models.studies.trials import Outcome, Trial

RESULTS = Path(__file__).with_suffix(".json")
BASELINE = "random"
FIGURES = ("accuracy", "like_length_accuracy", "margin", "perplexity", "longer_favoured")
RATE_SEEDS = (1_000, 1_001)


@dataclass(frozen=True, slots=True)
class Split:
    """The prompts that can be trained on, those the learning rate is chosen by, and those measured on."""

    train: list[GradedPrompt]
    tune: list[GradedPrompt]
    held_out: list[GradedPrompt]


def main() -> None:
    """Carry out the trials that are missing, print the table, write the results."""
    arguments = _arguments()
    began = time.monotonic()
    bench = PolicyBench(arguments.model, max_length=arguments.max_length, per_device=arguments.examples_per_device)
    split = split_prompts([bench.fitting(prompt) for prompt in graded_prompts(arguments.data)], arguments)
    if len(split.train) < max(arguments.budgets):
        raise SystemExit(f"{len(split.train)} prompts have pairs to choose from; give --budgets up to that")
    bench.fine_tune(_fine_tuning(split.train), epochs=arguments.epochs, learning_rate=arguments.fine_tuning_rate)
    bench.keep_start([*split.train, *split.tune, *split.held_out])
    kept = Kept(arguments.work / "outcomes.jsonl", _settings(arguments, split))
    rate = kept.rate or kept.add_rate(_best_rate(bench, split, arguments))
    for trial in _design(arguments):
        if trial.key not in kept.outcomes and time.monotonic() - began < arguments.limit_seconds:
            outcome = _carried_out(bench, split, trial, rate, arguments)
            print(f"{trial.words}: {outcome.figures['accuracy_mean']:.3f} in {outcome.seconds:.1f} s", flush=True)
            kept.add(outcome)
    missing = sum(trial.key not in kept.outcomes for trial in _design(arguments))
    if missing:
        raise SystemExit(f"{missing} trainings are left; the same command does them")
    results = _results(arguments, split, kept, bench, rate, time.monotonic() - began)
    arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results), flush=True)


def split_prompts(prompts: Sequence[GradedPrompt], arguments: argparse.Namespace) -> Split:
    """One split for all arms and seeds, by prompt; prompts of a single pair are no training prompts."""
    prompts = [prompt for prompt in prompts if prompt.pairs]
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    count = round(arguments.held_out_share * len(prompts))
    others = [prompts[place] for place in order[count:]]
    return Split(
        train=[prompt for prompt in others if len(prompt.pairs) > 1],
        tune=[prompt for prompt in others if len(prompt.pairs) == 1],
        held_out=[prompts[place] for place in order[:count]][: arguments.held_out_prompts],
    )


class Kept:
    """Outcomes in a file, a line each, under the settings that they came from."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        self.rate: float | None = None
        self.outcomes: dict[str, Outcome] = {}
        key = content_key(json.dumps(settings))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write({"settings": key})
        # A line that was cut off by a kill is done again.
        first, *lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        if first != {"settings": key}:
            raise SystemExit(f"{path} holds outcomes of other settings; name another folder by --work")
        for line in lines:
            if "rate" in line:
                self.rate = line["rate"]
            else:
                outcome = Outcome(Trial(**line["trial"]), line["figures"], line["seconds"])
                self.outcomes[outcome.trial.key] = outcome

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outcomes[outcome.trial.key] = outcome
        self._write({"trial": asdict(outcome.trial), "figures": outcome.figures, "seconds": outcome.seconds})

    def add_rate(self, rate: float) -> float:
        """Keep the learning rate that was chosen, and give it back."""
        self.rate = rate
        self._write({"rate": rate})
        return rate

    def _write(self, content: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")


def _fine_tuning(prompts: Sequence[GradedPrompt]) -> list[tuple[GradedPrompt, int]]:
    """Of each prompt the preferred response of one pair, drawn."""
    draw = random.Random(0)
    return [(prompt, draw.choice(prompt.pairs).chosen) for prompt in prompts]


def _design(arguments: argparse.Namespace) -> Iterator[Trial]:
    """Seeds one after the other, so that a call cut short leaves whole seeds."""
    for seed in range(arguments.seeds):
        for budget in arguments.budgets:
            for arm in arguments.strategies:
                yield Trial(arm, "people", budget, seed)


def _best_rate(bench: PolicyBench, split: Split, arguments: argparse.Namespace) -> float:
    """`random`'s best at the largest budget, by the mean log-sigmoid margin on the prompts to tune by."""
    if len(arguments.rates) == 1:
        return float(arguments.rates[0])
    losses = dict.fromkeys(arguments.rates, 0.0)
    for rate in arguments.rates:
        for seed in RATE_SEEDS:
            pairs = _drawn(bench, split, Trial(BASELINE, "people", max(arguments.budgets), seed))
            bench.train(pairs, learning_rate=rate, seed=seed, epochs=arguments.epochs, beta=arguments.beta)
            margins = np.array(bench.measured(split.tune, beta=arguments.beta)["margin"])
            losses[rate] += float(np.logaddexp(0.0, -margins).mean())
        print(f"learning rate {rate:g}: loss {losses[rate] / len(RATE_SEEDS):.4f} on prompts to tune by", flush=True)
    return float(min(losses, key=lambda rate: losses[rate]))


def _drawn(bench: PolicyBench, split: Split, trial: Trial) -> list[tuple[GradedPrompt, int]]:
    """The trial's prompts, in the order of its seed, each with the position of the pair that its strategy chose."""
    order = random.Random(trial.seed).sample(range(len(split.train)), trial.budget)
    prompts = [split.train[place] for place in order]
    return list(zip(prompts, chosen_pairs(prompts, bench.embedded, trial.arm, seed=trial.seed), strict=True))


def _carried_out(bench: PolicyBench, split: Split, trial: Trial, rate: float, arguments: argparse.Namespace) -> Outcome:
    began = time.monotonic()
    pairs = _drawn(bench, split, trial)
    bench.train(pairs, learning_rate=rate, seed=trial.seed, epochs=arguments.epochs, beta=arguments.beta)
    figures = bench.measured(split.held_out, beta=arguments.beta) | bench.described(pairs)
    figures["accuracy_mean"] = float(np.nanmean(np.array(figures["accuracy"], dtype=float)))
    return Outcome(trial, figures, time.monotonic() - began)


def _results(
    arguments: argparse.Namespace, split: Split, kept: Kept, bench: PolicyBench, rate: float, seconds: float
) -> dict[str, Any]:
    outcomes = kept.outcomes.values()
    values = {
        (figure, arm, budget): _values(outcomes, figure, arm, budget)
        for figure in FIGURES
        for arm in arguments.strategies
        for budget in arguments.budgets
    }
    arms = [(arm, budget) for arm in arguments.strategies for budget in arguments.budgets if arm != BASELINE]
    differences = {
        figure: compared({(a, b): (values[figure, a, b], values[figure, BASELINE, b]) for a, b in arms})
        for figure in FIGURES
        if figure != "perplexity"
    }
    start = bench.measured(split.held_out, beta=arguments.beta, is_start=True)
    return _settings(arguments, split) | {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "learning_rate": rate,
        "seconds": round(seconds),
        "training_seconds": round(float(np.mean([outcome.seconds for outcome in outcomes])), 2),
        "start_perplexity": start["perplexity"],
        "longer_is_preferred": crossed_mean([start["longer_preferred"]]).value,
        "pairs_held_out": sum(len(prompt.pairs) for prompt in split.held_out),
        "comparisons_corrected_for": len(arms),
        "arms": [
            {"arm": arm, "budget": budget}
            | {figure: crossed_mean(values[figure, arm, budget]) for figure in FIGURES if figure != "perplexity"}
            | {
                "perplexity": float(np.mean(values["perplexity", arm, budget])),
                "similarity": _mean(outcomes, "similarity", arm, budget),
                "length_ratio": _mean(outcomes, "length_ratio", arm, budget),
            }
            | {
                f"{figure}_over_random": _shown_difference(differences[figure][arm, budget])
                for figure in differences
                if arm != BASELINE
            }
            for arm in arguments.strategies
            for budget in arguments.budgets
        ],
    }


def _shown_difference(found: Compared) -> dict[str, Any]:
    return {"interval": found.interval, "corrected": found.corrected, "corrected_p": found.corrected_p}


def _values(outcomes: Any, figure: str, arm: str, budget: int) -> np.ndarray[Any, Any]:
    """(seeds, prompts), NaN where a prompt has no such pair."""
    chosen = sorted((o for o in outcomes if (o.trial.arm, o.trial.budget) == (arm, budget)), key=lambda o: o.trial.seed)
    return np.array([np.atleast_1d(outcome.figures[figure]) for outcome in chosen], dtype=float)


def _mean(outcomes: Any, figure: str, arm: str, budget: int) -> float:
    return float(_values(outcomes, figure, arm, budget).mean())


def _settings(arguments: argparse.Namespace, split: Split) -> dict[str, Any]:
    """What decides the outcomes."""
    return {
        "model": Path(arguments.model).name,
        "strategies": list(arguments.strategies),
        "budgets": list(arguments.budgets),
        "seeds": arguments.seeds,
        "beta": arguments.beta,
        "epochs": arguments.epochs,
        "max_length": arguments.max_length,
        "rates": list(arguments.rates),
        "fine_tuning_rate": arguments.fine_tuning_rate,
        "prompts": {name: len(getattr(split, name)) for name in ("train", "tune", "held_out")},
    }


def table(results: dict[str, Any]) -> str:
    """The figures as Markdown: accuracy, its difference to random (corrected interval), and the same at like length."""
    lines = ["| strategy | labels | accuracy | over random | at like length | over random | perplexity |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    for row in results["arms"]:
        over = [
            _shown(Interval(*row[name]["corrected"]), "+.3f") if name in row else ""
            for name in ("accuracy_over_random", "like_length_accuracy_over_random")
        ]
        accuracy, like = (_shown(Interval(*row[name]), ".3f") for name in ("accuracy", "like_length_accuracy"))
        perplexity = f"{row['perplexity']:.2f}"
        cells = [f"`{row['arm']}`", str(row["budget"]), accuracy, over[0], like, over[1], perplexity]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--strategies", type=_names, default="random,easy,longest_gap,closest_lengths_easy,hard")
    parser.add_argument("--budgets", type=_numbers, default="50,100,150")
    parser.add_argument("--rates", type=_rates, default="5e-6,2e-5,6e-5")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--fine-tuning-rate", type=float, default=2e-5)
    parser.add_argument("--max-length", type=int, default=768)
    parser.add_argument("--examples-per-device", type=int, default=16)
    parser.add_argument("--held-out-share", type=float, default=0.3)
    parser.add_argument("--held-out-prompts", type=int, default=None)
    parser.add_argument("--limit-seconds", type=float, default=float("inf"))
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


if __name__ == "__main__":
    main()
