"""What a person reads after an import of labels."""

from __future__ import annotations

from flows.terminal.labelling.labels import show_label_import
from tasks.labels.label_import import LabelImport


def test_an_import_says_what_became_of_every_label(capsys):
    counts = {
        "added": 4,
        "corrected": 3,
        "unchanged": 2,
        "outdated": 1,
        "unselected": 5,
        "rejected": 0,
        "rejects_kept": 0,
    }
    show_label_import(LabelImport(rows=15, rejects_path=None, by_annotator={"anna": 7}, reasons={}, run_id=2, **counts))
    assert capsys.readouterr().out.splitlines() == [
        "15 rows read, 4 labels stored, 3 corrected",
        "  2 say what is stored already",
        "  1 are older than the same person's stored verdict, which stays",
        "  5 are pairs of rankings that no run has selected",
        "  anna: 7",
        "Next: antipode quality --run 2",
    ]


def test_an_import_without_corrections_says_no_more_than_it_has_to(capsys):
    counts = {
        "added": 6,
        "corrected": 0,
        "unchanged": 0,
        "outdated": 0,
        "unselected": 0,
        "rejected": 0,
        "rejects_kept": 0,
    }
    show_label_import(
        LabelImport(rows=6, rejects_path=None, by_annotator={"anna": 6}, reasons={}, run_id=None, **counts)
    )
    assert capsys.readouterr().out.splitlines() == ["6 rows read, 6 labels stored", "  anna: 6"]
