"""A server that says any bytes at any time, and counts the requests it got."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Write = Callable[[bytes], None]


class RawServer(socketserver.ThreadingTCPServer):
    """Reads a request and lets `behave` write what it likes; what nobody reads any more is no failure."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, behave: Callable[[Write, threading.Event], None]) -> None:
        super().__init__(("127.0.0.1", 0), RawHandler)
        self.behave = behave
        self.requests: list[bytes] = []
        self.written = 0
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class RawHandler(socketserver.StreamRequestHandler):
    server: RawServer

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.rfile.readline()):
                return
            head += line
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0)
        self.rfile.read(length)
        self.server.requests.append(head)
        with suppress(OSError):
            self.server.behave(self._write, self.server.is_over)

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.server.written += len(data)


@contextmanager
def raw_server(behave: Callable[[Write, threading.Event], Any]) -> Iterator[RawServer]:
    """The server at work in threads of its own, and closed at the end."""
    server = RawServer(behave)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.is_over.set()
    server.shutdown()
    server.server_close()
