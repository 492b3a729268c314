"""How many pairs of sources the guard leaves out, against looking at every pair."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sqlalchemy import select
from stored_rows import add, all_prompt_ids, open_run, row

from db.findings.guard_flags import GuardFlag, add_flags, left_out_source_pairs
from db.responses import add_candidates
from db.schema import curation
from models.guard import Finding
from models.records import ImportedPair


@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_sources_that_are_left_out_are_counted_as_one_by_one(sessions, seed):
    rng = random.Random(seed)

    def made(number):
        texts = [rng.choice("abcdef") + f" of {number}" for _ in range(6)]
        positions = sorted({tuple(rng.sample(range(6), 2)) for _ in range(rng.randrange(5))})
        return replace(row(number, f"Prompt {number}?", *texts), pairs=tuple(ImportedPair(*two) for two in positions))

    add(sessions, *map(made, range(1, 30)))
    run_id = open_run(sessions, all_prompt_ids(sessions)[:20])
    with sessions.begin() as session:
        assert left_out_source_pairs(session, run_id) == 0
        add_candidates(session, run_id, all_prompt_ids(sessions)[:20], sample_counts={})
        rows = session.scalars(select(curation.Candidate)).all()
        flagged = [one for one in rows if one.duplicate_of_id is None and rng.random() < 0.3]
        add_flags(session, run_id, [
            GuardFlag(one.response_id, one.prompt_id, Finding("empty", 0.0), rng.random() < 0.7) for one in flagged
        ])  # fmt: skip
        out = set(session.scalars(select(curation.GuardFlag.response_id).where(curation.GuardFlag.is_left_out)))
        text_of = {one.response_id: one.duplicate_of_id or one.response_id for one in rows}
        both = {(one.first_response_id, one.second_response_id) for one in session.scalars(select(curation.SourcePair))}
        texts = [(text_of[first], text_of[second]) for first, second in both if {first, second} <= text_of.keys()]
        slow = sum(first != second and bool({first, second} & out) for first, second in texts)
        assert left_out_source_pairs(session, run_id) == slow > 0
