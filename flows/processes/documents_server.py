"""Serves the documentation to this machine, for `antipode docs`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tasks.terminal import show
from web.documents import built_documents


class NoDocumentsError(RuntimeError):
    """The documentation was not built here."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the terminal free."""


def serve_documents(port: int) -> None:
    """Serve the site to this machine until Ctrl-C, after its address is printed.

    Raises:
        NoDocumentsError: If it was not built.
        OSError: If the port is taken.
    """
    if (folder := built_documents()) is None:
        raise NoDocumentsError("the documentation is not built here; in the project's folder: make docs")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise OSError(f"cannot listen on port {port} ({error.strerror}); give another --port") from error
    with server, suppress(KeyboardInterrupt):
        show(f"Documentation  http://127.0.0.1:{server.server_port}/   Ctrl-C stops it", flush=True)
        server.serve_forever()
