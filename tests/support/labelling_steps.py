"""Labelling through its steps, without Prefect."""

from __future__ import annotations

import json

from curation_steps import configured, curate
from stored_rows import add

from db.labels import labelling
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.config.labels import LabelConfig
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run
from tasks.runs import recorded

OWN = {"generate": {"when": "never"}}


def own_row(number, *texts, **fields):
    responses = tuple(ImportedResponse(text, **fields) for text in texts)
    return ImportedRow(number, Prompt.from_text(f"prompt {number}"), responses)


def label(**config):
    run_id = open_label_run.fn(LabelConfig.model_validate(config))
    with recorded(run_id):
        judge_pairs.fn(run_id)
    return run_id


def curate_breads(sessions):
    """Six prompts with two responses each, curated: a pair each; the run's id."""
    add(sessions, *(own_row(number, f"rye bread {number}", f"wheat {number}") for number in range(1, 7)))
    return curate(configured(**OWN))


def judge_config(server, **changes):
    section = {"base_url": server.url, "model": "tiny", "max_retries": 0, "parse_retries": 0}
    return {"annotator": "judge", "judge": section | changes, "pairs_per_shard": 2}


def pair_keys(sessions, run_id):
    with sessions() as session:
        return labelling.pair_keys(session, run_id)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_labels(path, sessions, run_id, verdicts):
    """Everybody's verdict on every pair of the run."""
    rows = [
        {"left_response_id": pair[0], "right_response_id": pair[1], "annotator": name, "verdict": verdict}
        for pair in pair_keys(sessions, run_id)
        for name, verdict in verdicts.items()
    ]
    write_lines(path, rows)
