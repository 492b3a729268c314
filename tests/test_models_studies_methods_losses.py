"""What a study of losses says of made-up outcomes."""

from __future__ import annotations

from dataclasses import replace

from study_outcomes import outcome

from models.studies.methods.losses import losses_findings

WORTHS = {"sft": 0.0, "dpo": 0.2, "asft": 0.0}


def outcomes(worths=WORTHS):
    return [outcome(method, seed, worth=worth) for seed in range(5) for method, worth in worths.items()]


def test_methods_are_compared_with_continued_fine_tuning():
    found = losses_findings(outcomes())
    assert found.answer == "dpo wins more often than sft; cannot tell asft from sft."
    assert dict(found.sizes) == {
        "methods tried": "3", "seeds": "5", "preferences trained on": "100", "held-out preferences": "24",
        "prompts compared on": "24", "comparisons corrected for": "4",
    }  # fmt: skip


def test_every_table_and_figure_of_the_paper_is_there():
    titles = [section.title for section in losses_findings(outcomes()).sections]
    for words in ("table 2", "table 3", "figure 1", "figure 2a", "figure 2b"):
        assert any(words in title for title in titles), words


def test_without_sft_the_first_method_is_what_others_are_compared_with():
    found = losses_findings(outcomes({"dpo": 0.2, "asft": 0.0}))
    assert found.answer == "asft wins less often than dpo."


def test_costs_are_relative_to_dpo_and_what_was_not_measured_is_a_dash():
    given = [
        replace(one, figures=one.figures | {"train_seconds": 5.0, "curves": {}}) if one.trial.arm == "asft" else one
        for one in outcomes()
    ]
    sections = {section.title: section for section in losses_findings(given).sections}
    cost = {row[0]: row for row in sections["Time and memory (ASFT figure 2b)"].tables[0].rows}
    assert (cost["asft"][2], cost["dpo"][2], cost["dpo"][4]) == ("0.50", "1.00", "1.00")
    texts = {row[0]: row for row in sections["Overlap with the chosen responses (ASFT table 3)"].tables[0].rows}
    assert texts["sft"][1] == "12.0 [12.0, 12.0]" and texts["sft"][4] == "–"
    (curves,) = sections["Likelihood margins (ASFT figure 2a)"].plots
    assert [line.name for line in curves.lines] == ["sft", "dpo"]


def test_policies_of_an_earlier_version_have_no_curves():
    given = [replace(one, figures=one.figures | {"curves": {}}) for one in outcomes()]
    section = next(one for one in losses_findings(given).sections if "2a" in one.title)
    assert section.plots == () and "earlier version" in section.paragraphs[0]
