"""docs/strategies.md and docs/how-to/strategy.md against the code: names, parameters, examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from models.selection import SHIPPED, load_strategies, select_several
from models.selection.asking import ASKED

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "strategies.md").read_text("utf-8")
EXAMPLES = {
    "docs": (re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], ("middling", "unsure")),
    "how-to": (
        re.search(r"```python\n(def .*?)```", (ROOT / "docs" / "how-to" / "strategy.md").read_text("utf-8"), re.DOTALL)[
            1
        ],
        ("middling",),
    ),
}


def first_cells(after):
    table = PAGE.split(after)[1].split("\n\n")[1]
    return re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:]))


def test_every_strategy_and_every_parameter_is_told():
    assert first_cells("counts for both.") == list(SHIPPED)
    assert first_cells("names of its parameters:") == list(ASKED)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("where", EXAMPLES)
def test_the_example_runs_as_it_stands(where, tmp_path):
    code, names = EXAMPLES[where]
    (tmp_path / "mine.py").write_text(code)
    rules = load_strategies(names, [tmp_path / "mine.py"])
    embeddings = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    offsets = np.array([0, 5, 12])

    def margins(vectors):
        means = vectors[..., 0][..., :, None] - vectors[..., 0][..., None, :]
        return means, np.abs(means) + 0.1

    for given in (None, margins):
        selection = select_several(embeddings, offsets, strategies=tuple(rules.values()), seed=0, head=given)
        assert set(selection.turns) == set(names)
