"""Many rows at once are stored as they are one by one, on both databases."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from db.engine import INSERT_BATCH, fault_of, insert_new, insert_numbered, make_engine, make_session_factory
from db.schema import curation
from db.statements import insertion

AWKWARD = ["", " ", "\t", "a\tb", "\\", "\\N", "\\.", "\\t", "a\nb", "\r\n", "\r", "NULL",
           "'", '"', "{1,2}", "x" * 10**6,
           "\u2028", "😀", "\x01\x7f", "%s", "?", ":name", "\\x00"]  # fmt: skip


def _prompts(texts):
    return [
        {"key": f"{at:064}", "first_turn_key": f"{at:064}", "text": one, "derived_from_id": None,
         "messages": [{"role": "user", "content": one}, {"role": "\\", "content": f'"{at}\\n'}]}
        for at, one in enumerate(texts)
    ]  # fmt: skip


def _many(texts):
    return [*texts, *(f"filler {number}" for number in range(insertion.FEW))]


def _stored(session):
    table = curation.Prompt
    columns = table.key, table.first_turn_key, table.text, table.messages, table.derived_from_id
    return session.execute(select(*columns).order_by(table.key)).all()


def _keys_by_id(session):
    return session.scalars(select(curation.Prompt.key).order_by(curation.Prompt.id)).all()


def test_ids_follow_the_order_of_rows_of_whatever_size(sessions):
    rng = random.Random(1)
    rows = _prompts([rng.randbytes(rng.choice((0, 40, 900, 3_500))).hex() for _ in range(2_000)])
    rng.shuffle(rows)
    with sessions() as session:
        insert_new(session, curation.Prompt, rows)
        assert _keys_by_id(session) == [row["key"] for row in rows]


@pytest.mark.parametrize("count", [0, 1, insertion.FEW - 1, insertion.FEW, INSERT_BATCH, INSERT_BATCH + insertion.FEW])
def test_the_ids_of_new_rows_are_those_that_their_keys_have(sessions, count):
    rows = _prompts([f"text {number}" for number in range(count + 500)])
    random.Random(1).shuffle(rows)
    with sessions() as session:
        insert_new(session, curation.Prompt, rows[:500])
        session.execute(text("DELETE FROM prompts WHERE id > 400"))
        new, ids = insert_numbered(session, curation.Prompt, rows[500:])
        by_key = dict(session.execute(select(curation.Prompt.key, curation.Prompt.id)).all())
    assert new == count
    assert ids is None or list(ids) == [by_key[row["key"]] for row in rows[500:]]
    assert (ids is not None) == (count == 0 or count >= insertion.FEW)


@pytest.mark.parametrize("repeated", [0, 399])
def test_no_ids_are_said_where_a_row_was_there_or_comes_twice(sessions, repeated):
    rows = _prompts([f"text {number}" for number in range(401)])
    with sessions() as session:
        insert_new(session, curation.Prompt, rows[400:])
        assert insert_numbered(session, curation.Prompt, [*rows[:400], rows[repeated]]) == (400, None)
        assert insert_numbered(session, curation.Prompt, rows) == (0, None)


def test_many_rows_are_stored_as_one_by_one(sessions):
    rows = _prompts(_many(AWKWARD))
    random.Random(0).shuffle(rows)
    with sessions() as session:
        assert insert_new(session, curation.Prompt, rows) == len(rows)
        at_once = _stored(session)
        assert _keys_by_id(session) == [row["key"] for row in rows]
        session.rollback()
        for row in rows:
            session.execute(insert(curation.Prompt), [row])
        assert at_once == _stored(session)
    assert [row.text for row in at_once] == _many(AWKWARD)


def test_numbers_times_and_what_is_left_to_defaults_are_stored_as_one_by_one(sessions):
    with sessions() as session:
        insert_new(session, curation.Prompt, _prompts(["a"]))
        insert_new(session, curation.Generator, [{"key": "g" * 64, "backend": "imported", "model": None}])
        prompt_id, generator_id = (session.scalar(select(table.id)) for table in (curation.Prompt, curation.Generator))
        values = [
            (0.1, 2**53, True, {"a": 1e-300, "ä": None}), (None, None, False, None), (-1e300, -(2**63), None, {}),
            *[(float(number), number, None, None) for number in range(insertion.FEW)],
        ]  # fmt: skip
        rows = [
            {"key": f"{at:064}", "prompt_id": prompt_id, "generator_id": generator_id, "text": "", "score": score,
             "seed": seed, "is_desirable": is_desirable, "ratings": ratings}
            for at, (score, seed, is_desirable, ratings) in enumerate(values)
        ]  # fmt: skip
        columns = [column for column in curation.Response.__table__.columns if column.name not in ("id", "created_at")]
        query = select(*columns).order_by(curation.Response.key)
        point = session.begin_nested()
        insert_new(session, curation.Response, rows)
        at_once = session.execute(query).all()
        kept = session.scalars(select(curation.Response.created_at).distinct()).one()
        point.rollback()
        for row in rows:
            session.execute(insert(curation.Response), [row])
        assert at_once == session.execute(query).all()
        assert type(kept) is type(session.scalars(select(curation.Response.created_at).limit(1)).one())


def test_of_many_rows_those_that_are_there_stay_and_repeated_ones_come_once(sessions):
    rows = _prompts(_many(["first", "second"]))
    with sessions() as session:
        insert_new(session, curation.Prompt, rows[1:2])
        changed = [*rows[:1], rows[1] | {"text": "changed"}, *rows[2:], rows[0] | {"text": "again"}]
        assert insert_new(session, curation.Prompt, changed) == len(rows) - 1
        assert [row.text for row in _stored(session)] == [row["text"] for row in rows]
        assert insert_new(session, curation.Prompt, changed) == 0


@pytest.mark.parametrize("count", [1, insertion.FEW])
def test_a_name_that_is_no_column_is_refused_however_many_the_rows(sessions, count):
    rows = [row | {"no_column": 1} for row in _prompts(map(str, range(count)))]
    with sessions() as session, pytest.raises(AssertionError, match="no column"):
        insert_new(session, curation.Prompt, rows)


@pytest.mark.parametrize("unstorable", ["a lone \ud800 surrogate", "a NUL \x00 character"])
def test_what_a_database_refuses_is_refused_among_many_as_alone_and_nothing_is_stored(sessions, unstorable):
    def store(texts):
        with sessions.begin() as session:
            insert_new(session, curation.Prompt, _prompts(texts))

    def refusal(texts):
        try:
            store(texts)
        except (DBAPIError, UnicodeError) as error:
            return type(error)
        return None

    alone = refusal([unstorable])
    with sessions.begin() as session:
        session.execute(text("DELETE FROM prompts"))
    assert refusal(_many([unstorable])) == alone
    with sessions() as session:
        assert len(_stored(session)) == (0 if alone else insertion.FEW + 1)


@pytest.mark.postgres
def test_a_connection_that_is_lost_within_a_copy_is_a_database_that_is_gone(postgres_server):
    sessions = make_session_factory(make_engine(f"{postgres_server}/postgres"))

    def rows(other, backend):
        yield ("a",)
        with other() as session:
            session.execute(text("SELECT pg_terminate_backend(:backend)"), {"backend": backend})
        for _ in range(100_000):
            yield ("b" * 1_000,)

    with pytest.raises(DBAPIError) as caught, sessions.begin() as session:
        session.execute(text("CREATE TEMPORARY TABLE streamed (t text)"))
        backend = session.scalar(text("SELECT pg_backend_pid()"))
        insertion._copy(session.connection(), "COPY streamed (t) FROM STDIN", rows(sessions, backend))
    fault = fault_of(caught.value)
    assert fault is not None and fault.is_gone
