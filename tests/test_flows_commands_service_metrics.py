"""The command `antipode metrics`: the figures, and the token with which the page tells them."""

from __future__ import annotations

from fastapi.testclient import TestClient
from stored_policies import open_align_run
from surroundings import on_sqlite

from tasks.labels.people import page_secret
from web.app import create_app


@on_sqlite
def test_the_token_that_is_printed_opens_the_figures_that_are_printed(antipode, sessions, settings):
    open_align_run(sessions)
    token = antipode("metrics", "--token").stdout.strip()
    http = TestClient(create_app(sessions, secret=page_secret(settings), lease_s=600))
    answer = http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    printed = antipode("metrics")
    assert printed.returncode == 0, printed.stderr
    assert 'antipode_runs{kind="align",status="running"} 1.0' in answer.text.splitlines()
    assert set(answer.text.splitlines()) <= set(printed.stdout.splitlines()), printed.stdout
