"""Labelling through its steps, without Prefect."""

from __future__ import annotations

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
