"""A curated run whose responses have scores that their words tell, for studies of labels."""

from __future__ import annotations

from curation_steps import configured, curate
from labelling_steps import OWN
from stored_rows import add

from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.run_kinds import STUDY, run_at_work
from tasks.studies.running import carry_out_trials, open_study

SCORES = {"sour rye": 4.0, "spelt": 3.0, "oats": 2.0, "white wheat": 1.0}


def curate_scored(sessions, count=60, *, has_scores=True):
    """`count` prompts with four responses each, whose first words decide the score; lengths say nothing of it."""
    rows = []
    for n in range(count):
        texts = [f"{grain} bread {n}{' and butter' * ((n + at * at) % 3)}" for at, grain in enumerate(SCORES)]
        scores = SCORES.values() if has_scores else [None] * len(texts)
        responses = tuple(ImportedResponse(text, score=score) for text, score in zip(texts, scores, strict=True))
        rows.append(ImportedRow(n, Prompt.from_text(f"prompt {n}"), responses))
    add(sessions, *rows)
    return curate(configured(**OWN, select={"strategies": ["random"], "pairs_per_prompt": 6}))


def carried_out(config):
    """Open a study and carry it out; the run's id."""
    run_id = open_study.fn(config)
    carry_out_trials.fn(run_id)
    return run_id


def at_work(run_id):
    return run_at_work(run_id, STUDY)
