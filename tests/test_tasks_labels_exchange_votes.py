"""Exports of pairs with enough votes, and what an export ends with."""

from __future__ import annotations

import pytest
from labelling_steps import curate_breads, write_labels
from surroundings import on_sqlite

from db.labels.new_labels import new_labels
from flows.terminal.labelling.labels import show_export
from tasks.config.exchange import ExportConfig, PreferencesConfig
from tasks.errors import NoPreferencesError
from tasks.labels.exchange import export_preferences, preferences_now
from tasks.labels.label_import import import_labels


@pytest.fixture
def run_id(sessions, settings, tmp_path):
    """Six pairs with a vote each, two of them with a second."""
    run_id = curate_breads(sessions)
    write_labels(tmp_path / "anna.jsonl", sessions, run_id, {"anna": "left"})
    import_labels(tmp_path / "anna.jsonl", None, settings)
    write_labels(tmp_path / "ben.jsonl", sessions, run_id, {"ben": "left"})
    lines = (tmp_path / "ben.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "ben.jsonl").write_text("".join(lines[:2]))
    import_labels(tmp_path / "ben.jsonl", None, settings)
    return run_id


def test_only_pairs_with_enough_votes_are_exported_and_the_others_counted(settings, sessions, run_id, tmp_path):
    result = export_preferences(tmp_path / "out.jsonl", ExportConfig(min_votes=2), settings)
    assert result.row_count == 2 and result.left_out == {"with fewer votes than 2": 4}
    with sessions() as session:
        assert len(preferences_now(session, PreferencesConfig(min_votes=2))) == 2
        asked = {"snapshot_id": None, "run_id": run_id, "strategies": (), "min_support": 0.0}
        assert new_labels(session, **asked, min_votes=2).new == 2 and new_labels(session, **asked).new == 6
    with pytest.raises(NoPreferencesError, match="6 with fewer votes than 3"):
        export_preferences(tmp_path / "out.jsonl", ExportConfig(min_votes=3), settings)


@on_sqlite
def test_a_snapshot_of_all_is_the_one_of_before_there_was_a_limit(settings, sessions, run_id, tmp_path):
    first = export_preferences(tmp_path / "a.jsonl", ExportConfig(), settings).snapshot
    assert export_preferences(tmp_path / "b.jsonl", ExportConfig(min_votes=1), settings).snapshot.id == first.id
    assert "min_votes" not in (tmp_path / "a.jsonl.meta.json").read_text()
    two = export_preferences(tmp_path / "c.jsonl", ExportConfig(min_votes=2), settings).snapshot
    assert two.id != first.id and '"min_votes": 2' in (tmp_path / "c.jsonl.meta.json").read_text()


@on_sqlite
def test_an_export_ends_with_what_to_do_next(settings, sessions, run_id, tmp_path, capsys):
    show_export(export_preferences(tmp_path / "a.jsonl", ExportConfig(name="mine too"), settings))
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0].startswith("Next: antipode align --data.snapshot 1 --model.name MODEL")
    assert last[1] == "      antipode push 'mine too' --repository OWNER/NAME"
