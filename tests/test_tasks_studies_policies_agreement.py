"""How far annotators agree on each arm's pairs: shares with intervals where two have voted, else words."""

from __future__ import annotations

import json

import pytest
from alignment_world import tiny_model
from installed import installed
from policy_worlds import carried_out_study, curate_candidates, study_config
from stored_labels import ANNA, BEN, judge

from db.labels import labelling
from models.intervals import share
from models.labelling.records import AnnotatorIdentity
from models.report.study_page import study_markdown
from models.studies.pool import owners
from models.studies.trials import Outcome, Trial
from tasks.run_kinds import STUDY, run_at_work
from tasks.studies.policies.agreement import (
    AGREEMENT,
    agreement_by_arm,
    agreement_by_pair,
    agreement_section,
    keys_of,
)
from tasks.studies.policies.real_pairs import given_pairs
from tasks.studies.policies.trials import Workbench
from tasks.studies.reporting import report_files, study_report, write_study_report

TRUTH = AnnotatorIdentity("gold", "references")


def outcome(arm, seed, prompts, values, pairs=None):
    kept = {AGREEMENT: {"prompts": prompts, "values": values, "pairs": len(prompts) if pairs is None else pairs}}
    return Outcome(Trial(arm, "stored", seed=seed), {"labels": 20, **kept}, 1.0)


def test_seeds_of_the_same_pairs_say_no_more_than_one():
    prompts, values = list(range(12)), [1.0, 0.0, 0.5] * 4
    once = agreement_by_arm([outcome("easy", 0, prompts, values)])["easy"]
    found = agreement_by_arm([outcome("easy", seed, prompts, values) for seed in range(5)])["easy"]
    assert found == once and found.rate == share(values, prompts)
    assert (found.rate.value, found.pairs, found.of, found.prompts) == (0.5, 12, 20, 12)


def test_a_prompt_that_several_seeds_draw_is_one_prompt():
    outcomes = [outcome("random", 0, list(range(10)), [1.0] * 10), outcome("random", 1, [0, 10], [0.0, 0.0])]
    found = agreement_by_arm(outcomes)["random"]
    assert found.rate.value == pytest.approx((9 + 0.5 + 0) / 11), "the first prompt's mean is a half"
    assert (found.pairs, found.prompts) == (6, 11)


def test_an_arm_of_few_prompts_has_no_figure():
    section = agreement_section(
        [outcome("easy", 0, list(range(10)), [1.0] * 10), outcome("hard", 0, list(range(9)), [1.0] * 9)]
    )
    assert [name for name, _ in section.plots[0].rows] == ["easy"]
    assert section.tables[0].rows[1] == ("hard", "–", "9", "20", "9")


def test_where_pairs_have_one_vote_that_is_said_and_no_figure_is_given():
    section = agreement_section([outcome("easy", 0, [], [])])
    assert section.paragraphs[0].startswith("It cannot be said: no pair that an arm trains on has votes of two")
    assert not section.tables and not section.plots
    assert agreement_section([Outcome(Trial("easy", "stored"), {"labels": 20}, 1.0)]) is None


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sessions, the run of a study whose pairs two people have judged beside the rubric, its outcomes."""
    folder = tmp_path_factory.mktemp("agreement")
    with installed(folder) as (_, sessions):
        curate_candidates(sessions, prompts=40)
        with sessions() as session:
            keys = sorted(pair.pair for pair in labelling.labelled_pairs(session, 1))
        for place, key in enumerate(keys):
            judge(sessions, ANNA, key, "first")
            judge(sessions, BEN, key, "second" if place % 3 else "first")
            judge(sessions, TRUTH, key, "first")
        changes = {"labels": ("stored",), "strategies": ("easy",), "data": {"annotators": ("anna", "ben")}}
        yield (
            sessions,
            *carried_out_study(sessions, study_config(tiny_model(folder / "model"), "real-pairs", **changes)),
        )


def test_each_arm_keeps_the_agreement_on_the_pairs_that_it_trains_on(world):
    sessions, run_id, outcomes = world
    with run_at_work(run_id, STUDY) as study:
        bench = Workbench(study)
        rows = given_pairs(bench)
        keys = keys_of(bench, rows)
        with sessions() as session:
            agreement = agreement_by_pair(session, keys, ("anna", "ben"))
            of_all = agreement_by_pair(session, keys, ())
    assert len(keys) > 20 and set(agreement) == set(keys) and set(agreement.values()) == {0.0, 1.0}
    assert set(of_all.values()) <= {0.0, 1 / 3, 1.0}, "the rubric's vote is a third one, the truth's is none"
    pool = bench.candidates.pool
    similarity = (pool.embeddings[rows[:, 0]] * pool.embeddings[rows[:, 1]]).sum(axis=1)
    half = sorted(range(len(keys)), key=lambda at: similarity[at])[: int(len(keys) / 2 + 0.5)]
    by_prompt = {}
    for at in half:
        prompt = bench.candidates.prompt_ids[owners(pool, rows[at, 0])]
        by_prompt.setdefault(prompt, []).append(agreement[keys[at]])
    easy = [one.figures[AGREEMENT] for one in outcomes if one.trial.arm == "easy"]
    assert len(easy) == 2 and all(one["pairs"] == len(half) for one in easy)
    assert easy[0]["prompts"] == sorted(by_prompt)
    assert easy[0]["values"] == pytest.approx([sum(by_prompt[one]) / len(by_prompt[one]) for one in sorted(by_prompt)])


def test_the_report_has_it_as_a_page_as_markdown_and_as_json(world):
    _, run_id, outcomes = world
    expected = agreement_by_arm(outcomes)["easy"].rate
    with run_at_work(run_id, STUDY) as study:
        files = report_files(run_id, study.settings)
    report = write_study_report(run_id)
    words = f"{expected.value:.3f} [{expected.low:.3f}, {expected.high:.3f}]"
    assert "Do annotators agree on what each arm trains on" in files.page.read_text()
    assert words in files.page.read_text()
    assert f"{expected.value:.3f} [" in study_markdown(report)
    sections = {one["title"]: one for one in json.loads(files.json.read_text())["findings"]["sections"]}
    (section,) = (one for title, one in sections.items() if title.startswith("Do annotators agree"))
    assert section["tables"][0]["rows"][0][1] == words
    assert section["plots"][0]["rows"][0][1][0] == pytest.approx(expected.value)
    assert study_report(run_id).findings == report.findings
