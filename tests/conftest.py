"""Fixtures on real parts: SQLite files, a PostgreSQL server, a Prefect server, the demo model. No mocks."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import psutil

# Before anything is imported that reads them: no telemetry, no hub, no Prefect server but the tests' own.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    # Tests share the cores: two threads of torch that wait for each other there cost five times their work.
    "OMP_NUM_THREADS": "1",
    "PREFECT_HOME": tempfile.mkdtemp(prefix="antipode-prefect-"),
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_NO_USAGE_STATS": "1",
}
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every command would compile the project anew, for 0.4 s
sys.dont_write_bytecode = False  # and pytest all tests, for 8 s
for _name in [name for name in os.environ if name.startswith("ANTIPODE_") or name == "PREFECT_API_URL"]:
    del os.environ[_name]

# SQLite waits for the disk whenever a database was written to and is closed; a disk in memory lets nobody wait.
MEMORY = Path("/dev/shm")
if (
    MEMORY.is_dir()
    and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > 2**33
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))  # the root of `tmp_path`

# A shell's background job ignores Ctrl-C, and so would the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from command_line import ForkServer
from engine_processes import start_engine_server, use_engine_server
from hypothesis import settings as hypothesis_settings
from postgresql import postgresql, server_programs
from prefect_databases import FOLDER, fill_prefect_home, keep_new_database
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from surroundings import REAL_DATA, REAL_MODEL, ROOT, answers, free_port, wait_for

from db.engine import make_engine, make_session_factory
from db.migrations import require_current
from models.demo import MODEL_FOLDER
from tasks.settings import Settings

COMMAND_TIMEOUT_S = 600

hypothesis_settings.register_profile("antipode", deadline=None, derandomize=True)
hypothesis_settings.load_profile("antipode")

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: a million objects, which each search for garbage would look through for 0.5 to 1 s.

    Every training and every model that is closed asks for one.
    """
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, and say so; put first what takes long, where workers share it out."""
    missing = {
        "real_data": None if REAL_DATA.is_dir() else f"no real data sets at {REAL_DATA}",
        "real_model": None if (REAL_MODEL / "config.json").is_file() else "no real model (../shared/tools/real-model)",
        "browser": None if shutil.which("chromium") else "chromium is not installed (Debian package chromium)",
        "vllm": None if _has_module("vllm") else "vLLM is not installed (extra cpu or gpu)",
        "gpu": None if Path("/dev/nvidia0").exists() else "no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let a worker take one test of the flows, or a file of others, whose fixtures may serve a module.

    The groups of xdist 3.8 (`--dist loadgroup`) are ignored without a word under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class FlowsApart(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).name.startswith("test_flows_") else file

    config.option.loadscopereorder = False
    return FlowsApart(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """The workers of xdist share what this names: a server that forks engines, and a new Prefect database."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="antipode-prefect-")
    if config.getoption("numprocesses", None):
        start_engine_server()
    use_engine_server()


def pytest_unconfigure() -> None:
    """Leave nothing."""
    shutil.rmtree(os.environ["PREFECT_HOME"], ignore_errors=True)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; its URL without a database name."""
    if server_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    with postgresql() as server:
        yield server.url


@pytest.fixture(scope="session")
def newest_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the newest schema, to be copied: migrations take a hundred times as long."""
    path = tmp_path_factory.mktemp("newest") / "antipode.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def newest_postgres(postgres_server: str) -> str:
    """The name of a database with the newest schema, to be copied."""
    _in_postgres(postgres_server, "CREATE DATABASE newest")
    _migrate(f"{postgres_server}/newest")
    return "newest"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once in SQLite and once in PostgreSQL; with the newest schema for what takes `sessions`."""
    has_tables = "sessions" in request.fixturenames
    if request.param == "sqlite":
        path = tmp_path / "antipode.db"
        if has_tables:
            shutil.copyfile(request.getfixturevalue("newest_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("newest_postgres") if has_tables else "template1"
    name = f"test_{uuid.uuid4().hex}"
    _in_postgres(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield f"{server}/{name}"
    _in_postgres(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def elsewhere(database_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of another, empty installation with the same kind of database."""
    folder = tmp_path / "elsewhere"
    if database_url.startswith("sqlite"):
        yield Settings(database_url=f"sqlite:///{folder / 'new.db'}", artifact_root=folder / "artifacts")
        return
    server, _, name = database_url.rpartition("/")
    _in_postgres(server, f"CREATE DATABASE {name}_elsewhere")
    yield Settings(database_url=f"{database_url}_elsewhere", artifact_root=folder / "artifacts")
    _in_postgres(server, f"DROP DATABASE {name}_elsewhere WITH (FORCE)")


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty installation, in the environment too, where tasks read them."""
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", database_url)
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(tmp_path / "artifacts"))
    return Settings()


@pytest.fixture
def sessions(settings: Settings) -> Iterator[sessionmaker[Session]]:
    """Sessions on an empty database with the newest schema."""
    # A connection to PostgreSQL costs both ends 9 ms; steps open their own, closed with their session.
    engine = make_engine(settings.database, keeps_connections=not settings.database.startswith("sqlite"))
    require_current(engine)
    yield make_session_factory(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def preferred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with held-out preferences, to be copied: its SQLite database and its artifacts."""
    from compared_policies import store_preferences

    folder = tmp_path_factory.mktemp("preferred")
    store_preferences(folder)
    return folder


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The folder of the demo model that Antipode brings."""
    return MODEL_FOLDER


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prefect server; the address of its API."""
    home = tmp_path_factory.mktemp("prefect-server")
    port = free_port()
    fill_prefect_home(home)
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
            wait_for(lambda: answers(f"{address}/health"), "the Prefect server")
            keep_new_database(home)
            yield address
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=30)


@pytest.fixture(scope="session")
def fork_server(prefect_server: str) -> Iterator[ForkServer]:
    """Starts commands without the seconds that their imports take."""
    server = ForkServer(os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT)})
    yield server
    server.close()


@pytest.fixture(scope="session")
def started_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file tells of each command that a worker has started in a fresh interpreter."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "started"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def antipode(
    settings: Settings, prefect_server: str, fork_server: ForkServer, started_folder: Path, tmp_path: Path
) -> CommandLine:
    """Run the command line in a process of its own, as a user would, in an empty folder.

    The first call of each command takes a fresh interpreter, the others a fork of one that has the libraries.
    """

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        variables = os.environ | variables | environment
        if not _is_first(started_folder / arguments[0]):
            return fork_server.run(arguments, cwd=tmp_path, env=variables, timeout_s=COMMAND_TIMEOUT_S)
        return subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    return run


def _is_first(mark: Path) -> bool:
    """Whether nobody has left this mark before; it is left."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _migrate(url: str) -> None:
    engine = make_engine(url)
    require_current(engine)
    engine.dispose()


def _in_postgres(server: str, statement: str) -> None:
    engine = make_engine(f"{server}/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


def _rank(item: pytest.Item) -> int:
    """What is long comes first; the many quick ones fill the end of both workers. A file goes with its first test."""
    fixtures = getattr(item, "fixturenames", ())
    if "antipode" in fixtures:
        return 0
    return 1 if any(item.get_closest_marker(name) for name in ("vllm", "browser", "slow")) else 2


def _has_module(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None
