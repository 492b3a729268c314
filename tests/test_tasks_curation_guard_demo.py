"""Degenerate replies among responses of the demo world: the guard leaves them out, and few of the ordinary ones."""

from __future__ import annotations

from collections import Counter

import pytest
from curation_steps import configured, curate
from planted_replies import planted_rows
from sqlalchemy import text
from stored_rows import add
from surroundings import on_sqlite

PROMPTS = 180
DEMO = {"model": {"name": "demo"}, "embed": {"backend": "transformers"}}


def left_out(sessions, run_id):
    with sessions() as session:
        rows = session.execute(
            text("SELECT DISTINCT prompt, response FROM left_out_candidates WHERE run_id = :run"), {"run": run_id}
        )
        return set(rows.tuples())


@on_sqlite
@pytest.mark.parametrize("embedder", [DEMO, {"embed": {"backend": "hashed"}}], ids=["demo", "hashed"])
def test_planted_replies_are_left_out_and_few_ordinary_ones(settings, sessions, embedder):
    rows, planted = planted_rows(PROMPTS)
    add(sessions, *rows)
    run_id = curate(configured(generate={"when": "never"}, select={"strategies": ["easy"]}, **embedder))
    out = left_out(sessions, run_id)
    every = {(row.prompt.text, one.text) for row in rows for one in row.responses}
    by_kind = Counter(planted.values())
    found = Counter(planted[key] for key in planted if key in out)
    ordinary = every - planted.keys()
    assert all(found[kind] >= 0.9 * count for kind, count in by_kind.items()), found
    assert len(ordinary & out) <= 0.05 * len(ordinary)
    with sessions() as session:
        chosen = session.execute(text("SELECT prompt, first_response, second_response FROM selected_pairs")).all()
    assert len(chosen) == PROMPTS
    paired = {(prompt, response) for prompt, *both in chosen for response in both}
    assert not paired & out
