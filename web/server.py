"""Serves the labelling page with uvicorn."""

from __future__ import annotations

from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

STOP_S = 5
# A connection is closed by whoever waits longer: closed here, a request that is on its way in that moment is lost.
KEPT_S = 120


def make_server(app: FastAPI, *, host: str, port: int, proxies: Sequence[str] = ()) -> uvicorn.Server:
    """Make the server; `run()` serves until it is interrupted.

    It keeps no access log: the lines would hold people's sign-in links. Requests under way are finished when it stops.
    Behind a TLS proxy its X-Forwarded-Proto makes the cookie Secure: one on this machine is believed, and those at the
    addresses or networks in `proxies`.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        use_colors=False,  # its lines are escaped
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=KEPT_S,
        server_header=False,
        forwarded_allow_ips=["127.0.0.1", "::1", *proxies],
    )
    return uvicorn.Server(config)
