"""How often one look passes the gate, exactly: by the plain 95 % interval, by the gate's levels, by averaged e-values.

    python -m bench.gate          # a minute of one core; writes bench/gate.json

130 prompts, 18 % ties, one comparison a prompt: the decided ones are binomial. The e-value is that of a uniform prior
on chances above one half, with the same weights 1 / (k (k + 1)) over the looks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

from scipy.special import betainc, betaln
from scipy.stats import binom

from models.evaluation.gate import ALPHA, Look, judged, level_of
from models.intervals import share

PROMPTS, TIES = 130, 0.18
RATES, LOOKS = (0.50, 0.55, 0.60, 0.65), (1, 5, 10, 20)
NEGLIGIBLE = 1e-9

Passes = Callable[[int, int, int], bool]


@cache
def look_of(number: int, wins: int, losses: int) -> Look:
    """Look `number`, with this outcome."""
    scores = [1.0] * wins + [0.0] * losses + [0.5] * (PROMPTS - wins - losses)
    return judged(number, share(scores, range(PROMPTS)), PROMPTS)


def by_plain_interval(_number: int, wins: int, losses: int) -> bool:
    """The rule before: the 95 % interval, whichever look it is."""
    return look_of(1, wins, losses).is_better


def by_gate(number: int, wins: int, losses: int) -> bool:
    """The rule now."""
    return look_of(number, wins, losses).is_better


def by_averaged_e_values(number: int, wins: int, losses: int) -> bool:
    """Whether this look's e-value alone, with its weight, is 1 / α."""
    above_half = max(1 - float(betainc(wins + 1, losses + 1, 0.5)), 1e-300)
    log_e = (wins + losses + 1) * math.log(2) + float(betaln(wins + 1, losses + 1)) + math.log(above_half)
    return log_e >= -math.log(level_of(number))


def chance(passes: Passes, number: int, rate: float) -> float:
    """The chance that a policy of this true win rate passes look `number`."""
    wins_if_decided = (rate - TIES / 2) / (1 - TIES)
    total = 0.0
    for decided in range(PROMPTS + 1):
        weight = float(binom.pmf(decided, PROMPTS, 1 - TIES))
        if weight > NEGLIGIBLE:
            passed = [wins for wins in range(decided + 1) if passes(number, wins, decided - wins)]
            total += weight * float(binom.pmf(passed, decided, wins_if_decided).sum())
    return total


def main() -> None:
    """Print the table, write the file."""
    rules: dict[str, Passes] = {
        "plain 95 % interval": by_plain_interval,
        "this gate": by_gate,
        "averaged e-values": by_averaged_e_values,
    }
    results: dict[str, dict[str, list[float]]] = {}
    print("true win rate  rule                 " + "".join(f"  look {number:<3}" for number in LOOKS))
    for rate in RATES:
        results[f"{rate:.2f}"] = {}
        for name, passes in rules.items():
            chances = [chance(passes, number, rate) for number in LOOKS]
            results[f"{rate:.2f}"][name] = chances
            print(f"{rate:<13.2f}  {name:<21}" + "".join(f"{one:>10.4f}" for one in chances))
    report = {"prompts": PROMPTS, "ties": TIES, "alpha": ALPHA, "looks": LOOKS, "results": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
