"""The lead's pages of sources: what they tell, and that nothing of a source runs in them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from page_visitor import HTML, Visitor
from report_pages import EVIL
from stored_rows import add, all_prompt_ids, open_run, row
from surroundings import on_sqlite

from db.findings.prompts import finish_check, store_groups
from models.files import rejects_file
from models.records import RejectedRow

pytestmark = on_sqlite


def page(sessions, address, **served):
    return Visitor(sessions, "Lea", is_lead=True, **served).http.get(address, headers=HTML)


def refuse(folder, name, *rows, end="\n"):
    path = rejects_file(folder, name, "0" * 64)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(asdict(each)) for each in rows) + end)


def test_without_a_source_the_list_says_how_to_import_one(sessions):
    assert "antipode import prompts.jsonl" in page(sessions, "/sources").text


def test_the_list_has_every_source_once_over_its_pages(sessions):
    for number in range(60):
        add(sessions, row(1, f"prompt {number}"), name=f"source-{number:02}")
    visitor = Visitor(sessions, "Lea", is_lead=True)
    first = visitor.http.get("/sources", headers=HTML).text
    second = visitor.http.get("/sources?before=11", headers=HTML).text
    assert 'href="/sources?before=11"' in first
    assert "?before=" not in second
    listed = [number for number in range(60) if f"source-{number:02}" in first]
    assert listed == list(range(10, 60))
    assert [number for number in range(60) if f"source-{number:02}" in second] == list(range(10))


def test_a_source_shows_its_rows_its_runs_and_what_was_refused(sessions, tmp_path):
    add(sessions, row(1, "# A question", "an **answer**", "another", split="train"), row(2, "plain"), name="mine")
    run_id = open_run(sessions, all_prompt_ids(sessions))
    refuse(tmp_path, "mine", RejectedRow(3, "no prompt", "{}"), RejectedRow(4, "no prompt either", "[]"))
    answer = page(sessions, "/sources/1", artifacts=tmp_path)
    assert answer.status_code == 200
    for words in (
        "<h1>A question</h1>",
        "<strong>answer</strong>",
        "model-0",
        f'href="/runs/{run_id}"',
        "no prompt either",
    ):
        assert words in answer.text
    assert "Not known yet" in answer.text
    assert ">2</td>" in page(sessions, "/sources", artifacts=tmp_path).text


def test_nearly_equal_prompts_are_those_of_the_newest_run_that_compared_them(sessions):
    add(sessions, row(1, "How are you?"), row(2, "How are you!"), row(3, "other"))
    prompt_ids = all_prompt_ids(sessions)
    run_id = open_run(sessions, prompt_ids)
    with sessions.begin() as session:
        store_groups(session, run_id, dict.fromkeys(prompt_ids[:2], prompt_ids[0]))
        finish_check(session, run_id)
    text = page(sessions, "/sources/1").text
    assert "2 prompts of" in text
    assert "How are you!" in text


def test_nothing_of_a_source_runs_in_the_page(sessions, tmp_path):
    add(sessions, row(1, EVIL, EVIL, EVIL), name=EVIL[:100])
    refuse(tmp_path, EVIL[:100], RejectedRow(3, EVIL, EVIL))
    for address in ("/sources", "/sources/1"):
        text = page(sessions, address, artifacts=tmp_path).text
        assert "<script>document" not in text
        assert "<img" not in text
        assert "&lt;script&gt;" in text


def test_a_line_that_a_killed_import_was_writing_is_not_read(sessions, tmp_path):
    add(sessions, row(1, "prompt"), name="mine")
    refuse(tmp_path, "mine", RejectedRow(3, "whole", ""), end='\n{"row_nu')
    text = page(sessions, "/sources/1", artifacts=tmp_path).text
    assert "1 row, in the file" in text
    assert "whole" in text


@pytest.mark.parametrize("address", ["/sources/7", "/sources/0", "/sources/x", "/sources/99999999999"])
def test_what_is_not_there_is_said_on_a_page(sessions, address):
    answer = page(sessions, address)
    assert answer.status_code == 404
    assert "<h1>There is nothing here</h1>" in answer.text
