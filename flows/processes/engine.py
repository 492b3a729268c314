"""Prefect made ready for a command that uses it in its own process."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from flows.processes.announced_server import announced_address
from tasks.progress import say
from tasks.settings import Settings as Places

if TYPE_CHECKING:
    from prefect.settings import Settings

EXAMPLE = '"$PWD/.antipode/prefect"'


class FolderError(OSError):
    """Prefect has no folder that it can write."""


def prepare_prefect() -> None:
    """Keep Prefect quiet, and start its temporary server where no lasting one is named, nor one of `antipode up` runs.

    A lasting one gets the log of the run. Call it before anything imports Prefect, which reads these settings then.

    Raises:
        FolderError: If the temporary server's database would have no place.
        ServerStartError, StalledError: If the temporary server does not start.
    """
    is_level_named = "PREFECT_LOGGING_LEVEL" in os.environ
    quiet_prefect()
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None and (address := announced_address(Places().artifact_root)):
        say(f"the run is shown at {address.removesuffix('/api')}, by the Prefect server of antipode up")
        os.environ["PREFECT_API_URL"] = address
        refresh_global_settings_context()
        settings = get_current_settings()
    if settings.api.url is not None:
        if not is_level_named:
            _log_to_server()
        return
    if _is_database_at_home(settings):
        require_folder(settings.home, f"set PREFECT_HOME to one, such as PREFECT_HOME={EXAMPLE}")
    _start_server()


def _log_to_server() -> None:
    """Send the logs of flow and task runs to the server, and none of them to the terminal."""
    import prefect.main  # noqa: F401 (it sets logging up, and would undo this)

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def quiet_prefect() -> None:
    """Turn off Prefect's logs and telemetry: `main` prints a failure in one line.

    Raises:
        FolderError: If there is no HOME: Prefect cannot even be imported then.
    """
    for name, value in (
        ("PREFECT_LOGGING_LEVEL", "CRITICAL"),
        ("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "1"),
    ):
        os.environ.setdefault(name, value)
    require_home()
    # Only the temporary server needs that folder, and `prepare_prefect` checks it.
    warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")


def require_home() -> None:
    """See that this user has a home folder; whether it is there is another question.

    Raises:
        FolderError: If not, as of a user id without a name in a container.
    """
    try:
        Path.home()
    except RuntimeError as error:
        raise FolderError(
            f"HOME is not set, and user {os.getuid()} has no entry that says it; set HOME to a folder that it can write"
        ) from error


def require_folder(folder: Path, advice: str) -> None:
    """See that Prefect's folder is there, or can be made, and takes a file.

    Raises:
        FolderError: If not.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FolderError(
            f"Prefect needs a folder that it can write, and {folder} is none ({error.strerror}); {advice}"
        ) from error


def _is_database_at_home(settings: Settings) -> bool:
    url = settings.server.database.connection_url
    return url is None or str(settings.home) in url.get_secret_value()


def _start_server() -> None:
    from flows.processes.temporary_server import TemporaryServer

    say("starting a temporary Prefect server, some seconds (PREFECT_API_URL names a lasting one)")
    server = TemporaryServer(os.environ)
    os.environ["PREFECT_API_URL"] = server.address
    # On another core meanwhile: what every flow needs.
    import prefect.flow_engine
    import prefect.task_engine  # noqa: F401
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    server.wait()
