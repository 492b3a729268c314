"""Requests made from the application's own OpenAPI description, by a stranger and by somebody who is signed in."""

from __future__ import annotations

import pytest
import schemathesis
from fastapi.testclient import TestClient
from fuzzing import fuzz
from hypothesis import strategies as st
from page_visitor import HERE, SECRET, Visitor, open_queue
from schemathesis.core import NOT_SET
from stored_labels import stored
from surroundings import on_sqlite

from web.app import create_app

SCHEMA = schemathesis.openapi.from_dict(create_app(None, secret=SECRET, lease_s=1).openapi())
CASES = st.one_of(*(found.ok().as_strategy() for found in SCHEMA.get_all_operations()))
MAY_BE_SAID = {"\n", "\r", "\t"}


def send(http, case, nearness):
    """A case as it is or nearer to what there is: queue, person and pair exist, only the rest is made up."""
    path, body = case.formatted_path, {} if case.body is NOT_SET else {"json": case.body}
    if nearness is not None and "queue_id" in case.path_parameters:
        path = case.operation.path.replace("{queue_id}", "1")
        if isinstance(case.body, dict):
            body = {"json": case.body | {"person": "Ana"} | (nearness if "verdict" in case.body else {})}
    headers = {name: value for name, value in (case.headers or {}).items() if value.isascii() and value.isprintable()}
    answer = http.request(case.method, path, params=case.query or {}, headers=HERE | headers, **body)
    assert answer.status_code < 500, answer.text
    assert all(letter.isprintable() or letter in MAY_BE_SAID for letter in answer.text)
    return answer


showings = st.none() | st.fixed_dictionaries(
    {"left_id": st.integers(1, 6), "right_id": st.integers(1, 6)},
    optional={"shown_at": st.just("2026-01-01T00:00:00Z")},
)


@on_sqlite
@fuzz(0.005, case=CASES, nearness=showings)
def test_a_stranger_gets_no_error_and_stores_nothing(sessions, case, nearness):
    site = create_app(sessions, secret=SECRET, lease_s=600)
    answer = send(TestClient(site), case, nearness)
    assert "set-cookie" not in answer.headers
    assert stored(sessions) == []


@pytest.fixture
def visitors():
    """Who is signed in, over all cases of a test."""
    return []


@on_sqlite
@fuzz(0.015, case=CASES, nearness=showings)
def test_a_person_gets_no_error_and_stores_only_what_was_shown(sessions, visitors, case, nearness):
    if not visitors:
        open_queue(sessions, "a", "b", "c", "d", "e", "f")
        visitors.append(Visitor(sessions))
    [ana] = visitors
    shown = ana.pair(1)
    before = stored(sessions)
    if nearness and case.path_parameters and shown and nearness["left_id"] == shown["left_id"]:
        nearness |= {name: shown[name] for name in ("right_id", "shown_at")}
    send(ana.http, case, nearness)
    for judgement in stored(sessions)[len(before) :]:
        assert judgement.left_response_id == shown["left_id"]
        assert {judgement.first_response_id, judgement.second_response_id} == {shown["left_id"], shown["right_id"]}
