"""A curation of a few demo prompts with several candidates each, labelled by the rubric, and a quick study of it."""

from __future__ import annotations

from alignment_world import IMPOLITE, MEASURED, QUICK, merged
from curation_steps import configured, curate
from labelling_steps import label
from stored_rows import add

from db.studies.trials import outcomes_of
from models.demo.corpus import demo_prompts, reference_response
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.config.studies import StudyConfig
from tasks.studies.running import carry_out_trials, open_study

TWIN = """
from models.selection.rules import random as _random

def twin(is_valid, group_seed, count):
    return _random(is_valid, group_seed, count)

twin.over_groups = True
"""


def curate_candidates(sessions, *, prompts=8):
    """Four candidates a prompt, one of them good; one pair of each prompt is selected and labelled by the truth."""
    rows = []
    for number, text in enumerate(demo_prompts("train")[:prompts], start=1):
        texts = [reference_response(text), IMPOLITE, f"{reference_response(text)} I do not know.", "It is late. It is."]
        rows.append(ImportedRow(number, Prompt.from_text(text), tuple(map(ImportedResponse, texts))))
    add(sessions, *rows)
    curate(configured(generate={"when": "never"}))
    label(annotator="rubric", rubric={"temperature": 0})


def study_config(model, study, **changes):
    """A quick study of two seeds; `changes` are merged into the sections."""
    sections = {
        "study": study,
        "seeds": 2,
        "labels": ("truth",),
        "model": {"name": model, "dtype": "float32"},
        "sft": {"epochs": 0},
        "train": QUICK,
        "evaluate": MEASURED | {"temperature": 1.0},
    }
    return StudyConfig.model_validate(merged(sections, changes))


def carried_out_study(sessions, config):
    """Open a study and carry it out; return its run's id and its outcomes."""
    run_id = open_study.fn(config)
    carry_out_trials.fn(run_id)
    with sessions() as session:
        return run_id, list(outcomes_of(session, run_id).values())
