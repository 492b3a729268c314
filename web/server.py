"""Serves the labelling page with uvicorn."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Sequence

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
    return _Server(config, on_stop=app.state.site.watch.close)


class _Server(uvicorn.Server):
    """Ends what pages follow when it stops: it would wait for those as for any request under way."""

    def __init__(self, config: uvicorn.Config, *, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        gc.freeze()  # what is loaded by now is not looked through for garbage in the middle of a request, 0.14 s
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)
