"""What a study says of question files that its policies answered."""

from __future__ import annotations

from study_outcomes import outcome

from models.studies.methods.ld_align import ld_align_findings
from models.studies.methods.losses import losses_findings
from models.studies.methods.questions import question_sections


def graded(arm, seed, score, *, start=4.0, unread=0):
    questions = {
        "protocol": "mt_bench", "score": score, "unread": unread, "turns": [score, None],
        "categories": {"maths": score},
    }  # fmt: skip
    of_start = {**questions, "score": start, "turns": [start, None], "categories": {"maths": start}, "unread": 0}
    return outcome(arm, seed, questions=questions, start_scores={"questions": of_start})


def played(arm, seed, score):
    questions = {"protocol": "arena_hard", "score": score, "unread": 1}
    return outcome(arm, seed, questions=questions, start_scores={})


def test_grades_are_means_over_seeds_and_differences_are_paired_by_seed():
    arms = {
        "sft": [graded("sft", seed, score) for seed, score in enumerate((3.0, 5.0))],
        "dpo": [graded("dpo", seed, score, unread=2) for seed, score in enumerate((4.0, 6.0))],
    }
    (section,) = question_sections(arms, "sft")
    overall, turns, categories = section.tables
    # t of one degree, 0.975: 12.706; the standard error of 3 and 5 is 1.
    assert overall.rows == (
        ("the fine-tuned model", "4.00", "–", "0"),
        ("sft", "4.00 [1.00, 10.00]", "–", "0"),
        ("dpo", "5.00 [1.00, 10.00]", "+1.00 [+1.00, +1.00]", "4"),
    )
    assert turns.columns == ("Arm", "Turn 1", "Turn 2")
    assert turns.rows[0] == ("the fine-tuned model", "4.00", "–") and turns.rows[1][2] == "–"
    assert categories.columns == ("Arm", "maths") and categories.rows[2][1].startswith("5.00")


def test_win_rates_have_no_row_of_a_start_that_all_play_against():
    arms = {"sft": [played("sft", 0, 50.0)], "dpo": [played("dpo", 0, None)]}
    (section,) = question_sections(arms, "sft")
    assert section.title.startswith("Win rate by Arena-Hard’s protocol")
    (table,) = section.tables
    assert table.rows == (("sft", "50.0 [50.0, 50.0]", "–", "1"), ("dpo", "–", "–", "1"))


def test_both_studies_show_scores_where_questions_were_asked_and_only_there():
    for find in (losses_findings, ld_align_findings):
        given = [graded(arm, seed, 5.0) for seed in range(3) for arm in ("sft", "dpo")]
        assert sum("MT-Bench" in section.title for section in find(given).sections) == 1
        without = [outcome(arm, seed) for seed in range(3) for arm in ("sft", "dpo")]
        assert not any("MT-Bench" in section.title for section in find(without).sections)
