"""A chat server that fails in ways of its own."""

from __future__ import annotations

import time

from chat_server import ChatHandler, ChatServer


class FaultyServer(ChatServer):
    """A chat server that asks for pauses of its own choice, and breaks off in the middle of the given requests."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = FaultyHandler
        self.pause = ("Retry-After-Ms", "10")
        self.broken: set[int] = set()
        self.arrivals: list[float] = []


class FaultyHandler(ChatHandler):
    server: FaultyServer

    def do_POST(self) -> None:
        self.server.arrivals.append(time.monotonic())
        super().do_POST()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Retry-After-Ms":
            keyword, value = self.server.pause
        if keyword == "Content-Length" and len(self.server.bodies) in self.server.broken:
            value = str(int(value) + 100)
            self.close_connection = True
        super().send_header(keyword, value)
