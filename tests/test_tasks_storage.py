"""Runs whose artifacts are at a URL: the rows of a folder alone, through a server's absence, a kill and other hosts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from curation_steps import configured, curate
from doctor_findings import SECRET, levels, told
from object_storage import bucket, damage, names, s3_server
from sqlalchemy import func, select
from stored_rows import add, row
from surroundings import ROOT, on_postgresql, on_sqlite

from db.schema import curation
from db.schema.base import Base
from flows.commands.database import Vectors
from models.demo.corpus import demo_prompts
from models.records import ImportedRow, Prompt
from models.storage import StorageError, StorageGoneError
from tasks.config.curation import CurateConfig
from tasks.curation.similar import similar_prompts, similar_responses
from tasks.curation.vectors import check_vectors, forget_broken
from tasks.database import open_database
from tasks.doctor.artifacts import artifact_findings, storage_findings
from tasks.errors import VectorsMissingError
from tasks.reports.run_page import write_run_report
from tasks.settings import Settings
from tasks.storage import brought_folder, holds_folder, objects_of, share_folder
from tasks.tidying.forgetting import forget

SMALL_SHARDS = {"responses_per_shard": 4}
SINGLE = configured(embed={"responses_per_shard": 1})
PROMPTS = 12
TIMES = ("device_seconds",)


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def url(server, settings, monkeypatch):
    """A bucket of one's own, where the installation has its artifacts."""
    address = server.new_bucket()
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", f"{address}/mine")
    return address


PLAIN = [row(number, f"Tell me about number {number}.") for number in range(PROMPTS)]


@pytest.fixture
def filled(url, sessions):
    add(sessions, *PLAIN)
    return sessions


def rows(sessions):
    """All rows of all tables, without times."""
    with sessions() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(*columns)).all()))
            for table in Base.metadata.sorted_tables
            if (columns := [one for one in table.columns if not one.key.endswith("_at") and one.key not in TIMES])
        }


def rows_of_a_folder_alone(elsewhere, patch, prompts, config):
    """The rows that the same curation has where artifacts are in a folder; of another installation."""
    with patch.context() as own:
        own.delenv("ANTIPODE_ARTIFACT_URL")
        own.setenv("ANTIPODE_DATABASE_URL", elsewhere.database)
        own.setenv("ANTIPODE_ARTIFACT_ROOT", str(elsewhere.artifact_root))
        with open_database(elsewhere) as sessions:
            add(sessions, *prompts)
            curate(config)
            return rows(sessions)


def move_to_another_host(patch, folder):
    patch.setenv("ANTIPODE_ARTIFACT_ROOT", str(folder))
    return Settings()


def embedded(sessions):
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(curation.Embedding))


@on_postgresql
def test_the_demos_curation_has_the_rows_of_a_folder_alone(url, sessions, elsewhere, monkeypatch, demo_model):
    prompts = [ImportedRow(n, Prompt.from_text(text)) for n, text in enumerate(demo_prompts("train")[:PROMPTS])]
    config = CurateConfig.model_validate(
        {
            "model": {"name": str(demo_model), "dtype": "float32"},
            "generate": {"backend": "transformers", "responses_per_prompt": 4, "max_tokens": 16},
            "embed": {"responses_per_shard": 16},
            "select": {"has_cut": True},
        }
    )
    add(sessions, *prompts)
    curate(config)
    assert len(names(f"{url}/mine/vectors")) == 3 * 3 and names(f"{url}/mine/indexes")
    there, here = rows(sessions), rows_of_a_folder_alone(elsewhere, monkeypatch, prompts, config)
    assert there == here and len(there["responses"]) == 4 * PROMPTS and there["pairs"] and there["embeddings"]


@on_postgresql
def test_a_server_that_is_gone_for_a_while_loses_nothing(server, filled, elsewhere, monkeypatch, caplog):
    def lose_it():
        while embedded(filled) < 8:
            time.sleep(0.01)
        server.gateway.stop()
        time.sleep(4)
        server.gateway.start()

    monkeypatch.setenv("ANTIPODE_ARTIFACT_WAIT_S", "60")
    watching = threading.Thread(target=lose_it)
    watching.start()
    curate(SINGLE)
    watching.join()
    assert any("does not answer; waiting up to 60 s for it" in line for line in caplog.messages)
    assert any("answers again" in line for line in caplog.messages)
    assert not any(check.missing or check.damaged for check in check_vectors(Settings(), None))
    assert rows(filled) == rows_of_a_folder_alone(elsewhere, monkeypatch, PLAIN, SINGLE)


@on_sqlite
def test_a_server_that_stays_away_stops_the_run_which_goes_on_later(server, filled, monkeypatch):
    monkeypatch.setenv("ANTIPODE_ARTIFACT_WAIT_S", "0")
    server.gateway.stop()
    try:
        with pytest.raises(StorageGoneError, match="give the same command again: it goes on where it was"):
            curate(configured())
        with filled() as session:
            (failed,) = session.scalars(select(curation.Run))
        assert "did not answer within 0 s" in failed.error
    finally:
        server.gateway.start()
    assert curate(configured()) == failed.id


@on_sqlite
def test_a_bucket_that_is_not_there_is_told_before_anything_is_sampled(server, filled, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="does not exist; make the bucket"):
        patch.setenv("ANTIPODE_ARTIFACT_URL", "s3://nobody-has-this/x")
        curate(configured())
    server.refuse_all(does=True)
    with pytest.raises(StorageError, match="refuses us: "):
        curate(configured())
    server.refuse_all(does=False)
    with filled() as session:
        assert not session.scalars(select(curation.Run)).all()
    curate(configured())


@on_sqlite
def test_a_run_that_is_killed_goes_on(url, filled, elsewhere, monkeypatch):
    code = "from curation_steps import *; curate(configured(embed={'responses_per_shard': 1}))"
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support")))
    run = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE)
    while len(names(f"{url}/mine")) < 8:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert 0 < embedded(filled) < 3 * PROMPTS
    assert curate(SINGLE) == 1
    assert not any(check.missing or check.damaged for check in check_vectors(Settings(), None))
    assert rows(filled) == rows_of_a_folder_alone(elsewhere, monkeypatch, PLAIN, SINGLE)


@on_sqlite
def test_another_host_searches_and_reports_with_what_it_fetches(filled, settings, monkeypatch, tmp_path):
    run_id = curate(configured(embed=SMALL_SHARDS))
    nearest = similar_prompts(1, 3, Settings()), similar_responses(1, 3, Settings())
    page = write_run_report(run_id, Settings()).read_text()
    there = move_to_another_host(monkeypatch, tmp_path / "other")
    assert write_run_report(run_id, there).read_text() == page
    assert (similar_prompts(1, 3, there), similar_responses(1, 3, there)) == nearest
    described = [check.index for check in check_vectors(there, None)]
    assert described == ["exact", "exact"]
    assert curate(configured(embed=SMALL_SHARDS)) == run_id + 1, "a completed run is done again, from what is stored"
    assert {path.name for path in (tmp_path / "other" / "vectors").iterdir()} == {
        path.name for path in (settings.artifact_root / "vectors").iterdir()
    }


@on_sqlite
def test_a_damaged_object_is_found_named_and_embedded_anew(url, filled, settings):
    curate(configured(embed=SMALL_SHARDS))
    broken = next(name for name in names(f"{url}/mine/vectors") if name.endswith("vectors.npy"))
    damage(f"{url}/{broken}")
    checks = check_vectors(Settings(), None)
    shard = Path(broken).parent.name
    assert [list(check.damaged) for check in checks if check.damaged] == [[shard]]
    assert checks[0].store.place.startswith(f"{url}/mine/vectors/")
    shutil.rmtree(settings.artifact_root / "vectors")  # else it is put back from here
    assert [name for name, _ in forget_broken(checks, Settings(), are_lost=False)] == [shard]
    assert broken not in names(url)
    curate(configured(embed=SMALL_SHARDS))
    assert not any(check.damaged or check.missing for check in check_vectors(Settings(), None))
    assert broken in names(url)


@on_sqlite
@pytest.mark.parametrize("loss", ["damaged", "missing"])
def test_a_repair_puts_back_what_this_host_has_a_sound_copy_of(url, filled, capfd, loss):
    curate(configured(embed=SMALL_SHARDS))
    broken = next(name for name in names(f"{url}/mine/vectors") if name.endswith("vectors.npy"))
    damage(f"{url}/{broken}") if loss == "damaged" else bucket().rm_file(f"{url}/{broken}")
    count = embedded(filled)
    checks = check_vectors(Settings(), None)
    assert [*checks[0].missing, *checks[0].damaged] == [Path(broken).parent.name]
    with pytest.raises(SystemExit):
        Vectors(action="check").cli_cmd()
    assert "--repair, first on a host that has copies of them" in capfd.readouterr().out
    assert list(forget_broken(checks, Settings(), are_lost=False)) == [] and embedded(filled) == count
    assert "from this host's copies: 1 shards" in capfd.readouterr().err
    assert not any(check.damaged or check.missing for check in check_vectors(Settings(), None))


@on_sqlite
def test_another_url_loses_no_vectors_of_this_host(url, filled, settings, monkeypatch):
    curate(configured(embed=SMALL_SHARDS))
    count, there = embedded(filled), names(url)
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", f"{url}/elsewhere")
    folder = settings.artifact_root / "vectors"
    with pytest.raises(VectorsMissingError, match=f"none of .* of them are in {folder}/.*: if .* right, copy them"):
        curate(configured(embed={"responses_per_shard": 5}))
    checks = check_vectors(Settings(), None)
    with pytest.raises(VectorsMissingError, match=f"nothing of it is forgotten; .* of them are in {folder}/"):
        list(forget_broken(checks, Settings(), are_lost=False))
    assert list(forget_broken(checks, Settings(), are_lost=True)) == [] and embedded(filled) == count
    expected = {name.removeprefix("mine/") for name in there if "vectors/" in name}
    assert expected == {name.removeprefix("elsewhere/") for name in names(url) if name.startswith("elsewhere/")}


@on_sqlite
def test_what_a_run_alone_used_is_gone_from_the_url_too(url, filled, settings):
    run_id = curate(configured(embed=SMALL_SHARDS))
    shutil.rmtree(settings.artifact_root / "vectors")  # copies that somebody made room by
    assert names(f"{url}/mine/vectors")
    forget("run", str(run_id), Settings())
    assert not [name for name in names(url) if "vectors/" in name]


@on_sqlite
def test_a_folder_that_is_not_there_says_where(url, filled, monkeypatch, tmp_path):
    curate(configured(embed=SMALL_SHARDS))
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", f"{url}/elsewhere")
    move_to_another_host(monkeypatch, tmp_path / "other")
    with pytest.raises(VectorsMissingError, match=f"is in {url}/elsewhere/vectors/.*ANTIPODE_ARTIFACT_URL, right"):
        curate(configured(embed={"responses_per_shard": 5}))


@on_sqlite
def test_the_doctor_writes_there_and_reads_it_again(server, url, filled, monkeypatch):
    curate(configured(embed=SMALL_SHARDS))
    before = names(url)
    on_postgres = Settings(database_url="postgresql://localhost/nobody")
    assert levels(storage_findings(on_postgres)) == ["ok"] and names(url) == before
    (alone,) = storage_findings(Settings())
    assert alone.level == "problem" and "serves one database, and this one is a file" in alone.text
    assert levels(artifact_findings(Settings())) == ["ok", "ok"]
    server.refuse_all(does=True)
    refused = storage_findings(Settings())
    server.refuse_all(does=False)
    server.gateway.stop()
    gone = storage_findings(Settings())
    begun = time.monotonic()
    assert artifact_findings(Settings()) == [] and time.monotonic() - begun < 20, "said once, and not waited for"
    server.gateway.start()
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", "s3://nobody-has-this/x")
    missing = storage_findings(Settings())
    assert levels([*refused, *gone, *missing]) == ["problem"] * 3
    assert "set AWS_ACCESS_KEY_ID" in told(refused) and "did not answer within 0 s" in told(gone)
    assert "make the bucket" in told(missing)
    monkeypatch.delenv("ANTIPODE_ARTIFACT_URL")
    assert storage_findings(Settings()) == []


@on_sqlite
def test_a_policys_folder_is_shared_and_fetched(url, settings, monkeypatch, tmp_path):
    folder = settings.artifact_root / "policies" / "a" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    share_folder(folder, Settings())
    there = move_to_another_host(monkeypatch, tmp_path / "other")
    assert holds_folder("policies/a/model", there) and not holds_folder("policies/b/model", there)
    assert (brought_folder("policies/a/model", there) / "config.json").read_text() == "{}"
    assert not brought_folder("policies/b/model", there).is_dir()
    objects_of(there).remove("policies")
    (folder / "config.json").write_text("trained again")
    share_folder(folder, settings_here := Settings(artifact_root=settings.artifact_root))
    assert (brought_folder("policies/a/model", there) / "config.json").read_text() == "trained again"
    assert brought_folder("policies/a/model", settings_here) == folder
    monkeypatch.delenv("ANTIPODE_ARTIFACT_URL")
    assert objects_of(Settings()) is None


def test_a_url_is_no_folder_and_a_folder_no_url():
    with pytest.raises(ValueError, match="a URL belongs into ANTIPODE_ARTIFACT_URL"):
        Settings(artifact_root="s3://bucket/x")
    for value in ("/mnt/share", "ftp://host/x", "local:///x", "memory://x", "file://x", "s3://"):
        with pytest.raises(ValueError, match=f"expected s3://.*, for a folder file:///…, got {value}"):
            Settings(artifact_url=value)


def test_a_key_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="set AWS_ACCESS_KEY_ID") as refused:
        Settings(artifact_url=f"s3://mine:{SECRET}@bucket/x")
    assert SECRET not in str(refused.value)


def test_the_kinds_of_url_are_those_that_are_said():
    for value in ("s3://bucket", "gs://bucket/x", "file:///mnt/share"):
        assert Settings(artifact_url=value).artifact_url == value
    assert Settings(artifact_url="").artifact_url is None
