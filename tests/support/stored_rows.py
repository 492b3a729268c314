"""Prompts, responses and runs in a database, as tests want them."""

from __future__ import annotations

from sqlalchemy import select

from db import prompts, runs
from db.schema import curation
from models.records import (
    GeneratorIdentity,
    ImportedResponse,
    ImportedRow,
    Prompt,
    SamplingParameters,
)

SAMPLING = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=8, stop=(), system_prompt=None)


GENERATOR = GeneratorIdentity("scripted", "tiny", "f" * 64, SAMPLING, 0)


def row(number, prompt, *texts, pair=None, split=None):
    imported = tuple(ImportedResponse(text, model=f"model-{at}") for at, text in enumerate(texts))
    return ImportedRow(number, Prompt.from_text(prompt), imported, () if pair is None else (pair,), split)


def add(sessions, *rows, name="source", content_hash="0" * 64):
    with sessions.begin() as session:
        source = prompts.ensure_source(session, name=name, location="x", format="y", content_hash=content_hash)
        return prompts.add_rows(session, source, rows)


def open_run(sessions, prompt_ids, key="k" * 64):
    with sessions.begin() as session:
        return runs.open_run(
            session,
            kind=runs.CURATE,
            name="test",
            config={},
            config_key=key,
            code_version="0",
            prompt_ids=prompt_ids,
        )


def all_prompt_ids(sessions):
    with sessions() as session:
        return prompts.select_prompt_ids(session, source=None, split=None, limit=None)


def ids_by_text(sessions):
    with sessions() as session:
        return {response.text: response.id for response in session.scalars(select(curation.Response))}
