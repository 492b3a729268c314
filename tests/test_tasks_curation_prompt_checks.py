"""The step that checks prompts: groups, what is left out for them, and that a run is checked once."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from curation_steps import configured, row
from sqlalchemy import Engine, event, text
from sqlalchemy import select as query
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings, pairs, runs
from db.findings.prompts import is_checked, left_out_prompts, prompt_groups_of
from db.schema import curation
from flows.terminal.runs import show_pairs_of
from tasks.curation.embedding import embed
from tasks.curation.engines import vector_store
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.curation.prompt_checks import check_prompts
from tasks.curation.selection import select
from tasks.reports.run_page import write_run_report
from tasks.runs import recorded

ALIKE = (
    row(1, "Write a poem about the old river and its bridges.", "a", "b c"),
    row(2, "write a poem about the old river and its bridges", "d", "e f"),
    row(3, "Which metals melt below one hundred degrees?", "g", "h i"),
    row(4, "Write a poem about the old river and its bridges!!", "j", "k l"),
)
OWN = {"generate": {"when": "never"}, "select": {"strategies": ["easy"], "prompt_similarity": 0.8}}


def checked(config):
    run_id = open_run.fn(config)
    with recorded(run_id):
        for step in (generate, embed, check_prompts, select):
            step.fn(run_id)
    return run_id


def groups(sessions, run_id):
    with sessions() as session:
        table = curation.RunPrompt
        return dict(session.execute(query(table.prompt_id, table.group_id).filter_by(run_id=run_id)).tuples().all())


def test_prompts_that_are_nearly_the_same_are_one_group_and_all_are_used(settings, sessions, capsys):
    add(sessions, *ALIKE)
    run_id = checked(configured(**OWN))
    assert groups(sessions, run_id) == {1: 1, 2: 1, 3: None, 4: 1}
    with sessions() as session:
        assert {pair.prompt_id for pair in pairs.selected_pairs(session, run_id)} == {1, 2, 3, 4}
        found = prompt_groups_of(session, run_id, shown=3, examples=2)
        shown = session.execute(text("SELECT prompt_id, left_out FROM similar_prompts ORDER BY prompt_id")).all()
    assert (found.count, found.prompts, found.largest[0].size) == (1, 3, 3)
    assert shown == [(1, None), (2, None), (4, None)]
    show_pairs_of(run_id, settings)
    words = "3 prompts are nearly the same as others, in 1 group (cosine ≥ 0.8), all are used; the largest: 3 such as"
    assert words in capsys.readouterr().out
    assert "3 prompts are nearly the same as others" in write_run_report(run_id, settings).read_text()


def test_one_prompt_a_group_is_used_if_told_to_and_the_others_name_it(settings, sessions, capsys):
    add(sessions, *ALIKE)
    run_id = checked(configured(**OWN | {"select": OWN["select"] | {"one_prompt_a_group": True}}))
    with sessions() as session:
        assert {pair.prompt_id for pair in pairs.selected_pairs(session, run_id)} == {1, 3}
        reason = "nearly the same as prompt 1, which stands for its group"
        assert left_out_prompts(session, run_id, [1, 2, 3, 4]) == {2: reason, 4: reason}
        assert runs.skip_reasons(session, run_id, [1, 2, 3, 4]) == {2: reason, 4: reason}
        assert runs.skip_counts(session, run_id) == {"nearly the same as another prompt": 2}
    show_pairs_of(run_id, settings)
    assert "2 prompts without a pair: nearly the same as another prompt" in capsys.readouterr().out


def test_the_groups_are_those_of_all_pairs_of_prompts(settings, sessions):
    random = np.random.default_rng(0)
    words = ["river", "bridge", "metal", "poem", "bread", "night", "wind", "boat"]
    prompts = dict.fromkeys(" ".join(random.choice(words, size=4)) for _ in range(60))
    add(sessions, *(row(number, prompt, "a", "b") for number, prompt in enumerate(prompts, 1)))
    run_id = checked(configured(**OWN))
    with sessions() as session:
        embedder = embeddings.embedder_of_run(session, run_id)
        places = embeddings.prompt_locations(session, embedder.id, list(range(1, len(prompts) + 1)))
    store = vector_store(embedder.key, settings, "prompts")
    vectors = store.gather(*map(list, zip(*(places[id_] for id_ in sorted(places)), strict=True))).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    unit -= unit.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near = unit @ unit.T >= 0.8
    lowest = np.arange(len(unit))
    for _ in range(len(unit)):
        lowest = np.array([lowest[row].min() for row in near])
    expected = {at + 1: int(low) + 1 if (lowest == low).sum() > 1 else None for at, low in enumerate(lowest)}
    assert groups(sessions, run_id) == expected and len(set(expected.values())) > 2


def test_a_run_is_the_same_whatever_else_the_database_holds(settings, sessions):
    add(sessions, *ALIKE)
    add(sessions, *(row(number, f"Other {number} river?", "a", "b") for number in range(1, 9)), name="other")
    of_source = {"source": {"name": "source"}}
    alone = checked(configured(**OWN | of_source))
    checked(configured(**OWN))
    assert groups(sessions, checked(configured(**OWN | of_source))) == groups(sessions, alone)


@on_sqlite
def test_a_run_is_checked_once_and_what_was_found_stays(settings, sessions):
    add(sessions, *ALIKE)
    run_id = checked(configured(**OWN))
    with sessions.begin() as session:
        session.execute(text("UPDATE run_prompts SET group_id = NULL"))
    check_prompts.fn(run_id)
    assert set(groups(sessions, run_id).values()) == {None}


@on_sqlite
def test_a_system_message_makes_no_prompts_alike(settings, sessions):
    add(sessions, *ALIKE)
    long = "You answer at length, politely, with examples, and never without naming where you have it from. " * 3
    sampled = {"generate": {"when": "always", "system_prompt": long}}
    run_id = checked(configured(**OWN | sampled))
    found = [group for group in groups(sessions, run_id).values() if group is not None]
    assert len(found) == 3 and len(set(found)) == 1


@on_sqlite
def test_prompts_without_a_vector_are_in_no_group(settings, sessions):
    add(sessions, row(1, " ", "a", "b"), row(2, "\n", "a", "b"))
    run_id = checked(configured(**OWN))
    assert groups(sessions, run_id) == {1: None, 2: None}
    with sessions() as session:
        assert len(list(pairs.selected_pairs(session, run_id))) == 2


@on_sqlite
def test_what_no_version_before_had_changes_no_key_until_it_is_set(settings):
    before = configured().key_settings()
    assert "contamination" not in before
    added = {"prompt_similarity", "one_prompt_a_group", "labelled_similarity", "skips_labelled"}
    assert not added & set(before["select"])
    assert configured(select={"one_prompt_a_group": True}).key != configured().key


@on_sqlite
@pytest.mark.parametrize("last", ["run_prompts SET group_id", "run_prompts SET left_out", "runs SET has_checked"])
def test_a_check_that_is_killed_stores_nothing_and_is_made_again(settings, sessions, last):
    add(sessions, *ALIKE)
    config = configured(**OWN | {"select": OWN["select"] | {"one_prompt_a_group": True}})
    run_id = open_run.fn(config)
    for step in (generate, embed):
        step.fn(run_id)
    if (child := os.fork()) == 0:

        @event.listens_for(Engine, "after_cursor_execute")
        def see(connection, cursor, executed, *_):
            if executed.startswith(f"UPDATE {last}"):
                os.kill(os.getpid(), signal.SIGKILL)

        check_prompts.fn(run_id)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert set(groups(sessions, run_id).values()) == {None}
    check_prompts.fn(run_id)
    with sessions() as session:
        assert left_out_prompts(session, run_id, [1, 2, 3, 4]).keys() == {2, 4}
        assert is_checked(session, run_id)
