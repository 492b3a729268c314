"""Scores of single responses: those that can be compared within a prompt."""

from __future__ import annotations

from stored_rows import add, ids_by_text

from db.studies.scores import scores_of
from models.records import ImportedResponse, ImportedRow, Prompt


def scored(number, prompt, **scores):
    texts = tuple(ImportedResponse(text, score=score) for text, score in scores.items())
    return ImportedRow(number, Prompt.from_text(prompt), texts)


def test_scores_come_by_response_and_those_without_one_are_missing(sessions):
    add(sessions, scored(1, "one", a=3.0, b=-1.5, c=None))
    ids = ids_by_text(sessions)
    with sessions() as session:
        assert scores_of(session, sorted(ids.values())) == {ids["a"]: 3.0, ids["b"]: -1.5}
        assert scores_of(session, [ids["b"]]) == {ids["b"]: -1.5}
        assert scores_of(session, []) == {}


def test_of_two_sources_the_one_that_scores_most_of_a_prompt_counts(sessions):
    add(sessions, scored(1, "one", a=3.0, b=1.0), scored(2, "two", d=0.5))
    add(sessions, scored(1, "one", x=30.0, y=10.0, z=20.0), name="other", content_hash="1" * 64)
    ids = ids_by_text(sessions)
    with sessions() as session:
        found = scores_of(session, sorted(ids.values()))
    assert {text for text, id_ in ids.items() if id_ in found} == {"x", "y", "z", "d"}


def test_a_yes_or_no_is_no_score(sessions):
    yes = ImportedResponse("yes", score=1.0, is_desirable=True)
    add(sessions, ImportedRow(1, Prompt.from_text("one"), (yes, ImportedResponse("no", score=7.0))))
    ids = ids_by_text(sessions)
    with sessions() as session:
        assert scores_of(session, sorted(ids.values())) == {ids["no"]: 7.0}
