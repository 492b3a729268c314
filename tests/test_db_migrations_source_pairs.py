"""Several pairs of a row go back to one where the schema has no place for more; those of before are as they were."""

from __future__ import annotations

from sqlalchemy import text
from stored_rows import add, row

from db.migrations import downgrade, known_revisions, upgrade
from models.records import ImportedPair, ImportedResponse, ImportedRow, Prompt


def test_pairs_of_before_are_kept_and_new_ones_go_as_far_as_they_fit(sessions):
    three = tuple(map(ImportedResponse, "xyz"))
    ranked = tuple(ImportedPair(first, second, "tie") for first, second in ((0, 1), (0, 2), (1, 2)))
    criteria = (ImportedPair(0, 1, "first", "better"), ImportedPair(0, 1, "second", "safer", 0.5))
    add(
        sessions,
        row(1, "one", "a", "b", pair=ImportedPair(1, 0, "first")),
        ImportedRow(2, Prompt.from_text("two"), three, ranked),
        ImportedRow(3, Prompt.from_text("three"), three[:2], criteria),
    )
    query = text(
        "SELECT row_number, first_response_id, second_response_id, preferred FROM source_pairs ORDER BY 1, 2, 3"
    )
    with sessions() as session:
        engine = session.get_bind()
        before = session.execute(query).all()
    assert len(before) == 6
    downgrade(engine, known_revisions()[known_revisions().index("0013") - 1])
    with sessions() as session:
        kept = session.execute(query).all()
    assert kept == [before[0], (*before[1][:3], None)]
    upgrade(engine)
    with sessions() as session:
        assert session.execute(query).all() == kept
        assert session.execute(text("SELECT criterion, strength FROM source_pairs")).all() == [("", None)] * 2
