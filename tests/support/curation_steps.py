"""Curations through their steps, without Prefect."""

from __future__ import annotations

from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.config.curation import CurateConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.guard import guard
from tasks.curation.index import index
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.runs import recorded

DRY = {"generate": {"backend": "scripted", "responses_per_prompt": 4}, "embed": {"backend": "hashed"}}


def configured(**changes):
    merged = {name: dict(section) for name, section in DRY.items()}
    for section, values in changes.items():
        merged[section] = merged.get(section, {}) | values if isinstance(values, dict) else values
    return CurateConfig.model_validate(merged)


def curate(config):
    run_id = open_run.fn(config)
    with recorded(run_id):
        for step in (generate, embed, index, guard, select):
            step.fn(run_id)
    return run_id


def row(number, prompt, *texts):
    return ImportedRow(number, Prompt.from_text(prompt), tuple(ImportedResponse(text) for text in texts))
