"""A PostgreSQL server of one's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surroundings import accepts, free_port, wait_for


def server_programs() -> Path | None:
    """The folder of the newest version's programs; None if there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class PostgresqlProcess:
    """A server on a folder and a port of its own, which can be stopped and started again."""

    def __init__(self, programs: Path, *options: str) -> None:
        """Make its folder, and start it; `options` are settings such as `max_connections=8`."""
        # PostgreSQL refuses to run as root, and its user cannot enter pytest's own temporary folders.
        self._folder = Path(tempfile.mkdtemp(prefix="antipode-postgres-"))
        self._as_user: list[str] = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = ["runuser", "-u", "postgres", "--"]
        self._programs = programs
        self._options = [part for option in options for part in ("-c", option)]
        self._port = free_port()
        self.url = f"postgresql://antipode@127.0.0.1:{self._port}"
        self._run("initdb", "-U", "antipode", "-A", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = ["-p", str(self._port), "-k", str(self._folder), "-h", "127.0.0.1", "-F", *self._options]
        self._server = subprocess.Popen(
            [*self._as_user, str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: accepts(self._port), "PostgreSQL")
        time.sleep(0.5)  # it listens a moment before it takes connections

    def stop(self) -> None:
        """Stop it as a power cut would: connections are broken, the log is replayed at the next start."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w")
        self._server.wait(timeout=30)

    def close(self) -> None:
        """Stop it and delete its folder."""
        self._server.terminate()
        self._server.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments, "-D", str(self._folder / "data")]
        subprocess.run(command, check=True, capture_output=True, cwd="/")


@contextmanager
def postgresql(*options: str) -> Iterator[PostgresqlProcess]:
    """A server for the time of the context.

    Raises:
        FileNotFoundError: If PostgreSQL is not installed.
    """
    programs = server_programs()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed (Debian package postgresql)")
    server = PostgresqlProcess(programs, *options)
    try:
        yield server
    finally:
        server.close()
