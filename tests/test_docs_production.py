"""What docs/production.md says of restoring and moving: another machine goes on where the first one was."""

from __future__ import annotations

import shutil

import httpx
import pytest
from curation_steps import configured, curate
from doctor_findings import levels, told
from labelling_steps import write_labels
from page_site import Site
from page_visitor import Visitor
from sqlalchemy import select as query
from stored_policies import finish, open_policy
from stored_rows import add, row
from surroundings import on_sqlite

from db import pairs, policies, runs
from db.backups import back_up, restore
from db.labels import queues, snapshots
from db.schema.curation import Response
from models.demo import MODEL_FOLDER
from models.exchange.trainers import content_hash
from models.fingerprint import model_fingerprint
from tasks.config.curation import ModelConfig
from tasks.config.exchange import ExportConfig
from tasks.config.labels import LabelConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.curation.similar import similar_responses
from tasks.curation.vectors import check_vectors
from tasks.database import open_database
from tasks.doctor.artifacts import artifact_findings
from tasks.labels.exchange import export_preferences
from tasks.labels.label_import import import_labels
from tasks.labels.people import open_people_queue, page_secret
from tasks.named_models import find_model
from tasks.reports.run_page import write_run_report
from tasks.runs import alone_on, recorded

MORE = {"embed": {"responses_per_shard": 4}, "seed": 7}


@pytest.fixture
def moved(settings, sessions, elsewhere, tmp_path, monkeypatch):
    """An installation with a finished run, labels, a policy and an unfinished run, moved; what the old one told."""
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 7)))
    first = curate(configured(**MORE))
    write_labels(tmp_path / "labels.jsonl", sessions, first, {"anna": "left"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    folder = settings.artifact_root / "policies" / "one" / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    policy = open_policy(sessions, first, "a")
    finish(sessions, policy.id)
    with sessions.begin() as session:
        values = {"folder": "policies/one/model", "fingerprint": model_fingerprint(str(folder), None)}
        policies.finish_policy(session, policy.id, seconds=1, peak_memory_bytes=1, metrics={}, **values)
    unfinished = open_run.fn(configured(source={"limit": 3}, **MORE))
    generate.fn(unfinished)
    embed.fn(unfinished)
    before = told_by(settings, tmp_path / "before.jsonl")
    back_up(tmp_path / "backup", settings.database)
    elsewhere.artifact_root.parent.mkdir(exist_ok=True)
    shutil.copytree(settings.artifact_root, elsewhere.artifact_root)
    settings.artifact_root.rename(tmp_path / "gone")
    restore(tmp_path / "backup", elsewhere.database)
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", elsewhere.database)
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(elsewhere.artifact_root))
    return before, unfinished


def told_by(settings, path):
    """What an installation says of its data."""
    exported = export_preferences(path, ExportConfig(run="1", name="mine"), settings)
    with open_database(settings) as sessions, sessions() as session:
        return {
            "pairs": list(pairs.selected_pairs(session, 1)),
            "similar": similar_responses(session.scalars(query(Response.id)).first(), 3, settings),
            "snapshot": (exported.snapshot.content_hash, content_hash(snapshots.snapshot_rows(session, 1))),
            "rows": path.read_text(),
            "secret": page_secret(settings),
            "policy": find_model(sessions, "policy:1", ModelConfig(name="demo"), settings).fingerprint,
            "report": "Prompt" in write_run_report(1, settings).read_text(),
        }


def test_a_moved_installation_goes_on_where_it_was(moved, elsewhere, tmp_path):
    before, unfinished = moved
    assert told_by(elsewhere, tmp_path / "after.jsonl") == before
    assert levels(artifact_findings(elsewhere)) == ["ok", "ok"]
    assert all(not check.missing and not check.damaged for check in check_vectors(elsewhere, None))
    assert open_run.fn(configured(source={"limit": 3}, **MORE)) == unfinished
    with alone_on(unfinished), recorded(unfinished):
        for step in (generate, embed, select):
            step.fn(unfinished)
    with open_database(elsewhere) as sessions, sessions() as session:
        assert runs.get_run(session, unfinished).status == runs.COMPLETED
        assert runs.summaries(session, unfinished)[0].pairs == runs.summaries(session, 1)[0].pairs // 2


def test_a_folder_older_than_the_database_is_told_and_a_newer_one_harms_nothing(moved, elsewhere, tmp_path):
    before, _ = moved
    (lost, *_) = sorted((elsewhere.artifact_root / "vectors").glob("*/*"))
    kept = lost.rename(tmp_path / "kept")
    shutil.move(elsewhere.artifact_root / "policies", tmp_path / "policies")
    found = artifact_findings(elsewhere)
    assert levels(found) == ["problem", "problem"] and "the first: policy 1" in told(found)
    assert [list(check.missing) for check in check_vectors(elsewhere, None)] == [[lost.name], []]
    shutil.move(tmp_path / "policies", elsewhere.artifact_root / "policies")
    kept.rename(lost)
    curate(configured(source={"limit": 2}, embed={"responses_per_shard": 2}, seed=8))  # what a lost future leaves
    newer = elsewhere.artifact_root
    shutil.copytree(newer / "policies" / "one", newer / "policies" / "two")
    assert told_by(elsewhere, tmp_path / "after.jsonl") == before
    assert levels(artifact_findings(elsewhere)) == ["ok", "ok"]


@on_sqlite
def test_back_to_a_backup_that_was_taken_while_the_page_and_a_curation_were_at_work(
    settings, sessions, antipode, tmp_path
):
    add(sessions, *(row(number, f"Prompt {number}?", "one", "another") for number in range(1, 7)))
    run_id = curate(configured(generate={"when": "never"}))
    queue_id = open_people_queue(LabelConfig(annotator="people", pairs={"run": str(run_id)}), settings)
    site, ana = Site(sessions), Visitor(sessions)
    ana.judge(queue_id, ana.pair(queue_id))
    unfinished = open_run.fn(configured())
    with alone_on(unfinished):
        generate.fn(unfinished)
        assert antipode("backup", "backup.db").returncode == 0
        embed.fn(unfinished)  # what comes after the backup is what is taken back
        while (pair := ana.pair(queue_id)) is not None:
            assert ana.judge(queue_id, pair).status_code == 200
    site.stop()
    database = tmp_path / "antipode.db"
    (tmp_path / "before").mkdir()
    for file in tmp_path.glob("antipode.db*"):
        file.rename(tmp_path / "before" / file.name)
    for command in (("restore", "backup.db"), ("vectors", "check")):
        done = antipode(*command)
        assert done.returncode == 0, done.stderr
    with open_database(settings) as restored, restored() as session:
        assert database.exists() and queues.get_queue(session, queue_id).done_count == 1
        assert runs.get_run(session, unfinished).status == "running"
    site.start()
    try:
        link = httpx.get(site.link("Ana"))
        assert link.status_code == 200
        cookies = {"antipode": link.cookies["antipode"]}
        pair = httpx.get(f"{site.address}/queues/{queue_id}/pair", cookies=cookies).json()["pair"]
        assert pair is not None
    finally:
        site.stop()
    done = antipode("curate", "--generate.backend", "scripted", "--generate.responses_per_prompt", "4",
                    "--embed.backend", "hashed")  # fmt: skip
    assert done.returncode == 0 and f"taking up run {unfinished}" in done.stderr, done.stderr
