"""What `antipode doctor` asks of others: database, ports, models. What is on this machine: `tasks.doctor.machine`.

Nothing is created or changed, no key or password is printed, and each address is waited for a few seconds at most.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.doctor.machine import Finding, disk_findings, file_system
from tasks.settings import Settings

if TYPE_CHECKING:
    from db.inspection import Address, Condition, SchemaState

ANSWER_TIMEOUT_S = 3
DATABASE_URLS = "ANTIPODE_DATABASE_URL=postgresql://user:password@host:5432/antipode, or sqlite:////folder/antipode.db"
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)
LOCAL_FUSE = ("fuse.fuse-overlayfs", "fuseblk")


def database_findings(settings: Settings) -> list[Finding]:
    """Whether the database answers, and what is in it."""
    from db.inspection import NoAnswerError, look, read_address

    try:
        address = read_address(settings.database)
        kind = address.kind
    except ValueError:
        kind = "unreadable"
    if kind not in {"sqlite", "postgresql"}:
        text = f"ANTIPODE_DATABASE_URL must name SQLite or PostgreSQL, it is {kind}"
        return [Finding("database", "problem", text, DATABASE_URLS)]
    name = address.shown
    if kind == "sqlite" and not Path(address.database).exists():
        place = disk_findings(Path(address.database).parent)[0]
        if place.level == "problem":
            return [replace(place, name="database", advice=f"let this user write there, or {DATABASE_URLS}")]
        return [Finding("database", "ok", f"{name} is not there yet; it is made at the first use")]
    try:
        condition = look(settings.database, timeout_s=ANSWER_TIMEOUT_S)
    except ModuleNotFoundError:
        return [Finding("database", "problem", "psycopg is not installed", "pip install -e '.[postgres]'")]
    except NoAnswerError as error:
        return [Finding("database", "problem", f"{name}: {error}", _database_advice(str(error), address))]
    return [*_network_findings(address), *_answer_findings(condition, name)]


def is_network_file_system(kind: str) -> bool:
    """Whether SQLite's locks cannot be trusted there."""
    return kind in NETWORK_FILE_SYSTEMS or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def port_findings(name: str, port: int, path: str, expected: object, command: str) -> list[Finding]:
    """Whether a port of this machine is free, or held by its own service, which answers `expected` at `path`."""
    import httpx

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = str(error.strerror).lower()
        else:
            return [Finding(name, "ok", f"port {port} is free")]
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_TIMEOUT_S, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        answer = None
    if answer == expected:
        return [Finding(name, "ok", f"runs at port {port}")]
    return [Finding(name, "problem", f"port {port} cannot be used: {reason}", f"{command} --port {port + 1}")]


def page_port_findings(port: int) -> list[Finding]:
    """The labelling page's port."""
    return port_findings("labelling page", port, "/health", {"status": "ok"}, "antipode web")


def prefect_port_findings(port: int) -> list[Finding]:
    """The port of Prefect's server."""
    return port_findings("Prefect server", port, "/api/health", True, "prefect server start")


def http_reason(error: Exception) -> str:
    """An HTTP error in a few words."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {ANSWER_TIMEOUT_S} s"
    if isinstance(error, httpx.HTTPStatusError):
        return f"answers {error.response.status_code} to {error.request.url.path}"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def shown_address(address: str) -> str:
    """An address without the user and password that it may hold."""
    scheme, separator, location = address.rpartition("://")
    host, slash, path = location.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _network_findings(address: Address) -> list[Finding]:
    kind = file_system(Path(address.database)) if address.kind == "sqlite" else ""
    if not is_network_file_system(kind):
        return []
    text = f"SQLite on {kind}, a network file system, whose locks may fail"
    return [Finding("database", "warning", text, "put it on a local disk, or use PostgreSQL: " + DATABASE_URLS)]


def _answer_findings(condition: Condition, name: str) -> list[Finding]:
    from db.inspection import OLDEST_POSTGRESQL

    text = f"{condition.version} at {name}, {condition.size_bytes / 1e6:,.1f} MB"
    if condition.schema is None:
        advice = f"move to PostgreSQL {OLDEST_POSTGRESQL} or newer (pg_upgrade, or pg_dump and restore)"
        return [Finding("database", "problem", f"{text}: too old", advice)]
    found = [Finding("database", "ok", text), _schema(condition.schema)]
    if not condition.keeps_locks:
        shared = "a pooler in front of it shares connections between transactions: two processes may take up one run"
        found.append(Finding("database", "problem", shared, "pool sessions (PgBouncer: pool_mode = session), or none"))
    return found


def _schema(state: SchemaState) -> Finding:
    """The schema's revision; how many rows it holds where it is this version's."""
    revision = state.revision
    match state.standing:
        case "newest":
            text = f"{revision}, the newest; {state.runs:,} runs, {state.preferences:,} preferences"
            return Finding("schema", "ok", text)
        case "older":
            text = f"{revision}, this version needs {state.newest}"
            return Finding("schema", "problem", text, "make a backup, then: antipode upgrade")
        case "newer":
            return Finding(
                "schema", "problem", f"{revision}, made by a newer version", "install that version of Antipode"
            )
        case "foreign":
            return Finding("schema", "problem", "the database holds tables of something else", DATABASE_URLS)
        case "empty":
            return Finding("schema", "ok", "empty; it is made at the first use")


def _database_advice(reason: str, address: Address) -> str:
    """The advice for a database driver's message."""
    place = f"-h {address.host} -p {address.port or 5432}"
    for part, advice in (
        (
            "password",
            "give the right password: ANTIPODE_DATABASE_URL=postgresql://user:password@host/antipode or ~/.pgpass",
        ),
        ("role ", f"createuser {place} {address.user}"),
        ("does not exist", f"createdb {place} -U {address.user} {address.database}"),
        ("pg_hba.conf", "let this host and user in: pg_hba.conf of the server"),
        ("not a database", f"move the file away, or {DATABASE_URLS}"),
        ("readonly", "let this user write the file and its folder"),
        ("unable to open", "let this user write the file and its folder"),
    ):
        if part in reason:
            return advice
    return f"start the server, or correct host and port: {DATABASE_URLS}"
