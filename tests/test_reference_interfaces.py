"""The reference of what notebooks import and of what the page answers has all of it."""

from __future__ import annotations

import inspect

import antipode
from reference.interfaces import http_page, python_page, routes


def test_every_address_is_there_with_who_may_ask_it():
    page = http_page()
    for route in routes():
        for method in route.methods:
            assert f"| `{method} {route.path}` |" in page
    assert "| `GET /people` | who leads |" in page
    assert "| `POST /queues/{queue_id}/verdicts` | who is signed in |" in page
    assert "| `GET /health` | anyone |" in page


def test_every_method_of_a_connection_and_of_a_run_is_there_and_says_what_it_is():
    page = python_page()
    for kind in (antipode.Connection, antipode.StartedRun):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                assert f"### {kind.__name__}.{name}" in page and inspect.getdoc(method)
    assert "## antipode.connect" in page and "HiddenPackageError" in page
    assert "Connection.pairs(run: int | str = 'last') -> DataFrame" in page
