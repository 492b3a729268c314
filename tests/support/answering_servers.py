"""Servers on this machine that answer what a test says, or nothing at all."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def answering():
    """What starts servers that answer each path with a status and a JSON body, to any method; it gives addresses."""
    servers = []

    def start(answers, key=None):
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                status, body = answers.get(self.path.partition("?")[0], (404, "nothing here"))
                if key and self.headers["Authorization"] != f"Bearer {key}":
                    status = 401
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_HEAD = answer

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@contextmanager
def silent_port():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
