"""From a file to labels: what data sets say of their pairs and responses, as each annotator reads it."""

from __future__ import annotations

from collections import Counter

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, label, write_lines
from stored_labels import stored
from surroundings import on_sqlite

from tasks.config.exchange import ImportConfig
from tasks.config.labels import LabelConfig
from tasks.config.section import refuse_in_vain
from tasks.curation.ingestion import import_source
from tasks.reports.run_ends import label_end


def imported(settings, folder, *rows, **changes):
    write_lines(folder / "rows.jsonl", rows)
    return import_source(str(folder / "rows.jsonl"), ImportConfig(name="mine", **changes), settings)


def curated(**select):
    return curate(configured(**OWN, select={"strategies": ["easy"], **select}))


def pku(number, better, safer):
    return {
        "prompt": f"Question {number}?", "response_0": f"one {number}", "response_1": f"another of {number}",
        "better_response_id": better, "safer_response_id": safer,
    }  # fmt: skip


@on_sqlite
def test_each_criterion_of_a_source_labels_as_an_annotator_of_its_own(settings, sessions, tmp_path, capsys):
    result = imported(settings, tmp_path, pku(1, 0, 0), pku(2, 1, 0), pku(3, 1, 1))
    assert result.added.pairs == 6 and imported(settings, tmp_path, pku(1, 0, 0), pku(2, 1, 0), pku(3, 1, 1)).rows == 3
    curated(scope="source_pairs", share=1.0)
    found = {}
    for criterion in ("better", "safer"):
        end = label_end(label(annotator="source", source={"criterion": criterion}), settings)
        found[end.annotator] = end.verdicts
    assert found == {"source (better)": {"first": 1, "second": 2}, "source (safer)": {"first": 2, "second": 1}}
    assert label_end(label(annotator="source"), settings).judged == 0
    assert "name what it compares by: --source.criterion better" in capsys.readouterr().err


@on_sqlite
def test_a_ranking_labels_each_of_its_pairs_and_equal_ranks_tie(settings, sessions, tmp_path):
    answers = [{"answer": f"answer {rank} {text}", "rank": rank} for rank, text in ((1, "a"), (2, "b"), (2, "c"))]
    assert imported(settings, tmp_path, {"prompt": "Hi", "answers": answers}).added.pairs == 3
    curated(scope="source_pairs", share=1.0)
    label(annotator="source")
    assert Counter(row.verdict for row in stored(sessions)) == {"first": 2, "tie": 1}


@on_sqlite
def test_a_tie_and_both_bad_of_the_arena_are_labels(settings, sessions, tmp_path):
    rows = [
        {"prompt": f"Question {winner}?", "response_a": "one", "response_b": "another", "winner": winner}
        for winner in ("b", "tie", "tie (bothbad)")
    ]
    imported(settings, tmp_path, *rows)
    curated(scope="source_pairs", share=1.0)
    label(annotator="source")
    assert Counter(row.verdict for row in stored(sessions)) == {"second": 1, "tie": 1, "both_bad": 1}


@on_sqlite
def test_several_yes_or_no_of_one_prompt_are_compared_and_nothing_is_golden(settings, sessions, tmp_path):
    rows = [
        {"prompt": "Is the sea salty?", "completion": text, "label": is_desirable}
        for text, is_desirable in (("Yes, it is.", True), ("Go away.", False))
    ]
    imported(settings, tmp_path, *rows)
    curated()
    label(annotator="scores")
    (row,) = stored(sessions)
    assert (row.verdict, row.margin) == ("first", 1.0)
    assert label_end(label(annotator="gold"), settings).judged == 0


@on_sqlite
def test_scores_that_two_sources_gave_are_not_compared(settings, sessions, tmp_path):
    for text, score in (("Stone.", 60), ("The Danube.", 5)):
        imported(settings, tmp_path, {"prompt": "Name a river.", "response": text, "score": score})
    curated()
    assert label_end(label(annotator="scores"), settings).judged == 0


@on_sqlite
def test_what_an_import_read_and_did_not_read_is_in_its_result(settings, sessions, tmp_path):
    row = {"id": 1, "ask": "Name a river.", "chosen": "Name a river. Danube.", "rejected": "Name a river. Stone."}
    result = imported(settings, tmp_path, row, map=("prompt=ask",))
    assert result.roles == {"ask": "prompt", "chosen": "chosen response", "rejected": "rejected response"}
    assert result.unread == ("id",)
    assert result.notes == {"the prompt stood again at the start of both responses and is cut off there": 1}


def test_a_criterion_is_of_the_annotator_source_alone_and_without_one_a_key_is_as_it_was():
    assert LabelConfig(annotator="source").key_settings().keys() == LabelConfig.model_fields.keys() - {
        "min_agreement",
        "source",
        "routed",
    }
    by_criterion = {LabelConfig(annotator="source", source={"criterion": one}).key for one in ("", "better", "safer")}
    assert len(by_criterion) == 3
    with pytest.raises(ValueError, match="source is set, but the annotator is gold"):
        refuse_in_vain(LabelConfig.model_validate({"annotator": "gold", "source": {"criterion": "better"}}))
