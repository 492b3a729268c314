"""Fixtures on real parts: SQLite files, a PostgreSQL server, a Prefect server, the demo model. No mocks."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything is imported that reads them: no telemetry, no hub, no Prefect server but the tests' own.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "PREFECT_HOME": tempfile.mkdtemp(prefix="antipode-prefect-"),
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_NO_USAGE_STATS": "1",
}
for _name in [name for name in os.environ if name.startswith("ANTIPODE_") or name == "PREFECT_API_URL"]:
    del os.environ[_name]

import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from db.engine import make_engine, make_session_factory
from db.migrations import require_current
from tasks.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"
SERVER_START_S = 90

hypothesis_settings.register_profile("antipode", deadline=None, derandomize=True)
hypothesis_settings.load_profile("antipode")

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, and say so."""
    missing = {
        "real_data": None if REAL_DATA.is_dir() else f"no real data sets at {REAL_DATA}",
        "browser": None if shutil.which("chromium") else "chromium is not installed (Debian package chromium)",
        "vllm": None if _has_module("vllm") else "vLLM is not installed (extra cpu or gpu)",
        "gpu": None if Path("/dev/nvidia0").exists() else "no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; its URL without a database name."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    # PostgreSQL refuses to run as root, and its user cannot enter pytest's own temporary folders.
    folder = Path(tempfile.mkdtemp(prefix="antipode-postgres-"))
    as_user: list[str] = []
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    port = _free_port()
    data = folder / "data"
    initdb = [str(programs[-1] / "initdb"), "-D", str(data), "-U", "antipode", "-A", "trust", "--no-sync"]
    subprocess.run([*as_user, *initdb], check=True, capture_output=True, cwd="/")
    options = ["-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"]
    server = subprocess.Popen(
        [*as_user, str(programs[-1] / "postgres"), "-D", str(data), *options],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"postgresql://antipode@127.0.0.1:{port}"
    try:
        _wait_for(lambda: _accepts(port), "PostgreSQL")
        time.sleep(0.5)  # it listens a moment before it takes connections
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once in SQLite and once in PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'antipode.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"test_{uuid.uuid4().hex}"
    admin = create_engine(
        f"{server}/postgres".replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{server}/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty installation, in the environment too, where tasks read them."""
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", database_url)
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path / "artifacts"))
    return Settings()


@pytest.fixture
def sessions(settings: Settings) -> Iterator[sessionmaker[Session]]:
    """Sessions on an empty database with the newest schema."""
    engine = make_engine(settings.database)
    require_current(engine)
    yield make_session_factory(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The demo model's folder, trained once and kept beside the project's other artifacts."""
    from models.demo.language_model import build_demo_model

    return build_demo_model(ROOT / ".antipode" / "models")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prefect server; the address of its API."""
    home = tmp_path_factory.mktemp("prefect-server")
    port = _free_port()
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=os.environ | {"PREFECT_HOME": str(home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{port}/api"
        try:
            _wait_for(lambda: _answers(f"{address}/health"), "the Prefect server")
            yield address
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=30)


@pytest.fixture
def antipode(settings: Settings, prefect_server: str, tmp_path: Path) -> CommandLine:
    """Run the command line in a process of its own, as a user would, in an empty folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=tmp_path,
            env=os.environ
            | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
            | environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return run


def _has_module(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _wait_for(is_ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while not is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start within {SERVER_START_S} s")
        time.sleep(0.1)
