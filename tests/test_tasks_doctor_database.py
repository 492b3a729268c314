"""What the doctor finds of databases, ports, models and their servers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest
from answering_servers import answering, silent_port
from doctor_findings import SECRET, levels, told
from poolers import PROGRAM, pooled
from sqlalchemy import create_engine, text
from surroundings import free_port, on_postgresql

from db.engine import make_engine
from db.migrations import downgrade, require_current
from tasks.doctor import database, models
from tasks.settings import Settings


@pytest.fixture
def serve():
    with answering() as start:
        yield start


@pytest.fixture
def taken_port():
    with silent_port() as port:
        yield port


def test_an_empty_database_is_left_empty(settings, database_url):
    found = told(database.database_findings(settings))

    assert "made at the first use" in found
    if database_url.startswith("sqlite"):
        assert not Path(database_url.removeprefix("sqlite:///")).exists()
    else:
        assert "PostgreSQL 1" in found


def test_the_schema_and_the_counts_of_a_database_are_told(settings):
    engine = make_engine(settings.database)
    require_current(engine)
    found = database.database_findings(settings)
    assert levels(found) == ["ok", "ok"]
    assert "the newest; 0 runs, 0 preferences" in told(found)

    downgrade(engine, "0001")
    assert told(database.database_findings(settings)).endswith("do: make a backup, then: antipode upgrade")

    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "9999, made by a newer version" in told(database.database_findings(settings))

    downgraded = text("DELETE FROM alembic_version")
    with engine.begin() as connection:
        connection.execute(downgraded)
    assert "tables of something else" in told(database.database_findings(settings))


@pytest.mark.postgres
def test_what_postgresql_refuses_is_told_with_what_to_do(postgres_server):
    place = postgres_server.removeprefix("postgresql://antipode@")
    admin = create_engine(f"postgresql+psycopg://antipode@{place}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        rules = Path(connection.scalar(text("SHOW hba_file")))
        before = rules.read_text()
        rules.write_text(f"host all careful 127.0.0.1/32 scram-sha-256\n{before}")
        connection.execute(text("CREATE ROLE careful LOGIN PASSWORD 'another'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    try:
        time.sleep(0.2)  # the reload takes a moment
        for address, expected in (
            (f"careful:{SECRET}@{place}/postgres", "do: give the right password"),
            (f"antipode@{place}/nowhere", f"do: createdb -h 127.0.0.1 -p {place[-5:].lstrip(':')} -U antipode nowhere"),
            (f"nobody:{SECRET}@{place}/postgres", "do: createuser -h 127.0.0.1"),
            (f"antipode:{SECRET}@127.0.0.1:{free_port()}/antipode", "do: start the server, or correct host and port"),
        ):
            found = database.database_findings(Settings(database_url=f"postgresql://{address}"))
            assert levels(found) == ["problem"]
            assert expected in told(found)
    finally:
        rules.write_text(before)
        with admin.connect() as connection:
            connection.execute(text("DROP ROLE careful"))
            connection.execute(text("SELECT pg_reload_conf()"))
        admin.dispose()


def test_an_address_or_a_file_that_is_no_database_is_a_problem(tmp_path):
    junk = tmp_path / "junk.db"
    junk.write_text("this is no database " * 100)

    for address, expected in (
        (f"mysql://me:{SECRET}@host/antipode", "it is mysql"),
        (f"{SECRET}", "it is unreadable"),
        (f"postgresql://me:{SECRET}@host:port/antipode", "it is unreadable"),
        (f"sqlite:///{junk}", "file is not a database"),
        ("sqlite:////proc/antipode/antipode.db", "takes no files"),
    ):
        found = database.database_findings(Settings(database_url=address))
        assert levels(found) == ["problem"], address
        assert expected in told(found)
        assert "sqlite:///" in told(found)


def test_a_port_is_free_or_taken_by_whom_it_is_for_or_by_another(serve, taken_port, prefect_server):
    page = int(serve({"/health": (200, {"status": "ok"})}).rpartition(":")[2])
    prefect = httpx.URL(prefect_server).port

    assert "is free" in told(database.page_port_findings(free_port()))
    assert f"ok labelling page: runs at port {page}" in told(database.page_port_findings(page))
    assert f"ok Prefect server: runs at port {prefect}" in told(database.prefect_port_findings(prefect))
    assert f"do: antipode web --port {prefect + 1}" in told(database.page_port_findings(prefect))
    assert f"do: prefect server start --port {taken_port + 1}" in told(database.prefect_port_findings(taken_port))


def test_a_folder_is_a_model_if_nothing_is_missing(tmp_path):
    assert levels(models.model_findings("demo")) == ["ok"]
    for name in (str(tmp_path / "none"), "~none", "no name!"):
        assert "there is no such folder" in told(models.model_findings(name))

    found = told(models.model_findings(str(tmp_path)))
    assert "lacks config.json, weights (model.safetensors), a tokenizer (tokenizer.json)" in found

    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    assert levels(models.model_findings(str(tmp_path))) == ["ok"]

    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "the folder lacks model-2.safetensors do: " in told(models.model_findings(str(tmp_path)))


def test_a_hub_name_is_looked_for_in_the_cache_and_on_the_hub(serve, tmp_path, monkeypatch):
    path = "/{}/resolve/main/config.json"
    hub = serve({path.format("some/model"): (302, ""), path.format("some/secret"): (401, "")})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", hub)
    assert "HF_HUB_OFFLINE forbids fetching it do: unset" in told(models.model_findings("some/model"))

    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert "ok model some/model: on the hub" in told(models.model_findings("some/model"))
    assert "hf auth login" in told(models.model_findings("some/secret"))
    assert "there is no such model" in told(models.model_findings("some/typo"))

    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert "not in the local cache, and the hub: " in told(models.model_findings("some/model"))

    snapshot = tmp_path / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (snapshot / name).write_text("{}")
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("abc")
    assert "ok model some/model: in the local cache" in told(models.model_findings("some/model"))


def test_a_server_of_models_is_asked_with_the_key(serve):
    address = serve({"/v1/models": (200, {"data": [{"id": "judge"}]}), "/v2/models": (200, {"data": []})}, key=SECRET)

    assert "serves judge" in told(models.server_findings(f"{address}/v1/", SECRET))
    assert "serves no model" in told(models.server_findings(f"{address}/v2", SECRET))
    assert "refuses the key (401) do: export ANTIPODE_OPENAI_API_KEY" in told(
        models.server_findings(f"{address}/v1", "another")
    )
    assert "refuses the request without a key" in told(models.server_findings(f"{address}/v1", None))
    assert "usually ends in /v1" in told(models.server_findings(address, SECRET))
    assert "problem" in told(models.server_findings(f"http://me:{SECRET}@127.0.0.1:{free_port()}/v1", SECRET))


def test_a_server_that_echoes_the_key_does_not_bring_it_to_the_screen(serve):
    key = "sk-3f9c77aa21b0"
    address = serve({"/v1/models": (200, {"data": [{"id": f"judge {key}"}]})})
    assert "serves judge [key]" in told(models.server_findings(f"{address}/v1", key))
    assert key not in told(models.server_findings(f"{address}/v1", f"{key}\n"))


def test_a_server_that_never_answers_is_not_waited_for(taken_port):
    began = time.monotonic()

    found = models.server_findings(f"http://127.0.0.1:{taken_port}/v1", None)

    assert "no answer within 3 s" in told(found)
    assert time.monotonic() - began < 6


@on_postgresql
@pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_that_loses_locks_is_a_problem(settings, database_url, tmp_path, mode):
    with pooled(database_url, tmp_path, mode) as url:
        found = database.database_findings(Settings(database_url=url))
    assert levels(found) == (["ok", "ok"] if mode == "session" else ["ok", "ok", "problem"])
    assert ("pool_mode = session" in told(found)) is (mode == "transaction")
