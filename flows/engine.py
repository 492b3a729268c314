"""Prefect made ready for a flow that the command line runs in its own process."""

from __future__ import annotations

import os
import signal
import threading

from tasks.progress import say

START_TIMEOUT_S = 60


def prepare_prefect() -> None:
    """Keep Prefect quiet, and start its temporary server where no lasting one is named.

    Call it before anything imports Prefect, which reads these settings then.
    """
    # `main` tells a failure in one line, and nothing is sent to anybody.
    for name, value in (
        ("PREFECT_LOGGING_LEVEL", "CRITICAL"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "1"),
    ):
        os.environ.setdefault(name, value)
    if "PREFECT_API_URL" not in os.environ:
        say("starting a temporary Prefect server, some seconds (PREFECT_API_URL names a lasting one)")
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is None:
        starting = threading.Thread(target=_start_server, daemon=True)
        starting.start()
        starting.join()


def _start_server() -> None:
    """Start the server out of Ctrl-C's reach.

    A terminal sends it to every process, and a flow that is stopped tells its server so. A child has the signal mask of
    the thread that starts it. Prefect ends the server at exit.
    """
    from prefect.server.api.server import SubprocessASGIServer

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    SubprocessASGIServer().start(timeout=START_TIMEOUT_S)
