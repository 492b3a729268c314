import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.__main__ import COMMANDS
from tasks.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
ONE_SHOT = {"deploy"}
FILLED_IN = {
    "ANNOTATORS": "anna,ben",
    "DATABASE_PASSWORD": "b",
    "LEAD": "anna",
    "PAGE_DOMAIN": "label.example.org",
    "POSTGRES_PASSWORD": "a",
    "PREFECT_DATABASE_PASSWORD": "c",
    "PREFECT_DOMAIN": "prefect.example.org",
    "PREFECT_PASSWORD": "d",
    "PRIVATE_ADDRESS": "10.0.0.1",
    "TORCH_CPU_INDEX": "https://example.org/cpu",
}


def test_every_command_is_one_of_ours_or_prefects():
    commands = [service["command"] for service in _services().values() if "command" in service]
    commands += [_cmd(file) for file in DOCKERFILES]
    assert len(commands) >= 9
    for command in commands:
        assert command[:3] == ["prefect", "server", "start"] or command[0] == "antipode", command
        assert command[0] != "antipode" or command[1] in COMMANDS, command


def test_the_page_is_told_who_leads_for_its_user_has_no_name():
    page = _services()["page"]["command"]
    assert "--lead=${LEAD:?}" in page and "--annotators=${ANNOTATORS:?}" in page


def test_every_variable_of_antipode_is_a_setting():
    named = {name for service in _services().values() for name in service.get("environment") or {}}
    ours = {name.removeprefix("ANTIPODE_").lower() for name in named if name.startswith("ANTIPODE_")}
    assert "database_url" in ours
    assert ours <= set(Settings.model_fields)


def test_every_variable_of_prefect_is_a_setting():
    import prefect.settings

    ours = {name for name, service in _services().items() if name != "postgres"}
    named = {variable for name in ours for variable in _services()[name].get("environment") or {}}
    named = {name for name in named if name.startswith("PREFECT_") and name != "PREFECT_DOMAIN"}
    assert len(named) >= 6
    assert {name for name in named if not hasattr(prefect.settings, name)} == set()


def test_every_secret_comes_from_the_environment():
    secrets = 0
    for service in _services().values():
        for name, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|AUTH_STRING|KEY|TOKEN|DATABASE_URL|CONNECTION_URL", name):
                secrets += 1
                assert value is None or re.search(r"\$\{[A-Z_]*PASSWORD:\?\}", value), f"{name}: {value}"
    assert secrets >= 15


def test_the_example_of_an_environment_holds_every_variable_that_must_be_set_and_no_password():
    text = (DOCKER / ".env.example").read_text()
    example = dict(line.split("=", 1) for line in text.splitlines() if re.match("[A-Z_]+=", line))
    required = {name for file in _compose_files() for name in re.findall(r"\$\{([A-Z_]+):\?\}", file.read_text())}
    assert required - {"PRIVATE_ADDRESS"} <= set(example)
    assert {name for name in required & set(example) if example[name]} == set()


def test_only_the_proxy_publishes_ports():
    assert [name for name, service in _services().items() if "ports" in service] == ["caddy"]
    for_hosts = yaml.safe_load((DOCKER / "compose.hosts.yaml").read_text())["services"]
    assert for_hosts["postgres"].pop("ports") == ["${PRIVATE_ADDRESS:?}:5432:5432"]
    assert all("ports" not in service for service in for_hosts.values())


def test_the_proxy_does_not_reach_the_databases():
    services = _services()
    assert services["postgres"]["networks"] == ["back"]
    assert "back" not in services["caddy"]["networks"]
    assert yaml.safe_load((DOCKER / "compose.yaml").read_text())["networks"]["back"] == {"internal": True}


def test_every_service_restarts_logs_within_bounds_and_tells_its_health():
    for name, service in _services().items():
        assert service["restart"] == ("on-failure" if name in ONE_SHOT else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_holds_every_package_and_runs_as_nobody_in_particular(file: Path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    text = file.read_text()
    kept = re.findall("^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for package in packages:
        assert f"COPY {package} {package}\n" in text
    sources = [source for line in re.findall("^COPY (.+) .+$", text, re.MULTILINE) for source in line.split()]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if source not in kept] == []
    assert re.findall("^USER (.+)$", text, re.MULTILINE) == ["10001"]


def test_images_ask_for_extras_that_exist():
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    asked = [extras for file in DOCKERFILES for extras in re.findall("EXTRAS=([a-z0-9,]+)", file.read_text())]
    asked += re.findall('EXTRAS: "([a-z0-9,]+)"', (DOCKER / "compose.gpu.yaml").read_text())
    assert len(asked) == 4  # generation and training, without a GPU and with one
    assert {extra for extras in asked for extra in extras.split(",")} <= known
    assert all("s3" in extras.split(",") for extras in asked), "hosts may share a bucket"


def test_the_light_image_answers_every_command_that_searches_vectors():
    assert "'.[light,postgres,s3]'" in (DOCKER / "service.Dockerfile").read_text()  # light brings FAISS


def test_the_set_for_gpus_pins_whatever_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(one for extra in ("gpu", "postgres", "qlora", "ray", "s3") for one in extras[extra]),
    ]
    pinned = set(re.findall("^([a-z0-9-]+)==", (DOCKER / "constraints-gpu.txt").read_text(), re.MULTILINE))
    assert {re.split(r"[^A-Za-z0-9_-]", one)[0].lower().replace("_", "-") for one in asked} <= pinned


def test_the_backup_programs_are_as_new_as_the_server():
    assert _services()["postgres"]["image"] == "postgres:15-bookworm"  # bookworm's postgresql-client is 15
    assert "BASE_IMAGE=python:3.11-slim-bookworm" in (DOCKER / "service.Dockerfile").read_text()


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
@pytest.mark.parametrize("more", [[], ["compose.gpu.yaml", "compose.hosts.yaml"]], ids=["cpu", "gpu"])
def test_compose_takes_the_files(more: list[str], tmp_path: Path):
    environment = tmp_path / "environment"
    environment.write_text("".join(f"{name}={value}\n" for name, value in FILLED_IN.items()))
    files = [word for name in ["compose.yaml", *more] for word in ("--file", str(DOCKER / name))]
    command = ["docker-compose", "--env-file", str(environment), *files, "config"]
    seen = subprocess.run(command, capture_output=True, text=True, check=False)
    assert seen.returncode == 0, seen.stderr
    services = yaml.safe_load(seen.stdout)["services"]
    has_gpu = {name for name, service in services.items() if "devices" in str(service.get("deploy"))}
    assert has_gpu == ({"worker-generation", "worker-training"} if more else set())
    for name in has_gpu:
        assert services[name]["environment"]["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_compose_refuses_the_example_as_it_is():
    command = ["docker-compose", "--env-file", str(DOCKER / ".env.example"), "config"]
    seen = subprocess.run(command, cwd=DOCKER, capture_output=True, text=True, check=False)
    assert seen.returncode != 0
    assert "PASSWORD" in seen.stderr


@pytest.mark.skipif(not shutil.which("caddy"), reason="caddy is not installed (Debian package caddy)")
@pytest.mark.parametrize("tls", ["internal", "admin@example.org"])
def test_caddy_takes_its_file(tls: str, tmp_path: Path):
    environment = {"PATH": "/usr/bin:/usr/local/bin", "HOME": str(tmp_path), "TLS": tls}
    seen = subprocess.run(
        ["caddy", "validate", "--config", str(DOCKER / "Caddyfile"), "--adapter", "caddyfile"],
        env=environment | {name: FILLED_IN[name] for name in ("PAGE_DOMAIN", "PREFECT_DOMAIN")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert seen.returncode == 0, seen.stderr
    assert "Valid configuration" in seen.stdout + seen.stderr


def _services() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


def _compose_files() -> list[Path]:
    return sorted(DOCKER.glob("compose*.yaml"))


def _cmd(dockerfile: Path) -> list[str]:
    (command,) = re.findall("^CMD (.+)$", dockerfile.read_text(), re.MULTILINE)
    return yaml.safe_load(command)
