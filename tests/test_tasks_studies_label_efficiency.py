"""Strategies at equal budgets on a run's scores: the design, its trials, what is said of them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from installed import installed
from scored_breads import at_work, carried_out, curate_scored
from stored_labels import ANNA, judge

from db.studies.trials import add_outcome, outcomes_of
from models.labelling.records import PairKey
from tasks.config.studies import StudyConfig
from tasks.errors import StudyChangedError
from tasks.studies.head_learner import carry_out, path_trials
from tasks.studies.kinds import STUDIES
from tasks.studies.label_efficiency import check
from tasks.studies.label_findings import _same_pairs
from tasks.studies.pools import read_pool
from tasks.studies.running import carry_out_trials, open_study

ARMS = ("random", "easy", "longest_gap")
BUDGETS = (10, 20, 40)
SAVING = re.compile(r"[≥≤ ]*[\d.]+ \[[≥≤ ]*[\d.]+, [≥≤ ]*[\d.]+\]")


def config(**changes):
    small = {"study": "label-efficiency", "strategies": ("easy", "longest_gap"), "budgets": BUDGETS, "seeds": 5}
    return StudyConfig.model_validate(small | changes)


@pytest.fixture(scope="module")
def breads(tmp_path_factory):
    with installed(tmp_path_factory.mktemp("breads")) as (settings, sessions):
        curate_scored(sessions)
        yield settings, sessions


@pytest.fixture(scope="module")
def study(breads):
    return carried_out(config())


def findings(run_id):
    with at_work(run_id) as work, work.sessions() as session:
        stored = outcomes_of(session, run_id)
        return STUDIES["label-efficiency"].find(work, [stored[trial.key] for trial in path_trials(work)])


def test_every_arm_has_the_same_labels_seeds_and_held_out_prompts(breads, study):
    with at_work(study) as work, work.sessions() as session:
        outcomes = list(outcomes_of(session, study).values())
        counts = work.config.label_counts
    assert set(BUDGETS) < set(counts) and work.config.data.run == "1"
    cells = {(one.trial.arm, one.trial.annotator, one.trial.seed, one.trial.budget) for one in outcomes}
    labellers = ("truth", "noisy")
    assert cells == {(a, who, s, n) for a in ARMS for who in labellers for s in range(5) for n in counts}
    assert {(one.figures["training_prompts"], len(one.figures["by_prompt"]["accuracy"])) for one in outcomes} == {
        (42, 18)
    }
    learnt = {
        one.trial.arm: np.mean(one.figures["by_prompt"]["accuracy"]) for one in outcomes if one.trial.budget == 40
    }
    assert min(learnt.values()) > 0.6, "words tell the score, and heads learn it"


def test_the_report_states_savings_with_intervals_at_every_budget_with_and_without_noise(breads, study):
    found = findings(study)
    saved = [table for section in found.sections for table in section.tables if "random needs" in table.title]
    assert len(saved) == 2 and all(
        table.columns == ("strategy", "10 labels", "20 labels", "40 labels") for table in saved
    )
    for table in saved:
        assert [row[0] for row in table.rows] == ["easy", "longest_gap"]
        assert all(
            re.fullmatch(r"[≥≤ ]*[\d.]+ \[[≥≤ ]*[\d.]+, [≥≤ ]*[\d.]+\]", cell) for row in table.rows for cell in row[1:]
        )
    sizes = dict(found.sizes)
    assert sizes["Arms tried"] == "3 (random, easy, longest_gap)" and sizes["Seeds"] == "5"
    assert sizes["Comparisons corrected for, labels through noise"] == "6, and as many at like length"
    assert "Labels without noise." in found.answer and "two agree on 70 %" in found.answer
    words = [paragraph for section in found.sections for paragraph in section.paragraphs]
    assert any("taking the longer response is right in" in paragraph for paragraph in words)
    assert sum(paragraph.startswith("With 40 labels of 42 training prompts a strat") for paragraph in words) == 2


def test_only_a_budget_of_half_of_the_training_prompts_is_told_to_label_the_same_pairs():
    def told(budgets):
        return _same_pairs(SimpleNamespace(budgets=budgets, size={"training_prompts": 42}.get))

    assert told((5, 20)) == ()
    assert len(told((5, 21))) == 1


def test_what_comes_does_not_depend_on_how_many_processes_there_are(breads, study):
    with at_work(study) as work:
        trials = [trial for trial in path_trials(work) if trial.seed == 1 and trial.annotator == "noisy"]
        alone, together = (
            {one.trial: one.figures["by_prompt"] for one in carry_out(work, trials, processes=count)}
            for count in (1, 2)
        )
        with work.sessions() as session:
            stored = {one.trial: one.figures["by_prompt"] for one in outcomes_of(session, study).values()}
    assert alone == together == {trial: stored[trial] for trial in trials}


def test_a_strategy_under_two_names_is_no_different_from_itself(breads, tmp_path):
    twin = tmp_path / "twin.py"
    twin.write_text("def twin(similarity):\n    return similarity\n")
    run_id = carried_out(config(strategies=("easy", "twin"), strategy_files=(str(twin),), labels=("noisy",), seeds=2))
    with at_work(run_id) as work, work.sessions() as session:
        by_arm = {}
        for one in outcomes_of(session, run_id).values():
            by_arm.setdefault(one.trial.arm, {})[one.trial.seed, one.trial.budget] = one.figures["by_prompt"]
    assert by_arm["twin"] == by_arm["easy"] != by_arm["random"]


def test_an_arm_that_fails_says_why_and_the_others_are_compared(breads, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def broken(similarity):\n    raise KeyError('no such thing')\n")
    run_id = carried_out(
        config(strategies=("easy", "broken"), strategy_files=(str(broken),), labels=("truth",), seeds=2)
    )
    with at_work(run_id) as work, work.sessions() as session:
        outcomes = list(outcomes_of(session, run_id).values())
    assert {one.trial.arm for one in outcomes if one.failure} == {"broken"}
    assert "strategy broken, group 0: KeyError: 'no such thing'" in next(one.failure for one in outcomes if one.failure)


def test_trials_of_other_labels_are_not_mixed(breads):
    _, sessions = breads
    run_id = open_study.fn(config(labels=("truth",), seeds=2, name="changing"))
    with at_work(run_id) as work:
        trials = path_trials(work)
        with sessions.begin() as session:
            add_outcome(session, run_id, next(iter(carry_out(work, trials[:1]))))
        first = read_pool(sessions, 1, work.settings).response_ids
    judge(sessions, ANNA, PairKey(first[0], first[1]), "first")
    with pytest.raises(
        StudyChangedError, match=r"are not what they were when study .* the same command with another --name"
    ):
        carry_out_trials.fn(run_id)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"budgets": (20, 253)},
            "training prompts hold 252 labels to choose among, 253 are asked for; --budgets up to 252",
        ),
        ({"strategies": ("esay",)}, "there is no strategy 'esay'; did you mean easy?"),
        ({"labels": ("stored",), "data": {"annotators": ("carl",)}}, "there is no annotator 'carl'"),
    ],
)
def test_what_cannot_be_studied_is_refused_in_a_line_that_says_what_to_do(breads, changes, words):
    settings, _ = breads
    with pytest.raises((ValueError, LookupError)) as refused:
        check(config(**changes), settings)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_without_labels_and_scores_says_how_to_get_them(sessions, settings):
    curate_scored(sessions, count=45, has_scores=False)
    with pytest.raises(ValueError, match=r"nothing says how good its responses are .*--labels stored"):
        check(config(), settings)
    with pytest.raises(ValueError, match=r"none of its pairs has a label that prefers a side; label some of 40"):
        check(config(labels=("stored",)), settings)


def test_too_few_scored_prompts_are_refused_with_how_many_there_are(sessions, settings):
    curate_scored(sessions, count=39)
    with pytest.raises(ValueError, match="39 of its prompts have two different scores, a study needs 40 or more"):
        check(config(), settings)
