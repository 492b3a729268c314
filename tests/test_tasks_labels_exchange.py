"""Exports: snapshots that later labels do not change, rules, formats, pairs for the tools of others."""

from __future__ import annotations

import json

import pytest
from chat_server import ChatServer, serving
from curation_steps import configured, curate
from judged_pairs import prefers
from labelling_steps import OWN, curate_breads, judge_config, label, own_row, pair_keys, write_labels, write_lines
from sqlalchemy import text
from stored_labels import stored
from stored_rows import add
from surroundings import REAL_DATA, on_sqlite

from flows.terminal.labelling.labels import show_export
from models.records import ImportedResponse, ImportedRow, Message, Prompt
from tasks.config.exchange import ExportConfig, ImportConfig, PairsConfig
from tasks.curation.ingestion import import_source
from tasks.errors import NoPreferencesError
from tasks.labels import exchange
from tasks.labels.exchange import export_pairs, export_preferences
from tasks.labels.label_import import import_labels
from tasks.reports.run_ends import label_end


@pytest.fixture
def run_id(sessions):
    return curate_breads(sessions)


@pytest.fixture
def server():
    with serving(ChatServer()) as own:
        own.reply = prefers
        yield own


def test_an_export_is_a_snapshot_that_later_labels_do_not_change(settings, sessions, run_id, server, tmp_path):
    label(**judge_config(server))
    path = tmp_path / "preferences.jsonl"
    result = export_preferences(path, ExportConfig(), settings)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == result.snapshot.row_count == 6
    assert rows[0]["prompt"] == [{"role": "user", "content": "prompt 1"}]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "rye bread 1"}]
    assert rows[0]["run_id"] == run_id and rows[0]["rule"] == "majority" and len(rows[0]["strategies"]) == 4
    meta = json.loads((tmp_path / "preferences.jsonl.meta.json").read_text())
    assert meta["content_hash"] == result.snapshot.content_hash and meta["query"]["run"] == run_id
    labels = [{"pair_id": pair_id, "annotator": name, "verdict": "second"} for pair_id in (1, 2) for name in ("a", "b")]
    write_lines(tmp_path / "more.jsonl", labels)
    import_labels(tmp_path / "more.jsonl", None, settings)
    again = export_preferences(tmp_path / "again.jsonl", ExportConfig(), settings)
    assert again.snapshot.id != result.snapshot.id
    same = export_preferences(tmp_path / "judge.jsonl", ExportConfig(annotators=("tiny (alpaca_eval)",)), settings)
    assert same.snapshot.content_hash == result.snapshot.content_hash, "the same texts"
    assert same.snapshot.id != result.snapshot.id, "another question"
    assert export_preferences(tmp_path / "x.jsonl", ExportConfig(name="x"), settings).snapshot.name == "x"
    assert [json.loads(line)["chosen"] for line in (tmp_path / "judge.jsonl").read_text().splitlines()] == [
        row["chosen"] for row in rows
    ]


def test_weighted_and_unanimous_rules_export_too(settings, sessions, run_id, tmp_path):
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first", "b": "first", "c": "second"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    assert export_preferences(tmp_path / "w.jsonl", ExportConfig(rule="weighted"), settings).snapshot.row_count == 6
    with pytest.raises(NoPreferencesError, match="6 contradiction"):
        export_preferences(tmp_path / "u.jsonl", ExportConfig(rule="unanimous"), settings)
    with pytest.raises(NoPreferencesError, match=r"6 with less support than 0\.9"):
        export_preferences(tmp_path / "u.jsonl", ExportConfig(min_support=0.9), settings)
    with pytest.raises(LookupError, match="no annotator 'zoe'"):
        export_preferences(tmp_path / "u.jsonl", ExportConfig(annotators=("zoe",)), settings)


@on_sqlite
def test_a_file_is_written_in_the_format_of_its_ending(settings, sessions, run_id, tmp_path):
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    for name, magic in (("p.parquet", b"PAR1"), ("p.jsonl", b'{"pr')):
        export_preferences(tmp_path / name, ExportConfig(), settings)
        assert (tmp_path / name).read_bytes()[:4] == magic
    export_preferences(tmp_path / "folder", ExportConfig(), settings)
    assert (tmp_path / "folder" / "dataset_info.json").is_file()
    with pytest.raises(ValueError, match=r"\.jsonl, \.parquet, or a folder"):
        export_preferences(tmp_path / "p.csv", ExportConfig(), settings)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        export_preferences(tmp_path / "nowhere" / "p.jsonl", ExportConfig(), settings)


@on_sqlite
def test_an_export_that_breaks_off_leaves_no_reading_behind(settings, sessions, run_id, tmp_path, monkeypatch):
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    being_read = []

    def no_room(rows, *_, **__):
        being_read.append(rows)
        next(rows)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exchange, "write_preferences", no_room)
    with pytest.raises(OSError, match="No space left"):
        export_preferences(tmp_path / "preferences.jsonl", ExportConfig(), settings)
    assert not list(being_read[0])


@on_sqlite
def test_no_label_yet_is_said(settings, sessions, run_id, tmp_path):
    with pytest.raises(NoPreferencesError, match=f"no pair is labelled yet; label some: antipode web --run {run_id}, "):
        export_preferences(tmp_path / "x.jsonl", ExportConfig(), settings)
    assert not list(tmp_path.glob("x.jsonl*"))


def test_a_response_no_trainer_can_learn_from_is_left_out_and_counted(settings, sessions, tmp_path):
    add(sessions, own_row(1, "fine", "  "), own_row(2, "good", "better"))
    run_id = curate(configured(**OWN, embed={"backend": "hashed"}))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    result = export_preferences(tmp_path / "x.jsonl", ExportConfig(), settings)
    assert result.snapshot.row_count + sum(result.left_out.values()) == len(pair_keys(sessions, run_id))


@pytest.mark.parametrize(
    ("database_url", "tool"),
    [
        ("sqlite", "labels"),
        ("sqlite", "label-studio"),
        ("sqlite", "argilla"),
        pytest.param("postgresql", "labels", marks=pytest.mark.postgres),
    ],
    indirect=["database_url"],
)
def test_pairs_go_out_and_labels_come_back(settings, sessions, run_id, tmp_path, tool):
    path = tmp_path / ("pairs.jsonl" if tool == "labels" else "pairs.json")
    written = export_pairs(path, tool, PairsConfig(), seed=0, settings=settings)
    assert written.pair_count == 6
    write_lines(tmp_path / "labels.jsonl", [])
    answered = answer_left(path, tool)
    back = tmp_path / "back.json"
    back.write_text(json.dumps(answered))
    result = import_labels(back, tool, settings)
    assert (result.added, result.rejected) == (6, 0)
    for row in stored(sessions):
        chosen = row.first_response_id if row.verdict == "first" else row.second_response_id
        assert chosen == row.left_response_id, "everybody chose the left one"


def answer_left(path, tool):
    """The tool's own export after a person chose the left response of every pair."""
    if tool == "labels":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [row | {"verdict": "left", "annotator": "anna"} for row in rows]
    records = json.loads(path.read_text())
    if tool == "argilla":
        answer = {"preference": [{"value": "left", "user_id": "anna", "status": "submitted"}]}
        return [record | {"responses": answer} for record in records]
    result = [{"type": "pairwise", "from_name": "preference", "to_name": "left,right", "value": {"selected": "left"}}]
    annotation = {"id": 1, "completed_by": 7, "result": result, "was_cancelled": False, "lead_time": 4.2}
    return [task | {"id": number, "annotations": [annotation]} for number, task in enumerate(records, 1)]


@on_sqlite
@pytest.mark.real_data
def test_the_labels_of_hh_rlhf_come_in_and_go_out_again(settings, sessions, tmp_path):
    import_source(str(REAL_DATA / "hh_rlhf_harmless_base_test.jsonl.gz"), ImportConfig(name="hh", limit=300), settings)
    run_id = curate(configured(**OWN, select={"scope": "source_pairs", "strategies": ["easy", "hard"], "share": 0.5}))
    end = label_end(label(annotator="source"), settings)
    assert end.judged == end.pairs > 250
    result = export_preferences(tmp_path / "hh.parquet", ExportConfig(format="parquet"), settings)
    assert result.snapshot.row_count == end.pairs
    with sessions() as session:
        rows = session.execute(
            text(
                "SELECT source_pairs.first_response_id, snapshot_rows.chosen_response_id FROM snapshot_rows "
                "JOIN source_pairs ON source_pairs.first_response_id IN (chosen_response_id, rejected_response_id) "
                "AND source_pairs.second_response_id IN (chosen_response_id, rejected_response_id)"
            )
        ).all()
    assert len(rows) >= end.pairs and all(chosen == first for first, chosen in rows), "HH's first one is its chosen one"
    assert run_id


@on_sqlite
def test_what_a_shape_cannot_hold_is_left_out_of_its_file_and_counted(settings, sessions, tmp_path, capsys):
    texts = (ImportedResponse("fine"), ImportedResponse("better"))
    uneven = Prompt((Message("user", "one"), Message("user", "two")))
    add(sessions, ImportedRow(1, uneven, texts), name="uneven", content_hash="1" * 64)
    run_id = curate(configured(**OWN))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    with pytest.raises(NoPreferencesError, match=r"no preference fits --shape llamafactory-kto: 1 .*turns alternate"):
        export_preferences(tmp_path / "x.jsonl", ExportConfig(shape="llamafactory-kto"), settings)
    assert not list(tmp_path.glob("x.jsonl*"))
    add(sessions, own_row(2, "good", "better"), name="even", content_hash="2" * 64)
    run_id = curate(configured(**OWN))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    result = export_preferences(tmp_path / "x.jsonl", ExportConfig(shape="llamafactory-kto"), settings)
    assert (result.snapshot.row_count, result.row_count, result.record_count) == (2, 1, 2)
    assert list(result.left_out.values()) == [1]
    show_export(result)
    printed = capsys.readouterr().out
    assert f"1 of 2 pairs in {result.path} as 2 single responses (snapshot {result.snapshot.id})" in printed
    assert "not in it: 1 LLaMA-Factory takes a prompt whose turns alternate" in printed
    assert f"For the trainer, also in {tmp_path / 'x.jsonl.entry.json'}:" in printed and '"kto_tag": "label"' in printed


@on_sqlite
def test_a_file_that_a_trainer_could_not_load_is_refused_before_anything_is_stored(
    settings, sessions, run_id, tmp_path
):
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"a": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    with pytest.raises(ValueError, match=r"llamafactory-alpaca is read from \.jsonl or \.parquet, got datasets"):
        export_preferences(tmp_path / "folder", ExportConfig(shape="llamafactory-alpaca"), settings)
    with pytest.raises(ValueError, match=r"OpenRLHF cannot read a path with ',' or '@'"):
        export_preferences(tmp_path / "a@b.jsonl", ExportConfig(shape="openrlhf-text"), settings)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM snapshots")) == 0
