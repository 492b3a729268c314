"""The labelling steps in this process: what annotators leave in the database, resuming, budgets, imports, exports."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import suppress

import pytest
from chat_server import ChatServer, completion, refusal
from curation_steps import configured, curate
from judged_pairs import prefers
from labelling_steps import OWN, label, own_row
from pydantic import ValidationError
from reward_models import make_reward_model
from sqlalchemy import select as query
from sqlalchemy import text
from stored_rows import add
from surroundings import REAL_DATA, on_sqlite

from db.labels import judgements, labelling
from db.schema import labels
from models.judging.errors import JudgeServerError
from models.labelling.records import PairKey
from models.records import ImportedPair, ImportedResponse, ImportedRow, Prompt
from tasks.config.exchange import ExportConfig, ImportConfig, PairsConfig
from tasks.config.labels import LabelConfig
from tasks.curation.ingestion import import_demo_prompts, import_source
from tasks.errors import NoPreferencesError, NothingToDoError, RunBusyError
from tasks.labels.exchange import export_pairs, export_preferences
from tasks.labels.label_import import import_labels
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run
from tasks.labels.quality import quality_of_run
from tasks.reports.run_ends import label_end
from tasks.reports.run_publishing import publish_labels
from tasks.runs import alone_on


@pytest.fixture
def run_id(sessions):
    """Six prompts with two responses each, curated: a pair each."""
    add(sessions, *(own_row(number, f"rye bread {number}", f"wheat {number}") for number in range(1, 7)))
    return curate(configured(**OWN))


@pytest.fixture
def server():
    own = ChatServer()
    own.reply = prefers
    threading.Thread(target=own.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield own
    own.shutdown()
    own.server_close()


def judge_config(server, **changes):
    section = {"base_url": server.url, "model": "tiny", "max_retries": 0, "parse_retries": 0}
    return {"annotator": "judge", "judge": section | changes, "pairs_per_shard": 2}


def stored(sessions):
    with sessions() as session:
        return session.scalars(query(labels.Judgement).order_by(labels.Judgement.id)).all()


def outcomes(sessions):
    with sessions() as session:
        return Counter(session.scalars(query(labels.Preference.outcome)))


def test_a_judge_is_asked_in_both_orders_and_its_verdicts_become_preferences(settings, sessions, run_id, server):
    labelled = label(**judge_config(server))
    found = stored(sessions)
    assert len(server.bodies) == 12 and len(found) == 12
    assert {row.left_response_id == row.first_response_id for row in found} == {True, False}
    assert outcomes(sessions) == {"first": 6}, "the longer response came first"
    end = label_end(labelled, settings)
    assert (end.annotator, end.pairs, end.judged, end.requests) == ("tiny (alpaca_eval)", 6, 6, 12)
    assert end.verdicts == {"first": 12} and end.outcomes == {"first": 6}


def test_a_judge_that_always_takes_the_left_one_yields_ties_alone(settings, sessions, run_id, server):
    server.reply = lambda _body, _number: completion("m")
    label(**judge_config(server))
    assert outcomes(sessions) == {"tie": 6}
    quality = quality_of_run(run_id, strategies=(), settings=settings)
    (annotator,) = quality.annotators
    assert annotator.left.value == 1.0 and annotator.flips.value == 1.0
    with pytest.raises(NoPreferencesError, match="there are: 6 tie"):
        export_preferences(settings.artifact_root / "x.jsonl", ExportConfig(), settings)


def test_the_same_labelling_again_asks_nobody(settings, sessions, run_id, server):
    label(**judge_config(server))
    before = stored(sessions)
    label(**judge_config(server))
    assert len(server.bodies) == 12
    assert [row.id for row in stored(sessions)] == [row.id for row in before]


def test_the_budget_ends_a_run_and_the_next_one_goes_on(settings, sessions, run_id, server):
    first = label(**judge_config(server, max_requests=5, concurrency=1))
    assert len(server.bodies) == 5 and len(stored(sessions)) == 5
    assert label_end(first, settings).requests == 5
    label(**judge_config(server, max_requests=5, concurrency=1))
    assert len(server.bodies) == 10 and len(stored(sessions)) == 10
    label(**judge_config(server, max_requests=5, concurrency=1))
    assert len(server.bodies) == 12 and outcomes(sessions) == {"first": 6}


def test_a_server_that_fails_midway_loses_no_reply(settings, sessions, run_id, server):
    server.reply = lambda body, number: prefers(body) if number <= 5 else refusal(401, "no")
    with pytest.raises(JudgeServerError):
        label(**judge_config(server, concurrency=1))
    assert len(stored(sessions)) == 5
    asked = len(server.bodies)
    server.reply = prefers
    label(**judge_config(server, concurrency=1))
    assert len(server.bodies) == asked + 7 and outcomes(sessions) == {"first": 6}


def test_what_a_killed_run_spent_counts_when_it_is_taken_up(settings, sessions, run_id, server):
    config = LabelConfig.model_validate(judge_config(server, max_requests=7, concurrency=1))
    taken = open_label_run.fn(config)
    server.reply = lambda body, number: prefers(body) if number <= 4 else refusal(401, "no")
    with pytest.raises(JudgeServerError):
        judge_pairs.fn(taken)
    server.reply = prefers
    assert open_label_run.fn(config) == taken
    judge_pairs.fn(taken)
    assert len(server.bodies) == 7
    assert len(stored(sessions)) == 6, "4 replies and a refusal before, 2 replies after"


def test_a_run_never_sends_more_than_its_budget_however_often_it_fails(settings, sessions, run_id, server):
    server.reply = lambda _body, _number: refusal(500, "broken")
    config = LabelConfig.model_validate(judge_config(server, max_requests=6))
    for _ in range(4):
        taken = open_label_run.fn(config)
        with suppress(JudgeServerError):
            judge_pairs.fn(taken)
    assert len(server.bodies) == 6
    with sessions() as session:
        assert session.execute(text("SELECT id, requests FROM runs WHERE kind = 'label'")).all() == [(taken, 6)]


def test_two_processes_do_not_label_for_the_same_run(settings, sessions, run_id, server):
    taken = open_label_run.fn(LabelConfig.model_validate(judge_config(server)))
    with alone_on(taken):
        with pytest.raises(RunBusyError, match=f"run {taken} is being worked on by another process"), alone_on(taken):
            pass
        with alone_on(taken + 1):
            pass


def test_a_pair_the_server_refuses_is_skipped_and_the_rest_is_labelled(settings, sessions, run_id, server):
    server.reply = lambda body, _number: refusal(400, "content policy") if "rye bread 1" in str(body) else prefers(body)
    end = label_end(label(**judge_config(server, concurrency=1)), settings)
    assert end.verdicts == {"first": 10, "skip": 2} and end.outcomes == {"first": 5}
    label(**judge_config(server, concurrency=1))
    assert len(server.bodies) == 12, "what was refused is not asked, and paid, again"


@on_sqlite
def test_an_answer_without_a_verdict_is_shown(settings, sessions, run_id, server):
    server.reply = lambda _body, _number: completion("I like turtles")
    end = label_end(label(**judge_config(server)), settings)
    assert end.verdicts == {"unparsed": 12} and end.unparsed_reply == "I like turtles" and end.outcomes == {}


def test_the_end_of_a_run_that_found_all_judged_names_its_annotator(settings, sessions, run_id, server):
    label(**judge_config(server))
    end = label_end(label(**judge_config(server)), settings)
    assert (end.annotator, end.judged, end.verdicts) == ("tiny (alpaca_eval)", 6, {})
    half = label_end(label(**judge_config(server, model="other", max_requests=3, concurrency=1)), settings)
    assert half.judged == 1, "a pair that was asked in one order alone is not judged"


def test_imported_labels_count_in_queues_that_are_open(settings, sessions, run_id, tmp_path):
    label(annotator="people")
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    with sessions() as session:
        (queue,) = session.scalars(query(labels.Queue)).all()
    assert queue.done_count == queue.pair_count == 6
    assert "easy" not in queue.name and "hard" not in queue.name


def test_a_name_is_one_person_however_it_is_typed(settings, sessions, run_id, tmp_path):
    write_labels(tmp_path / "a.jsonl", sessions, run_id, {"Jos\u00e9": "first"})
    write_labels(tmp_path / "b.jsonl", sessions, run_id, {"Jose\u0301 ": "second"})
    assert import_labels(tmp_path / "a.jsonl", None, settings).added == 6
    again = import_labels(tmp_path / "b.jsonl", None, settings)
    assert (again.added, again.rejected) == (0, 6)
    assert any("has judged this pair already" in reason for reason in again.reasons)


def test_gold_scores_and_sources_label_what_they_know_and_skip_the_rest(settings, sessions):
    reference = (ImportedResponse("good", is_reference=True), ImportedResponse("bad"))
    scored = (ImportedResponse("many", score=9.0), ImportedResponse("few", score=3.0))
    close = (ImportedResponse("close", score=9.0), ImportedResponse("near", score=8.0))
    rows = [ImportedRow(n, Prompt.from_text(f"p{n}"), both) for n, both in enumerate((reference, scored, close), 1)]
    rows.append(
        ImportedRow(
            4,
            Prompt.from_text("p4"),
            (ImportedResponse("left"), ImportedResponse("right")),
            ImportedPair(0, 1, "second"),
        )
    )
    add(sessions, *rows)
    curate(configured(**OWN, source={"has_references": True}))
    for annotator, verdicts in (("gold", {"first": 1}), ("source", {"second": 1}), ("scores", {"first": 1, "tie": 1})):
        end = label_end(label(annotator=annotator), settings)
        assert end.verdicts == verdicts and end.judged == sum(verdicts.values())
    assert outcomes(sessions) == {"first": 2, "second": 1, "tie": 1}


@on_sqlite
def test_two_rubric_annotators_disagree_more_where_responses_are_alike(settings, sessions):
    import_demo_prompts(settings)
    run_id = curate(configured(generate={"backend": "scripted"}, source={"name": "demo", "limit": 20}))
    for seed in (0, 1):
        label(annotator="rubric", rubric={"seed": seed}, pairs={"strategies": ["easy", "random"]})
    quality = quality_of_run(run_id, strategies=(), settings=settings)
    assert [annotator.judgement_count for annotator in quality.annotators] == [quality.labelled_count] * 2
    assert {group.group for group in quality.by_strategy} >= {"easy", "random"}


def test_people_get_a_queue_and_the_same_pairs_are_the_same_queue(settings, sessions, run_id):
    for _ in range(2):
        end = label_end(label(annotator="people", people={"judgements_per_pair": 2}), settings)
    assert end.annotator is None and end.pairs == 6 and end.judged == 0
    with sessions() as session:
        (queue,) = session.scalars(query(labels.Queue)).all()
    assert (queue.pair_count, queue.judgements_per_pair) == (6, 2)


@on_sqlite
def test_labelling_needs_a_run_with_pairs(settings, sessions, run_id):
    with pytest.raises(NothingToDoError, match=f"run {run_id} has no pair of hard or easy"):
        with sessions.begin() as session:
            session.execute(text("DELETE FROM pairs WHERE strategy IN ('hard', 'easy')"))
        label(annotator="gold", pairs={"strategies": ["hard", "easy"]})
    with pytest.raises(LookupError, match="there is no run 'nothing'"):
        label(annotator="gold", pairs={"run": "nothing"})


def test_settings_of_an_annotator_that_is_not_used_are_refused():
    with pytest.raises(ValidationError, match="rubric is set, but the annotator is gold"):
        LabelConfig.model_validate({"annotator": "gold", "rubric": {"seed": 3}})
    with pytest.raises(ValidationError, match="a judge needs an address and a model"):
        LabelConfig.model_validate({"annotator": "judge"})
    with pytest.raises(ValidationError, match=r"max_cost needs judge\.input_price"):
        LabelConfig.model_validate({"judge": {"base_url": "u", "model": "m", "max_cost": 1}})


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


def pair_keys(sessions, run_id):
    with sessions() as session:
        return labelling.pair_keys(session, run_id)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_labels(path, sessions, run_id, verdicts):
    """Everybody's verdict on every pair of the run."""
    rows = [
        {"left_response_id": pair[0], "right_response_id": pair[1], "annotator": name, "verdict": verdict}
        for pair in pair_keys(sessions, run_id)
        for name, verdict in verdicts.items()
    ]
    write_lines(path, rows)


def test_bad_labels_are_refused_row_by_row_with_reasons(settings, sessions, run_id, tmp_path):
    first, second = pair_keys(sessions, run_id)[0]
    with sessions() as session:
        pair_id = session.scalar(text("SELECT min(id) FROM pairs"))
    by_responses = {"left_response_id": second, "right_response_id": first, "annotator": "anna"}
    rows = [
        by_responses | {"verdict": "left"},
        {"pair_id": 999_999, "annotator": "anna", "verdict": "first"},
        {"pair_id": pair_id, "annotator": "anna", "verdict": "best"},
        {"pair_id": pair_id, "annotator": "anna", "verdict": "first"},
        {"pair_id": pair_id, "annotator": "", "verdict": "first"},
        {"pair_id": pair_id, "left_response_id": 1, "right_response_id": 999, "annotator": "carl", "verdict": "tie"},
        {"left_response_id": 1, "right_response_id": 998, "annotator": "ben", "verdict": "tie"},
        {"pair_id": pair_id, "annotator": "ben", "verdict": "both_bad", "seconds": 3.5, "rationale": "both wrong"},
    ]
    write_lines(tmp_path / "labels.jsonl", rows)
    result = import_labels(tmp_path / "labels.jsonl", None, settings)
    assert (result.rows, result.added, result.rejected, result.run_id) == (8, 2, 6, run_id)
    reasons = {row["row_number"]: row["reason"] for row in map(json.loads, result.rejects_path.open())}
    assert set(reasons) == {2, 3, 4, 5, 6, 7}
    assert "there is no pair 999999" in reasons[2] and "best" in reasons[3] and "annotator" in reasons[5]
    assert "anna has judged this pair already" in reasons[4]
    assert f"pair {pair_id} is of the responses {first} and {second}, not 1 and 999" in reasons[6]
    assert "no run has selected the responses 1 and 998" in reasons[7]
    anna, ben = stored(sessions)
    assert (anna.verdict, anna.left_response_id) == ("second", second)
    assert (ben.verdict, ben.seconds, ben.rationale) == ("both_bad", 3.5, "both wrong")
    again = import_labels(tmp_path / "labels.jsonl", None, settings)
    assert (again.added, again.rejected, again.run_id) == (0, 8, None)


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
def test_the_report_page_shows_the_labels(settings, sessions, run_id, server):
    publish_labels.fn(label(**judge_config(server)))
    page = (settings.artifact_root / "reports" / f"run-{run_id}.html").read_text()
    assert "tiny (alpaca_eval)" in page


@on_sqlite
def test_a_reward_model_labels(settings, sessions, run_id, demo_model, tmp_path):
    folder = make_reward_model(demo_model, tmp_path / "classifier")
    end = label_end(label(annotator="reward_model", reward_model={"name": folder}), settings)
    assert end.judged == 6
    with sessions() as session:
        found = judgements.judgements_on(session, [PairKey(*pair) for pair in pair_keys(sessions, run_id)])
    assert all(judgement.margin is not None for judgement in found)
