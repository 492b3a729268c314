"""The labelling page served for a browser."""

from __future__ import annotations

import threading
import time

from page_visitor import SECRET, sign_in_token
from surroundings import free_port

from web.app import create_app
from web.server import make_server


class Site:
    """The page on a server of its own, which can be stopped and started again on the same port."""

    def __init__(self, sessions, **served):
        self.sessions = sessions
        self.app = create_app(sessions, secret=SECRET, lease_s=600, **served)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.server = make_server(self.app, host="127.0.0.1", port=self.port)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        wait_for(lambda: self.server.started)

    def stop(self):
        self.server.should_exit = True
        self.thread.join()

    def link(self, name):
        return f"{self.address}/sign-in?token={sign_in_token(self.sessions, name)}"


def wait_for(is_ready):
    deadline = time.monotonic() + 20
    while not is_ready():
        assert time.monotonic() < deadline, "waited 20 s"
        time.sleep(0.02)
