"""Should you select here? One recommendation from the labels or scores of a run, and what knowing better takes."""

from __future__ import annotations

import pytest
from installed import installed
from scored_breads import at_work, carried_out, curate_scored
from stored_labels import ANNA, BEN, judge

from db import runs
from db.labels import judgements
from db.studies.trials import outcomes_of
from models.labelling.records import Judgement, PairKey
from tasks.config.studies import StudyConfig
from tasks.studies.head_learner import path_trials
from tasks.studies.pilot import check, find, price_of_label
from tasks.studies.pools import read_pool
from tasks.studies.running import open_study


def config(**changes):
    return StudyConfig.model_validate({"study": "pilot", "strategies": ("easy", "longest_gap")} | changes)


@pytest.fixture(scope="module")
def breads(tmp_path_factory):
    with installed(tmp_path_factory.mktemp("breads")) as (settings, sessions):
        curate_scored(sessions)
        yield settings, sessions


def label_first_pairs(sessions, settings, count):
    """Anna's label on the first two responses of so many prompts: by the scores, the first."""
    found = read_pool(sessions, 1, settings)
    for start in found.pool.offsets[:count]:
        judge(sessions, ANNA, PairKey(*found.response_ids[start : start + 2]), "first")


def test_it_studies_scores_where_there_are_no_labels_and_chooses_budgets_and_seeds(breads):
    settings, _ = breads
    found = check(config(), settings)
    assert (found.labels, found.budgets, found.seeds) == (("truth",), (50, 100, 200), 20)
    assert set(found.budgets) <= set(found.label_counts) and max(found.label_counts) <= 252
    chosen = check(config(labels=("noisy",), budgets=(12,), seeds=3), settings)
    assert (chosen.labels, chosen.budgets, chosen.seeds) == (("noisy",), (12,), 3), "what is given stays"


def test_stored_labels_of_enough_prompts_go_before_scores(sessions, settings):
    curate_scored(sessions)
    label_first_pairs(sessions, settings, 39)
    assert check(config(), settings).labels == ("truth",)
    label_first_pairs(sessions, settings, 60)
    found = check(config(), settings)
    assert found.labels == ("stored",) and found.budgets == (10, 21, 42), "one label of each training prompt"


def test_without_scores_too_few_labels_are_refused_with_how_many_there_are(sessions, settings):
    curate_scored(sessions, has_scores=False)
    with pytest.raises(ValueError, match="none of its pairs has a label that prefers a side"):
        check(config(), settings)
    label_first_pairs(sessions, settings, 12)
    with pytest.raises(ValueError, match="12 of its prompts have a label that prefers a side, a study needs 40"):
        check(config(), settings)


def test_it_answers_for_one_kind_of_labels(breads):
    settings, _ = breads
    with pytest.raises(ValueError, match="a pilot answers for one kind of labels, got truth, noisy; --labels truth"):
        check(config(labels=("truth", "noisy")), settings)


def test_the_page_has_one_answer_what_it_rests_on_and_what_more_would_cost(breads):
    run_id = carried_out(config(seeds=5, budgets=(10, 20)))
    with at_work(run_id) as work, work.sessions() as session:
        stored = outcomes_of(session, run_id)
        found = find(work, [stored[trial.key] for trial in path_trials(work)])
    assert found.question == "Should you select pairs for labelling here, and how?"
    assert found.answer.startswith("Labels without noise. ")
    assert [section.title for section in found.sections] == ["What it rests on", "What it would cost to know better"]
    rests = found.sections[0]
    assert [row[0] for row in rests.tables[0].rows] == ["easy", "longest_gap"] and len(rests.plots) == 2
    assert dict(found.sizes)["Held-out prompts"] == "18"
    (cost,) = found.sections[1].paragraphs
    assert cost.endswith(".") and "\n" not in cost


def test_a_label_costs_what_those_of_the_run_have_cost_and_people_are_not_counted(sessions, settings):
    run_id = curate_scored(sessions)
    label_first_pairs(sessions, settings, 42)
    study_id = open_study.fn(config(seeds=2, budgets=(10,)))
    with at_work(study_id) as work:
        assert price_of_label(work) == 0
    with sessions.begin() as session:
        judging = runs.open_run(
            session, kind=runs.LABEL, name="judge", config={}, config_key="j", code_version="0", labelled_run_id=run_id
        )
        runs.spend(session, judging, 4, 0.5)
        first = read_pool(sessions, run_id, settings).response_ids
        judge_id = judgements.add_annotator(session, BEN)
        pairs = [PairKey(first[0], first[2]), PairKey(first[1], first[3])]
        said = [Judgement(pair, pair.first_response_id, "first") for pair in pairs]
        judgements.add_judgements(session, judge_id, said, run_id=judging)
    with at_work(study_id) as work:
        assert price_of_label(work) == 0.25
