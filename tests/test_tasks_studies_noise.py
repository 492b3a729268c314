"""The study of noise from the database to its report, on SQLite: what it measures, names and refuses."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row, pair_keys
from stored_labels import ANNA, BEN, judge
from stored_rows import add

from db.labels import labelling
from models.labelling.records import AnnotatorIdentity
from models.studies.findings import Findings
from tasks.config.studies import StudyConfig
from tasks.runs import recorded
from tasks.studies.reporting import study_report
from tasks.studies.running import carry_out_trials, open_study

COUNT = 40
TRUTH = AnnotatorIdentity("person", "truth")


def curated(sessions, **fields):
    """A pair a prompt, the first half of unlike responses, the second of like ones; the run's id."""
    rows = []
    for n in range(COUNT):
        unlike = [f"a dark loaf of sour rye {n}", f"white toast {n * 3}, sliced"]
        like = [f"a dark loaf of sour rye number {n}", f"a dark loaf of sour rye number {n}, cut"]
        rows.append(own_row(n, *(unlike if n < COUNT // 2 else like), **fields))
    add(sessions, *rows)
    return curate(configured(**OWN, guard={"none": True}))


def likest_last(sessions, run_id):
    with sessions() as session:
        pairs = labelling.labelled_pairs(session, run_id)
    return [pair.pair for pair in sorted(pairs, key=lambda pair: pair.similarity)]


def study(run_id, **data) -> Findings:
    config = StudyConfig.model_validate({"study": "noise", "data": {"run": str(run_id)} | data})
    study_id = open_study.fn(config)
    with recorded(study_id):
        carry_out_trials.fn(study_id)
    return study_report(study_id).findings


def test_noise_that_was_planted_in_the_like_pairs_is_found(sessions, settings):
    run_id = curated(sessions)
    for place, key in enumerate(likest_last(sessions, run_id)):
        judge(sessions, ANNA, key, "first")
        judge(sessions, BEN, key, "second" if place >= COUNT // 2 and place % 4 else "first")
    found = study(run_id)
    assert found.answer.startswith("Yes: agreement falls as the two responses grow more alike")
    assert found.question.endswith(f"in run {run_id} (curation)?")
    paragraphs = found.sections[0].paragraphs
    assert "Accuracy was not measured: no annotator is named as gold beside others (--data.gold NAME)." in paragraphs
    assert "Clarity was not measured: no vote has a grade." in paragraphs


def test_noise_that_knows_no_similarity_is_not_taken_for_it(sessions, settings):
    run_id = curated(sessions)
    for place, key in enumerate(likest_last(sessions, run_id)):
        judge(sessions, ANNA, key, "first")
        judge(sessions, BEN, key, "second" if place % 3 else "first")
    assert study(run_id).answer.startswith("Cannot tell whether agreement changes with similarity")


def test_annotators_are_held_against_the_gold_that_is_named(sessions, settings):
    run_id = curated(sessions)
    for place, key in enumerate(likest_last(sessions, run_id)):
        judge(sessions, TRUTH, key, "first")
        judge(sessions, ANNA, key, "second" if place > COUNT * 3 // 4 else "first")
    found = study(run_id, gold="truth")
    assert found.answer.startswith("Yes: accuracy falls")
    assert [row[:3] for row in found.sections[-1].tables[0].rows] == [("anna", "0.78", "40")]


def test_a_run_of_single_votes_is_refused_in_one_line_that_says_what_to_do(sessions, settings):
    run_id = curated(sessions)
    for key in pair_keys(sessions, run_id):
        judge(sessions, ANNA, key, "first")
    with pytest.raises(ValueError, match=r"no pair has votes of two annotators; .*let a second annotator") as refusal:
        study(run_id)
    assert f"antipode web --run {run_id} --judgements_per_pair 2" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_few_prompts_with_two_votes_are_refused_with_their_number(sessions, settings):
    run_id = curated(sessions)
    for key in pair_keys(sessions, run_id)[:9]:
        judge(sessions, ANNA, key, "first")
        judge(sessions, BEN, key, "first")
    with pytest.raises(ValueError, match="agreement is known of 9 prompts, 10 are the least"):
        study(run_id)


def test_grades_and_scores_are_asked_where_there_is_one_vote(sessions, settings):
    run_id = curated(sessions, score=3.0)
    for place, key in enumerate(pair_keys(sessions, run_id)):
        judge(sessions, ANNA, key, "first", strength=1.0 if place % 2 else 0.5)
    found = study(run_id)
    assert "clarity" in found.answer
    assert [section.title for section in found.sections[1:]] == [
        "Clarity by thirds of similarity",
        "Score gap by thirds of similarity",
    ]


def test_only_the_annotators_that_are_named_count(sessions, settings):
    run_id = curated(sessions)
    for key in pair_keys(sessions, run_id):
        judge(sessions, ANNA, key, "first")
        judge(sessions, BEN, key, "second")
    with pytest.raises(ValueError, match="no pair has votes of two annotators"):
        study(run_id, annotators=("anna",))
    with pytest.raises(LookupError, match="there is no annotator 'cleo'"):
        study(run_id, annotators=("cleo",))
