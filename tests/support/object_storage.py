"""An S3 server of one's own (moto's, in a process), and a gateway before it that can be gone for a while."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from surroundings import accepts, free_port, wait_for

from models.storage import ObjectStore

WAIT_S = 60


class Gateway:
    """Passes connections on to a server; stopped, it refuses them and has broken those there were."""

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self._server_port = server_port
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                return
            with self._lock:
                self._open |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source}
        source.close()


class S3Server:
    """moto's server behind a gateway."""

    def __init__(self) -> None:
        self._port = free_port()
        # A module of its own: `moto_server` on the path may be another environment's.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: accepts(self._port), "moto's server")
        self.gateway = Gateway(self._port)
        self.gateway.start()

    def new_bucket(self) -> str:
        """A bucket that nobody else has; its URL."""
        name = f"bucket-{uuid.uuid4().hex}"
        bucket().mkdir(name)
        return f"s3://{name}"

    def refuse_all(self, *, does: bool) -> None:
        """Know nobody's key any more, or take any again."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/moto-api/reset-auth",
            data=b"0" if does else b"inf",
            headers={"Content-Type": "text/plain"},  # as a form it would be taken apart
        )
        urllib.request.urlopen(request).close()

    def close(self) -> None:
        self.gateway.stop()
        self._process.terminate()
        self._process.wait(timeout=30)


def bucket():
    """What talks to the server without us."""
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


def environment(server: S3Server) -> dict[str, str]:
    """What a user sets; no tries of botocore's own, which wait for seconds."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.gateway.port}",
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server for the time of the context, which the environment names."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # which would know an earlier server
    server = S3Server()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in environment(server).items():
                patch.setenv(name, value)
            yield server
    finally:
        server.close()


def damage(url: str) -> None:
    """Flip a bit in the middle of an object."""
    content = bytearray(bucket().cat_file(url))
    content[len(content) // 2] ^= 1
    bucket().pipe_file(url, bytes(content))


def store_at(url: str, wait_s: float = WAIT_S) -> ObjectStore:
    return ObjectStore(f"{url}/antipode", wait_s)


def names(url: str) -> list[str]:
    """All objects of a bucket, without its name."""
    return sorted(path.partition("/")[2] for path in bucket().find(url))
