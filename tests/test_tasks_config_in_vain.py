"""What nothing reads is refused where somebody gives it, and read back where it was stored: defaults change."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row
from pydantic import TypeAdapter
from stored_rows import add

from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig
from tasks.config.evaluation import QuestionsConfig
from tasks.config.labels import LabelConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.section import refuse_in_vain
from tasks.config.studies import StudyConfig
from tasks.curation.opening import open_run
from tasks.labels.opening import open_label_run
from tasks.run_kinds import LABELLING
from tasks.runs import find_or_open

JUDGE = {"base_url": "http://127.0.0.1/v1", "model": "judge"}
IN_VAIN = [
    (StudyConfig, {"study": "noise", "budgets": [60]}, "study noise does not read budgets"),
    (StudyConfig, {"study": "losses", "evaluate": {"rubric": {"seed": 1}}}, "evaluate.rubric is set"),
    (StudyConfig, {"study": "losses", "benchmarks": {"limit": 5}}, "give benchmarks.tasks, or leave out limit"),
    (StudyConfig, {"study": "losses", "questions": {"max_tokens": 5}}, "give questions.file, or leave out max_tokens"),
    (AlignConfig, {"evaluate": {"annotator": "judge", "judge": JUDGE, "rubric": {"seed": 1}}}, "evaluate.rubric"),
    (AlignConfig, {"data": {"snapshot": 1, "run": "2"}}, "leave out data.run"),
    (AlignConfig, {"train": {"parallel": "fsdp"}}, "parallel fsdp shares the model out among several processes"),
    (LdAlignConfig, {"source": {"name": "demo"}}, "give --golden references"),
    (LdAlignConfig, {"golden": "references", "data": {"run": "1"}}, "leave `data` out"),
    (QuestionsConfig, {"judge": JUDGE | {"has_rationale": True}}, "judge.has_rationale is for pairs"),
    (QuestionsConfig, {"judge": JUDGE, "answers": "a.jsonl", "model": {"name": "demo"}}, "leave out `model`"),
    (LabelConfig, {"annotator": "gold", "rubric": {"seed": 3}}, "rubric is set, but the annotator is gold"),
    (CurateConfig, {"generate": {"max_requests": 3}}, "generate.max_requests is for"),
    (
        CurateConfig,
        {"generate": {"tensor_parallel_size": 2, "backend": "transformers"}},
        "tensor_parallel_size is for vLLM",
    ),
    (CurateConfig, {"select": {"budget_over": "even"}}, "give --select.budget too"),
    (CurateConfig, {"queue": {"order": "uncertain"}}, "a queue that is not opened has no settings"),
]


@pytest.mark.parametrize(("kind", "values", "words"), IN_VAIN)
def test_what_is_set_in_vain_is_refused_where_it_is_given_and_read_where_it_is_stored(kind, values, words):
    config = TypeAdapter(kind).validate_python(values)
    assert kind.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValueError, match=words):
        refuse_in_vain(config)


def test_a_new_run_is_refused_what_nothing_reads_and_a_stored_one_is_taken_up(sessions, settings):
    add(sessions, *(own_row(n, f"rye {n}", f"wheat {n}") for n in range(3)))
    run_id = curate(configured(**OWN))
    with pytest.raises(ValueError, match="a queue that is not opened has no settings"):
        open_run.fn(configured(**OWN, name="anew", queue={"order": "uncertain"}))
    people = LabelConfig.model_validate({"annotator": "people", "pairs": {"run": str(run_id)}, "rubric": {"seed": 3}})
    with pytest.raises(ValueError, match="rubric is set, but the annotator is people"):
        open_label_run.fn(people)
    given = LabelConfig.model_validate({"annotator": "gold", "pairs": {"run": str(run_id)}, "rubric": {"seed": 3}})
    with pytest.raises(ValueError, match="rubric is set, but the annotator is gold"):
        open_label_run.fn(given)
    with sessions.begin() as session:  # as a version did whose default that was
        stored = find_or_open(session, LABELLING, given, name="old", labelled_run_id=run_id, has_model=False)
    assert open_label_run.fn(given) == stored
