"""Which rows go with what is forgotten: marked in temporary tables, so that nothing is changed by asking.

A row goes if it was asked for, is part of one that goes, or is shared (a response, a prompt, a generator …), was held
by one that goes and is held by none that stays.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    union,
)
from sqlalchemy.orm import Session

from db.engine import batches
from db.labels.queueing.edits import WRITER
from db.runs import CALIBRATE, COMPLETED
from db.schema import curation, labels, policies, teams
from db.statements.among import among
from db.tidying.ties import COLLECTED, Tie, named_by, naming, references, table_of

BATCH = 5_000
HASHED_MEMORY = "512MB"  # for the ids of some ten million rows
_PARENTS = tuple(dict.fromkeys(reference.parent.name for reference in references()))


def _temporary(name: str) -> Table:
    prefixes = ["TEMPORARY"]
    return Table(name, MetaData(), Column("id", BigInteger, primary_key=True, autoincrement=False), prefixes=prefixes)


_GOING = {name: _temporary(f"going_{name}") for name in _PARENTS}
_TOUCHED = {name: _temporary(f"touched_{name}") for name in COLLECTED}
_IS_PERSON = labels.Annotator.kind == "person"


def _is_written() -> ColumnElement[bool]:
    """Whether a response is one that a person made of another."""
    return curation.Response.generator_id.in_(select(curation.Generator.id).filter_by(key=WRITER.key))


class Marks:
    """The rows that go, as this transaction sees them."""

    def __init__(self, session: Session, table: str, ids: Collection[int]) -> None:
        """Mark rows that were asked for, and all that goes with them."""
        self._session = session
        self._asked = sorted(ids) if table == "runs" else []
        connection = session.connection()
        if connection.dialect.name == "postgresql":  # what does not fit is compared row by row, which takes n² steps
            session.execute(select(func.set_config("work_mem", HASHED_MEMORY, True)))
        for made in (*_GOING.values(), *_TOUCHED.values()):
            made.create(connection, checkfirst=True)
            session.execute(delete(made))
        for batch in batches(sorted(ids), BATCH):
            session.execute(insert(_GOING[table]), [{"id": id_} for id_ in batch])
        self._mark_parts()
        for name in COLLECTED:
            self._touch(name)
            while self._collect(name):
                self._touch(name)

    def clear(self) -> None:
        """Take the temporary tables away."""
        for made in (*_GOING.values(), *_TOUCHED.values()):
            made.drop(self._session.connection())

    def ids(self, table: str) -> list[int]:
        """The ids of the rows of a table that go, in order."""
        going = _GOING[table]
        return list(self._session.scalars(select(going.c.id).order_by(going.c.id)))

    def count(self, table: str) -> int:
        """How many rows of a table go."""
        query = select(func.count()).select_from(table_of(table)).where(self.goes(table))
        return self._session.scalar(query) or 0

    def among_going(self, column: Any, table: str) -> ColumnElement[bool]:
        """Whether a column names a row of a table that goes."""
        return column.in_(select(_GOING[table].c.id))  # type: ignore[no-any-return]

    def goes(self, name: str) -> ColumnElement[bool]:
        """Whether a row of this table goes."""
        table = table_of(name)
        conditions = [self.among_going(one.column, one.parent.name) for one in named_by(name, Tie.PART)]
        if name in _GOING:
            conditions.append(self.among_going(table.c.id, name))
        if name == "judgements":
            # Verdicts that lose the name of their calibration would be votes.
            measuring = select(curation.Run.id).where(curation.Run.kind == CALIBRATE)
            conditions.append(self.among_going(table.c.run_id, "runs") & table.c.run_id.in_(measuring))
            if self._asked:  # a labelling run that is asked for itself takes its verdicts with it
                conditions.append(among(table.c.run_id, self._asked))
        if name == "gate_looks":  # looks at an opponent that is no more
            going = _GOING["policies"]
            conditions.append(table.c.opponent.in_(select("policy:" + cast(going.c.id, Text))))
        return func.coalesce(or_(false(), *conditions), false())

    def kept(self, name: str) -> Select[tuple[int]]:
        """The ids of shared rows that were held by what goes and stay."""
        touched, going = _TOUCHED[name], _GOING[name]
        return select(touched.c.id).where(touched.c.id.not_in(select(going.c.id)))

    def _mark_parts(self) -> None:
        """Mark what is part of what is marked, until there is no more."""
        tied = [one for one in references() if one.tie & Tie.PART and one.table.name in _GOING]
        is_new = True
        while is_new:
            is_new = False
            for reference in tied:
                going, table = _GOING[reference.table.name], reference.table
                query = select(table.c.id).where(
                    self.among_going(reference.column, reference.parent.name), ~self.among_going(table.c.id, table.name)
                )
                is_new |= self._add(going, query) > 0

    def _touch(self, name: str) -> None:
        """Note the shared rows that what goes holds."""
        touched = _TOUCHED[name]
        queries: list[Select[Any]] = [
            select(one.column).where(self.goes(one.table.name), one.column.is_not(None))
            for one in naming(name, Tie.HOLDS)
        ]
        if name == "responses":  # what was sampled for a run before it had candidates, or for a round
            response = curation.Response
            for of_run in (curation.RunPrompt, policies.PromptUse):
                prompt_ids = select(of_run.prompt_id).where(self.among_going(of_run.run_id, "runs"))
                queries.append(select(response.id).where(response.prompt_id.in_(prompt_ids)))
            # What people have written and taken back says no more whose it was.
            is_taken_back = response.id.not_in(select(teams.Edit.response_id))
            is_anyone_forgotten = exists().where(self.among_going(labels.Annotator.id, "annotators"), _IS_PERSON)
            queries.append(select(response.id).where(_is_written(), is_taken_back, is_anyone_forgotten))
        if name == "annotators":  # a person is asked for, and never goes by themselves
            people = select(labels.Annotator.id).where(_IS_PERSON)
            queries = [query.where(query.selected_columns[0].not_in(people)) for query in queries]
        new = union(*queries).subquery()
        self._add(touched, select(new.c[0]).distinct().where(new.c[0].not_in(select(touched.c.id))))

    def _collect(self, name: str) -> int:
        """Mark the touched rows that nothing that stays holds; return how many were new."""
        touched = _TOUCHED[name].c.id
        query = select(touched).where(touched.not_in(select(_GOING[name].c.id)))
        for one in naming(name, Tie.HOLDS):
            stays = select(one.column).where(~self.goes(one.table.name), one.column.is_not(None))
            query = query.where(touched.not_in(stays))
        if name == "responses":
            held = select(curation.Response.id).where(
                or_(*(curation.Response.prompt_id.in_(of) for of in self._held())), ~_is_written()
            )
            query = query.where(touched.not_in(held))
        return self._add(_GOING[name], query)

    def _held(self) -> list[Select[tuple[int]]]:
        """The prompts whose responses stay: of runs that still sample, and of trainings."""
        run, of_run = curation.Run, curation.RunPrompt
        samples = run.has_fixed_candidates.is_(False) & (run.status != COMPLETED)
        sampling = select(of_run.prompt_id).join(run, run.id == of_run.run_id)
        sampling = sampling.where(samples, ~self.goes("run_prompts"))
        return [sampling, select(policies.PromptUse.prompt_id).where(~self.goes("prompt_uses"))]

    def _add(self, table: Table, query: Select[Any]) -> int:
        statement = insert(table).from_select(["id"], query)
        options = {"preserve_rowcount": True}  # else SQLAlchemy drops psycopg's
        return self._session.connection().execute(statement, execution_options=options).rowcount
