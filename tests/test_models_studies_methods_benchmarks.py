"""Benchmarks of a study's policies, and what they gained: the paper's own table among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_outcomes import outcome

from models.studies.methods.benchmarks import benchmark_sections, relative_gain, task_scores
from models.studies.methods.ld_align import ld_align_findings
from models.studies.methods.losses import losses_findings

TASKS = ("truthfulqa", "piqa", "hellaswag", "arc", "openbookqa", "gsm8k", "mutual")
SFT, SPIN, LD_ALIGN = (
    dict(zip(TASKS, scores, strict=True))
    for scores in (
        (43.7, 82.1, 62.1, 55.7, 30.8, 44.4, 63.5),
        (48.7, 81.7, 65.1, 60.4, 33.6, 45.4, 61.2),
        (50.3, 82.5, 66.2, 60.7, 33.2, 45.9, 63.3),
    )
)


def measured(arm, seed, arc, start=0.25, **more):
    return outcome(arm, seed, benchmarks={"arc": arc}, start_scores={"benchmarks": {"arc": start}}, **more)


def test_the_gains_are_those_of_the_papers_table():
    assert relative_gain(SPIN, SFT) == pytest.approx(4.56, abs=0.005)
    assert relative_gain(LD_ALIGN, SFT) == pytest.approx(6.00, abs=0.005)


@given(st.dictionaries(st.text(min_size=1), st.floats(0.01, 1), min_size=1), st.floats(0.5, 2))
def test_scores_that_are_all_so_many_times_the_starts_gain_that_share(start, factor):
    assert relative_gain(start, start) == 0
    scores = {task: factor * score for task, score in start.items()}
    assert relative_gain(scores, start) == pytest.approx(100 * (factor - 1))


def test_nothing_is_gained_over_a_start_without_a_right_answer():
    assert relative_gain({"a": 0.5, "b": 0.1}, {"a": 0.5, "b": 0.0}) is None
    (section,) = benchmark_sections({"dpo": [measured("dpo", 0, 0.5, start=0.0)]})
    assert section.tables[0].rows[1] == ("dpo", "50.0 [50.0, 50.0]", "–") and section.plots == ()


def test_a_task_has_one_score_the_share_of_its_right_answers():
    found = task_scores(
        ["arc", "gsm8k", "mutual"],
        {
            "arc": {"acc_norm": 0.4, "acc": 0.3, "acc_stderr": 0.1},
            "gsm8k": {"exact_match_stderr,strict-match": 0.1, "exact_match,strict-match": 0.2},
            "mutual": {"r@2": 0.9, "r@1": 0.6, "mrr": 0.8},
        },
    )
    assert found == {"arc": 0.3, "gsm8k": 0.2, "mutual": 0.6}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [({"word_perplexity": 9.0, "word_perplexity_stderr": 1.0}, "reports word_perplexity,"), ({}, "nothing of its own")],
)
def test_a_task_of_which_more_may_be_worse_is_refused(metrics, words):
    with pytest.raises(ValueError, match=words):
        task_scores(["wikitext"], {"wikitext": metrics})


def test_the_table_has_every_arm_and_the_interval_over_its_seeds():
    arms = {"dpo": [measured("dpo", seed, arc) for seed, arc in enumerate((0.25, 0.5, 0.75))]}
    (section,) = benchmark_sections(arms)
    (table,) = section.tables
    assert table.columns == ("Arm", "arc", "Mean relative gain")
    assert table.rows[0] == ("the fine-tuned model", "25.0", "–")
    # t of two degrees, 0.975: 4.3027; the standard error of 0, 100, 200 is 100 / √3.
    assert table.rows[1] == ("dpo", "50.0 [0.0, 100.0]", "+100.00 [−148.41, +348.41]")
    assert section.plots[0].rows[0][0] == "dpo" and section.plots[0].reference == 0


def test_both_studies_show_benchmarks_where_they_were_run_and_only_there():
    for find in (losses_findings, ld_align_findings):
        given = [measured(arm, seed, 0.5) for seed in range(3) for arm in ("sft", "dpo")]
        assert "Benchmarks (LD-Align’s table)" in [section.title for section in find(given).sections]
        without = [outcome(arm, seed) for seed in range(3) for arm in ("sft", "dpo")]
        assert "Benchmarks (LD-Align’s table)" not in [section.title for section in find(without).sections]
