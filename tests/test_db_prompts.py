"""What sources say is stored as they say it, and keys of what earlier versions knew are as they were."""

from __future__ import annotations

from sqlalchemy import func, select
from stored_rows import add, ids_by_text

from db.labels import labelling
from db.schema import curation
from models.labelling.records import PairKey, SourceSays
from models.records import GeneratorIdentity, ImportedPair, ImportedResponse, ImportedRow, Prompt, content_key

PROMPT = Prompt.from_text("a")


def test_ratings_and_a_yes_or_no_are_stored_and_make_another_response(sessions):
    said = (
        ImportedResponse("x", score=4.0),
        ImportedResponse("x", score=4.0, ratings={"helpfulness": 4.0, "verbosity": 1.0}),
        ImportedResponse("x", score=1.0, is_desirable=True),
    )
    rows = [ImportedRow(number, PROMPT, (one,)) for number, one in enumerate(said, start=1)]
    assert add(sessions, *rows).responses == 3
    assert add(sessions, *rows).responses == 0
    with sessions() as session:
        stored = session.scalars(select(curation.Response).order_by(curation.Response.id)).all()
    assert [(one.score, one.ratings, one.is_desirable) for one in stored] == [
        (one.score, one.ratings, one.is_desirable) for one in said
    ]
    generator = GeneratorIdentity("imported", None).key
    assert stored[0].key == content_key(PROMPT.key, generator, "x", 0, False, 4.0), "the key of earlier versions"


def test_pairs_by_several_criteria_are_stored_once_and_shown_with_ties_and_strength(sessions):
    both = (ImportedResponse("x"), ImportedResponse("y"))
    says = (ImportedPair(1, 0, "first", strength=0.5), ImportedPair(0, 1, "tie", "better"))
    row = ImportedRow(1, PROMPT, both, says)
    assert [add(sessions, row).pairs for _ in range(2)] == [2, 0]
    weaker = ImportedRow(2, PROMPT, both, (ImportedPair(0, 1, "second", strength=0.25),))
    against = ImportedRow(3, PROMPT, both, (ImportedPair(0, 1, "both_bad", "better"),))
    key = PairKey(*sorted(ids_by_text(sessions).values()))
    for added, expected in (
        ((), (SourceSays("right", strength=0.5), SourceSays("tie", "better"))),
        ((weaker,), (SourceSays("right", strength=0.25), SourceSays("tie", "better"))),
        ((against,), (SourceSays("right", strength=0.25),)),
    ):
        add(sessions, *added)
        with sessions() as session:
            (text,) = labelling.pair_texts(session, [key])
        assert text.says == expected
        assert text.shown(key.second_response_id).source_says[0].verdict == "left"


def test_a_row_that_an_earlier_version_understood_otherwise_is_not_doubled(sessions):
    pair = (ImportedPair(0, 1, "first"),)
    earlier = ImportedRow(1, PROMPT, (ImportedResponse("x"), ImportedResponse("y")), pair)
    now = ImportedRow(1, PROMPT, (ImportedResponse("x", score=1.0), ImportedResponse("y", score=0.0)), pair, "test")
    assert add(sessions, earlier).responses == 2
    again = add(sessions, now, ImportedRow(2, PROMPT, (ImportedResponse("z"),)))
    assert (again.prompts, again.responses, again.pairs) == (0, 1, 0)
    with sessions() as session:
        rows = session.scalars(select(curation.SourceRow).order_by(curation.SourceRow.row_number)).all()
        assert [one.split for one in rows] == ["test", None]
        assert session.scalar(select(func.count()).select_from(curation.Response)) == 3
