"""PgBouncer in front of a PostgreSQL database, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url
from surroundings import accepts, free_port, wait_for

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")


@contextmanager
def pooled(database_url: str, folder: Path, mode: str) -> Iterator[str]:
    """The database's URL behind a pooler; `mode`: `session` or `transaction`."""
    assert PROGRAM is not None
    url, port = make_url(database_url), free_port()
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
    } | ({"user": "postgres"} if os.getuid() == 0 else {})  # it refuses to run as root
    behind = f"host={url.host} port={url.port} user={url.username} dbname={url.database}"
    lines = [f"[databases]\npooled = {behind}\n[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
    file = folder / f"{mode}.ini"
    file.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([PROGRAM, "--quiet", file])
    try:
        wait_for(lambda: accepts(port), "PgBouncer")
        yield url.set(port=port, database="pooled").render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(timeout=10)
