"""Prompts whose better response can be told by its words, curated and in part labelled."""

from __future__ import annotations

from curation_steps import configured, curate
from labelling_steps import OWN, own_row, pair_keys
from stored_labels import ANNA, judge
from stored_rows import add

COUNT = 40


def curate_loaves(sessions, count=COUNT):
    """A pair each: rye and wheat, of which one is good and one is bad, and those that are neither; the run's id."""
    add(sessions, *(own_row(n, f"good rye bread {n} {n * 7}", f"bad wheat cake {n} {n * 3}") for n in range(count)))
    return curate(configured(**OWN))


def label_first(sessions, run_id, count, verdict="first", who=ANNA):
    """Anna's verdict on the run's first pairs: the good bread is always the first response."""
    for pair in pair_keys(sessions, run_id)[:count]:
        judge(sessions, who, pair, verdict)
