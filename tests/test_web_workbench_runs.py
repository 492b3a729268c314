"""The lead's pages of runs: how each stands, and runs beside each other."""

from __future__ import annotations

import pytest
from overviewed import compared, labelled
from page_visitor import HTML, Visitor
from stored_rows import add, all_prompt_ids, open_run, row
from surroundings import on_sqlite

from db import runs
from models.files import report_file

pytestmark = on_sqlite


def page(sessions, address, **served):
    return Visitor(sessions, "Lea", is_lead=True, **served).http.get(address, headers=HTML)


def open_kind(sessions, kind, key, config=None):
    with sessions.begin() as session:
        return runs.open_run(
            session, kind=kind, name=f"{kind} {key}", config=config or {}, config_key=key, code_version="0"
        )


def test_without_a_run_the_list_says_how_to_start_one(sessions):
    assert "antipode curate --source.name" in page(sessions, "/runs").text


def test_the_list_shows_how_each_run_stands(sessions):
    run_ids, _, _ = labelled(sessions)
    study = open_kind(sessions, runs.STUDY, "s")
    with sessions.begin() as session:
        runs.set_status(session, study, runs.FAILED, error="no memory")
        runs.spend(session, study, 3, 1.25)
    text = page(sessions, "/runs").text
    for run_id in (*run_ids, study):
        assert f'href="/runs/{run_id}"' in text
    for words in ("state bad", "running", "1.25", ">18</td>", 'aria-label="Compare run 1"'):
        assert words in text


def test_a_run_links_to_what_was_made_of_it(sessions, tmp_path):
    (run_id, _), _, snapshot_id = labelled(sessions)
    with sessions.begin() as session:
        runs.set_origin(session, run_id, deployment="curate/manual", flow_run_id="f" * 36)
    served = {"artifacts": tmp_path, "logs": "http://prefect/runs/flow-run/"}
    text = page(sessions, f"/runs/{run_id}", **served).text
    for address in (f"/snapshots/{snapshot_id}", f"/pairs?run={run_id}", f"http://prefect/runs/flow-run/{'f' * 36}"):
        assert f'href="{address}"' in text
    assert f"antipode report --run {run_id}" in text, "no report was written yet"
    report_file(tmp_path, "run", run_id).parent.mkdir()
    report_file(tmp_path, "run", run_id).write_text("<p>report")
    text = page(sessions, f"/runs/{run_id}", **served).text
    assert f'href="/reports/run-{run_id}.html"' in text
    assert "Its logs in Prefect" not in page(sessions, f"/runs/{run_id}").text


def test_a_run_that_labels_has_the_report_of_the_pairs_and_a_study_its_own(sessions, tmp_path):
    study = open_kind(sessions, runs.STUDY, "s")
    report_file(tmp_path, "study", study).parent.mkdir()
    report_file(tmp_path, "study", study).write_text("<p>report")
    assert f'href="/reports/study-{study}.html"' in page(sessions, f"/runs/{study}", artifacts=tmp_path).text
    align = open_kind(sessions, runs.ALIGN, "a")
    assert "report" not in page(sessions, f"/runs/{align}", artifacts=tmp_path).text.lower()


def test_a_run_says_why_it_failed_why_prompts_have_no_pair_and_how_far_it_is(sessions):
    add(sessions, *(row(number, f"prompt {number}") for number in (1, 2)))
    prompt_ids = all_prompt_ids(sessions)
    run_id = open_run(sessions, prompt_ids)
    with sessions.begin() as session:
        runs.set_skipped(session, run_id, {prompt_ids[0]: "fewer than 2 responses"})
    text = page(sessions, f"/runs/{run_id}").text
    assert "fewer than 2 responses" in text
    assert "1 of 2 prompts done" in text
    with sessions.begin() as session:
        runs.set_status(session, run_id, runs.FAILED, error="<b>no memory")
    text = page(sessions, f"/runs/{run_id}").text
    assert "&lt;b&gt;no memory" in text
    assert "prompts done" not in text
    assert "goes on from there" in text


def test_a_run_of_training_links_to_its_policies(sessions):
    ids = compared(sessions, None)
    text = page(sessions, "/runs/1").text
    assert all(f'href="/policies/{policy_id}"' in text for policy_id in ids)


@pytest.mark.parametrize("ids", ["ids=1,2", "ids=1&ids=2", "ids=2, 1 ,1"])
def test_runs_beside_each_other_show_what_differs(sessions, ids):
    labelled(sessions)
    with sessions.begin() as session:
        for run_id, temperature in ((1, 0.5), (2, 1.0)):
            run = runs.get_run(session, run_id)
            runs.take_up(
                session, run_id, config={"seed": 0, "generate": {"temperature": temperature}}, config_key=run.config_key
            )
    answer = page(sessions, f"/runs/compare?{ids}")
    assert answer.status_code == 200
    for words in (
        "generate.temperature",
        ">0.5</td>",
        ">1.0</td>",
        "easy: pairs, mean similarity",
        "/runs/compare.svg",
    ):
        assert words in answer.text
    assert "<code>seed</code>" not in answer.text
    picture = page(sessions, f"/runs/compare.svg?{ids}")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "run 1, test" in picture.text
    assert "easy" in picture.text


@pytest.mark.parametrize(
    "ids, status", [("", 400), ("ids=1", 400), ("ids=1,x", 400), ("ids=1,2,3,4,5,6,7", 400), ("ids=1,99", 404)]
)
def test_who_chooses_too_few_too_many_or_nothing_that_is_there_is_told(sessions, ids, status):
    labelled(sessions)
    for address in ("/runs/compare", "/runs/compare.svg"):
        answer = page(sessions, f"{address}?{ids}")
        assert answer.status_code == status
        assert "<h1>" in answer.text


@pytest.mark.parametrize("address", ["/runs/7", "/runs/7/similarities.svg"])
def test_what_is_not_there_is_said_on_a_page(sessions, address):
    assert page(sessions, address).status_code == 404


def test_a_run_without_a_pair_has_an_empty_picture(sessions):
    align = open_kind(sessions, runs.ALIGN, "a")
    assert "no similarity to show" in page(sessions, f"/runs/{align}/similarities.svg").text
