"""`antipode docs`: it serves what was built to this machine, or says how to build it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from surroundings import ROOT

from flows.processes.documents_server import NoDocumentsError, serve_documents

SERVE = """
import sys, web.documents
web.documents.__file__ = sys.argv.pop(1)
from flows.__main__ import main
main()
"""


@pytest.fixture
def built(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>Antipode</h1>")
    return str(tmp_path / "documents.py")


def test_it_serves_the_site_until_ctrl_c(built, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, built, "docs", "--port", "0"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = process.stdout.readline().split()[1]
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.read() == b"<h1>Antipode</h1>"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_said(built, monkeypatch):
    monkeypatch.setattr("web.documents.__file__", built)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"cannot listen on port {port} \(Address already in use\); give another --port"
        ):
            serve_documents(port)


def test_a_clone_without_the_site_is_told_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("web.documents.__file__", str(tmp_path / "documents.py"))
    with pytest.raises(NoDocumentsError, match="make docs"):
        serve_documents(0)
