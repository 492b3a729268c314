"""What is stored, listed: counts by hand, names and ids, and what is said of a name that is not there."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate, row
from sqlalchemy import text
from stored_labels import ANNA, judge, rows_of, take_snapshot
from stored_rows import add

from db.labels import labelling
from db.overviews import listings


@pytest.fixture
def keys(sessions):
    """Three prompts of a source, one of them from two rows, two responses each; a run's pairs."""
    add(sessions, *(row(number, f"Prompt {min(number, 3)}?", f"a {number}", f"b {number}") for number in range(1, 5)))
    curate(configured(generate={"when": "never"}, select={"strategies": ("random",)}))
    with sessions() as session:
        return labelling.pair_keys(session, 1)


def test_a_source_is_listed_with_what_became_of_its_rows(sessions, settings, keys):
    with sessions() as session:
        (line,) = listings.list_sources(session)
    assert (line.rows, line.prompts, line.responses, line.pairs) == (4, 3, 8, 0)
    assert line.near_duplicates is not None, "a run compared its prompts"
    assert line.name and line.splits == ()


def test_prompts_that_no_run_compared_are_not_known_to_be_near(sessions, settings):
    add(sessions, row(1, "Prompt?"))
    with sessions() as session:
        assert listings.list_sources(session)[0].near_duplicates is None


def test_a_snapshot_is_listed_with_what_chose_it(sessions, settings, keys):
    judge(sessions, ANNA, keys[0], "first")
    take_snapshot(sessions, rows_of(sessions, 1))
    with sessions() as session:
        (line,) = listings.list_snapshots(session)
    assert (line.rows, line.support, line.policies) == (1, 1.0, 0)


def test_a_name_that_is_a_number_is_found_where_no_id_is(sessions, settings):
    add(sessions, row(1, "Prompt?"))
    with sessions.begin() as session:
        session.execute(text("UPDATE sources SET name = '2024'"))
    with sessions() as session:
        assert listings.list_sources(session, "2024") == listings.list_sources(session, "1")


def test_a_name_that_is_not_there_is_answered_with_the_nearest(sessions, settings):
    with sessions() as session:
        with pytest.raises(LookupError, match="there is no source 'breds'; make one: antipode import FILE"):
            listings.list_sources(session, "breds")
        with pytest.raises(LookupError, match="there is no snapshot '9'; make one: antipode export FILE"):
            listings.list_snapshots(session, "9")
    add(sessions, row(1, "Prompt?"))
    with sessions.begin() as session:
        session.execute(text("UPDATE sources SET name = 'breads'"))
        with pytest.raises(LookupError, match=r"did you mean breads\? see: antipode sources"):
            listings.list_sources(session, "breds")
