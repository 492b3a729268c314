"""The service on a real Prefect server, worker and page: schedules, trainings on new labels, deaths, a server down."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import psutil
import pytest
from alignment_world import chosen_prompts, tiny_model
from service_parts import CONFIG, Service, eventually, kill_family, label_all, printed_until_ready
from sqlalchemy import create_engine, text
from surroundings import ROOT, free_port, on_postgresql, on_sqlite

from flows.processes.announced_server import announced_address
from tasks.config.exchange import ImportConfig
from tasks.curation.ingestion import import_source
from tasks.labels.people import page_secret
from web.monitoring import metrics_token

pytestmark = pytest.mark.slow
VERDICTS = ["left", "right", "left"] * 3
QUICK = {
    "sft": {"epochs": 0},
    "train": {"epochs": 1, "learning_rate": 1e-3, "batch_size": 4, "max_length": 512, "evaluate_every": 0},
    "model": {"dtype": "float32"},
    "evaluate": {"has_drift": False, "max_tokens": 4, "backend": "transformers"},
}


@pytest.fixture
def service(settings, tmp_path):
    parts = Service(tmp_path, settings.variables())
    yield parts
    parts.close()


def write_prompts(path, texts):
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return str(path)


def rows(settings, query):
    engine = create_engine(settings.database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = connection.execute(text(query)).all()
    engine.dispose()
    return found


@on_sqlite
def test_one_command_starts_everything_and_ctrl_c_leaves_nothing(settings, tmp_path):
    port, page_port = free_port(), free_port()
    command = ["up", "--prefect_port", str(port), "--page_port", str(page_port), "--annotators", "anna"]
    command += ["--nightly", "prompts", "--model", str(ROOT / "models" / "demo" / "shipped_model")]
    parts = Service(tmp_path, settings.variables())
    parts.port, parts.address = port, f"http://127.0.0.1:{port}/api"
    write_prompts(tmp_path / "prompts.jsonl", [f"Number {n}?" for n in range(6)])
    assert parts.run("flows", "import", "prompts.jsonl").returncode == 0
    for wrong, words in (
        ([*command[:-3], "yours", *command[-2:]], "no source 'yours'"),
        (command[:-2], "--model NAME"),
    ):
        refused = parts.run("flows", *wrong)
        assert refused.returncode in {1, 2} and words in refused.stderr, "before anything is started"
    up = subprocess.Popen(
        [sys.executable, "-m", "flows", *command],
        cwd=tmp_path,
        env={name: value for name, value in parts.environment.items() if name != "PREFECT_API_URL"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed = printed_until_ready(up)
        assert f"http://127.0.0.1:{port}/deployments" in printed
        link = re.search(rf"http://127\.0\.0\.1:{page_port}/sign-in\?token=\S+", printed)[0]
        assert httpx.get(link, timeout=60).status_code == 200
        assert "Database        sqlite:////" in printed
        assert announced_address(settings.artifact_root) == parts.address, "a command beside it finds its server"
        token = {"Authorization": f"Bearer {metrics_token(page_secret(settings))}"}
        told = httpx.get(f"http://127.0.0.1:{page_port}/metrics", headers=token, timeout=60).text
        assert 'antipode_device_held{limit="gpu-' in told and "antipode_runs" in told
        again = parts.run("flows", *command)
        assert again.returncode == 1 and f"port {port} is taken" in again.stderr

        eventually(lambda: parts.runs_of("curate/nightly", "SCHEDULED"), "a scheduled run of the nightly curation")
        of_the_night = parts.deployment("curate/nightly")["parameters"]["config"]
        assert (of_the_night["source"]["name"], of_the_night["model"]["name"]) == ("prompts", command[-1])
        assert parts.deployment("align/on-labels")["parameters"]["config"]["model"]["name"] == command[-1]
        path = f"/deployments/{parts.deployment('curate/manual')['id']}/create_flow_run"
        unfit = {"parameters": {"config": {"generate": {"temperature": 9}}}}
        refused = httpx.post(f"{parts.address}{path}", json=unfit, timeout=30)
        assert refused.status_code == 409 and "temperature" in refused.text
        run = parts.start_run("curate/manual", {"config": CONFIG | {"name": "form", "queue": {"is_opened": True}}})
        assert parts.ended(run)["type"] == "COMPLETED"
        shown = parts.artifacts(run)
        assert {"markdown", "table", "image", "progress"} <= {one["type"] for one in shown.values()}
        assert f"http://127.0.0.1:{page_port}/queues/1" in "".join(str(one["data"]) for one in shown.values())
        of_run = {"logs": {"flow_run_id": {"any_": [run]}, "task_run_id": {"is_null_": False}}}
        eventually(lambda: parts.call("POST", "/logs/filter", of_run), "log lines of the steps")
        eventually(lambda: parts.runs_of("sweep/regular", "COMPLETED"), "the look for what an earlier stop had left")
        (automation, _) = parts.call("POST", "/automations/filter", {})
        assert "whose process died" in automation["name"] and automation["enabled"]
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) >= 3
        up.send_signal(signal.SIGINT)
        assert up.wait() == 0
        assert "nothing is lost" in up.stdout.read()
        assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        kill_family(up.pid)
        up.wait()
        up.stdout.close()


@on_sqlite
def test_labels_from_the_page_start_one_training_and_those_given_while_prefect_is_down_another(
    service, settings, tmp_path
):
    prompts = chosen_prompts(train=18, held_out=9)
    write_prompts(tmp_path / "prompts.jsonl", prompts)
    assert service.run("flows", "import", "prompts.jsonl").returncode == 0
    server = service.start_server()
    service.deploy()
    on_labels = service.deployment("align/on-labels")["id"]
    config = {"name": "on labels", "data": {"run": "all"}, **QUICK}
    config["model"] = {**QUICK["model"], "name": tiny_model(tmp_path / "model")}
    parameters = {"config": config, "trigger": {"min_new": 8}}
    service.call("PATCH", f"/deployments/{on_labels}", {"parameters": parameters})
    sweep = service.deployment("sweep/regular")
    schedule = f"/deployments/{sweep['id']}/schedules/{sweep['schedules'][0]['id']}"
    service.call("PATCH", schedule, {"active": False})
    service.start_worker()
    queued = CONFIG | {"queue": {"is_opened": True, "strategies": ["easy"]}}
    assert service.ended(service.start_run("curate/manual", {"config": queued}))["type"] == "COMPLETED"
    browser = service.start_page("anna")["anna"]

    def trainings(count):
        found = rows(settings, "SELECT id FROM runs WHERE kind = 'align' AND status = 'completed'")
        return len(found) == count

    assert label_all(browser, "anna", 1, VERDICTS) == 9
    labelled_at = datetime.now(UTC)
    begun = eventually(lambda: service.runs_of("align/on-labels"), "a training")
    assert datetime.fromisoformat(begun[0]["created"]) - labelled_at < timedelta(seconds=30)
    burst = "from prefect.events import emit_event as e\n" + (
        "for n in range(100): e('antipode.preferences.added', resource={'prefect.resource.id': 'antipode.run.1'})"
    )

    def is_looked_at_after_a_burst():
        """Prefect sends an event at most once: a server that stalls loses it, so the burst may have to come again."""
        subprocess.run([sys.executable, "-c", burst], env=service.environment, check=True)
        with contextlib.suppress(AssertionError):
            return eventually(lambda: len(service.runs_of("align/on-labels")) > 1, "a look", timeout_s=80)

    eventually(is_looked_at_after_a_burst, "the look after the last of a hundred events")
    eventually(lambda: trainings(1), "its end")
    for run in service.runs_of("align/on-labels"):
        assert service.ended(run["id"])["type"] == "COMPLETED"
    ended = service.runs_of("align/on-labels")
    assert {run["name"] for run in ended} == {"align on labels by dpo"}
    # One after the page's event, one after the last of the hundred; more only if the server itself stalls in between.
    assert len(ended) <= 5, "a hundred events are no hundred runs"
    assert trainings(1), "of all of them one trains"

    kill_family(server.pid)
    server.wait()
    assert label_all(browser, "anna", 1, VERDICTS) == 9
    service.start_server()
    assert service.ended(service.start_run("sweep/regular"))["type"] == "COMPLETED"
    eventually(lambda: trainings(2), "the training that the sweep starts")
    assert service.ended(service.start_run("sweep/regular"))["type"] == "COMPLETED"
    assert len(rows(settings, "SELECT id FROM runs WHERE kind = 'align'")) == 2
    assert Counter(rows(settings, "SELECT status FROM policies")) == {("trained",): 2}


@on_sqlite
def test_a_run_whose_worker_and_server_are_killed_is_taken_up_without_a_lost_or_doubled_row(
    service, settings, tmp_path
):
    write_prompts(tmp_path / "prompts.jsonl", [f"Number {n}?" for n in range(150)])
    assert service.run("flows", "import", "prompts.jsonl").returncode == 0
    server = service.start_server()
    service.deploy()
    worker = service.start_worker()
    config = CONFIG | {"name": "killed", "generate": CONFIG["generate"] | {"prompts_per_shard": 1}}
    killed = service.start_run("curate/manual", {"config": config})
    count = "SELECT count(*) FROM responses"
    eventually(lambda: rows(settings, "SELECT name FROM sqlite_master") and rows(settings, count)[0][0] > 50, "samples")
    kill_family(worker.pid)
    kill_family(server.pid)
    server.wait()
    stored = rows(settings, count)[0][0]
    assert 50 < stored < 150 * 4, "it was killed in the middle"
    assert rows(settings, "SELECT status FROM runs") == [("running",)]

    service.start_server()
    service.start_worker()
    assert service.ended(service.start_run("sweep/regular", {"config": {"min_age_s": 0}}))["type"] == "COMPLETED"
    assert service.state(killed)["type"] == "CRASHED"
    eventually(lambda: rows(settings, "SELECT status FROM runs") == [("completed",)], "the end of the run")
    assert rows(settings, "SELECT resumes FROM runs") == [(1,)]
    assert rows(settings, count) == [(150 * 4,)]
    doubled = "SELECT prompt_id, sample_index FROM responses GROUP BY prompt_id, sample_index HAVING count(*) > 1"
    assert rows(settings, doubled) == []
    assert len(rows(settings, "SELECT DISTINCT prompt_id FROM pairs")) == 150


@on_postgresql
def test_four_workers_with_passwords_share_a_postgresql_and_double_nothing(
    service, settings, postgres_server, tmp_path
):
    own_database = settings.database.rpartition("/")[2] + "_prefect"
    admin = create_engine(f"{postgres_server}/postgres".replace("postgresql:", "postgresql+psycopg:"))
    with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {own_database}"))
    admin.dispose()
    service.environment |= {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"{postgres_server}/{own_database}".replace("sql:", "sql+asyncpg:"),
        "PREFECT_SERVER_API_AUTH_STRING": "admin:a long password",
        "PREFECT_API_AUTH_STRING": "admin:a long password",
    }
    service.credentials = ("admin", "a long password")
    for number in range(8):
        path = write_prompts(tmp_path / f"{number}.jsonl", [f"Number {n} of {number}?" for n in range(40)])
        assert import_source(path, ImportConfig(name=f"set {number}"), settings).rows == 40
    service.start_server()
    assert httpx.post(f"{service.address}/deployments/filter", json={}, timeout=60).status_code == 401
    without = {**service.environment, "PREFECT_API_AUTH_STRING": "admin:wrong"}
    service.environment, kept = without, service.environment
    refused = service.run("flows", "deploy")
    service.environment = kept
    assert refused.returncode == 1 and "refuses us; set PREFECT_API_AUTH_STRING" in refused.stderr
    service.deploy()
    for _ in range(4):
        service.start_worker("--limit", "2")
    deployment = service.deployment("curate/manual")["id"]
    service.call("PATCH", f"/deployments/{deployment}", {"concurrency_limit": 8})
    page = service.start_page("anna", "ben")
    slow = {"generate": CONFIG["generate"] | {"prompts_per_shard": 4}, "embed": CONFIG["embed"]}
    begun = [
        service.start_run(
            "curate/manual",
            {"config": slow | {"name": f"run {n}", "source": {"name": f"set {n}"}, "queue": {"is_opened": True}}},
        )
        for n in range(8)
    ]
    assert [service.ended(one)["type"] for one in begun] == ["COMPLETED"] * 8
    assert rows(settings, "SELECT count(*), count(DISTINCT prompt_id) FROM responses") == [(8 * 40 * 4, 8 * 40)]
    doubled = "SELECT prompt_id, sample_index FROM responses GROUP BY prompt_id, sample_index HAVING count(*) > 1"
    assert rows(settings, doubled) == []
    assert rows(settings, "SELECT run_id, strategy FROM pairs GROUP BY run_id, strategy HAVING count(*) <> 40") == []
    assert {run["name"] for run in service.runs_of("curate/manual")} == {f"curate run {n}" for n in range(8)}
    workers = {run["infrastructure_pid"].split(":")[0] for run in service.runs_of("curate/manual")}
    assert workers, "each ran in a process of a worker"
    assert [label_all(page[name], name, 1, ["left"] * 5) for name in ("anna", "ben")] == [5, 5]
