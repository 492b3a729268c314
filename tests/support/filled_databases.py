"""A database with rows in every table, and copies of it as older versions would have left them."""

from __future__ import annotations

from datetime import UTC, datetime

from curation_steps import configured, curate
from installed import installed
from queued_pairs import open_queue, take
from sqlalchemy import MetaData, func, insert, select
from stored_labels import ANNA, BEN, judge, rows_of, take_snapshot
from stored_policies import finish, open_align_run, open_policy
from stored_rows import add, row

from db import evaluations, latent_distances, logps, policies, promotions, prompt_uses, runs
from db.findings import guard_flags
from db.findings.contaminations import Contamination, store_contaminations
from db.findings.labelled_pairs import LabelledAlike, store_labelled_alike
from db.labels import batches, calibrations, judgements, labelling, leases, predictions, replies, routes, sign_ins
from db.labels.queueing import adjudication, edits, gold, guidelines, settings
from db.schema.curation import Pair
from db.studies.trials import add_outcome
from db.tidying import journal
from models.alignment.records import MetricPoint, ResponseLogps
from models.chat.batch_records import Batch, Service
from models.evaluation.measurements import ComparisonSummary, Measurements
from models.guard import Finding
from models.guide import GuideCheck
from models.intervals import Interval
from models.judging.replies import StoredReply
from models.labelling.records import Judgement
from models.number_format import NumberFormat
from models.records import ImportedPair, ImportedResponse, ImportedRow, Message, Prompt
from models.studies.trials import Outcome, Trial

TURNS = tuple(Message(role, f"Turn {role} äß?") for role in ("system", "user", "assistant", "user"))


def fill(folder):
    """Make a SQLite database in a folder that has rows in every table; its settings."""
    with installed(folder) as (settings, sessions):
        run_id = _curated(sessions)
        _found(sessions, run_id)
        _labelled(sessions, run_id)
        _trained(sessions, run_id)
        _studied(sessions)
        _unfinished(sessions)
        return settings


def rows(engine, tables):
    """Every row of these tables, by table, in these columns; in a fixed order."""
    with engine.connect() as connection:
        return {table.name: sorted(connection.execute(select(table)).all(), key=repr) for table in tables}


def copy_rows(source, target):
    """Store the rows of one database in another, in the columns that the other has."""
    have = reflected(source).tables
    with target.begin() as connection, source.connect() as reading:
        for table in reflected(target).sorted_tables:
            columns = [have[table.name].c[column.name] for column in table.columns]
            keys = [have[table.name].c[column.name] for column in table.primary_key]  # what was referred to comes first
            values = [dict(found) for found in reading.execute(select(*columns).order_by(*keys)).mappings()]
            if values:
                connection.execute(insert(table), values)
            if values and connection.dialect.name == "postgresql" and "id" in table.c:
                _count_on(connection, table)


def reflected(engine):
    """The tables of a database, as they are in it."""
    metadata = MetaData()
    metadata.reflect(engine)
    metadata.remove(metadata.tables["alembic_version"])
    for column in (column for table in metadata.tables.values() for column in table.columns):
        if hasattr(column.type, "none_as_null"):
            column.type.none_as_null = True  # as the schema has it: no value is NULL, not JSON's null
    return metadata


def _count_on(connection, table):
    """Let PostgreSQL's next id follow those that were stored."""
    sequence = func.pg_get_serial_sequence(table.name, "id")
    connection.execute(select(func.setval(sequence, select(func.max(table.c.id)).scalar_subquery())))


def _curated(sessions):
    dialogue = ImportedRow(1, Prompt(TURNS), (ImportedResponse("golden", is_reference=True, score=2.5),), split="train")
    own = ImportedRow(2, Prompt.from_text("own"), (ImportedResponse("a"), ImportedResponse("b")), (ImportedPair(0, 1),))
    add(sessions, dialogue, own, row(3, "plain"), row(4, "twice", "same", "other", pair=ImportedPair(1, 0, "first")))
    run_id = curate(configured())
    with sessions.begin() as session:
        pair = _pairs(session, run_id)[0]
        flag = guard_flags.GuardFlag(pair.first_response_id, pair.prompt_id, Finding("repetitive", 0.75), False)
        guard_flags.add_flags(session, run_id, [flag])
    return run_id


def _found(sessions, run_id):
    """What checks find; nothing here is a benchmark's, or nearly the same."""
    with sessions.begin() as session:
        pair = _pairs(session, run_id)[0]
        ids = pair.first_response_id, pair.second_response_id
        store_contaminations(session, run_id, [Contamination(pair.prompt_id, "similar", "b.txt", 1, 0.99, "plain")])
        store_labelled_alike(session, run_id, [LabelledAlike(pair.prompt_id, *ids, *ids, 1.0, is_left_out=False)])


def _labelled(sessions, run_id):
    with sessions() as session:
        keys = labelling.pair_keys(session, run_id)
    for who, verdict in ((ANNA, "first"), (BEN, "second")):
        judge(sessions, who, keys[0], verdict)
    judge(sessions, ANNA, keys[1], "first", seconds=1.5, rationale="better")
    judge(sessions, ANNA, keys[2], "tie")
    take_snapshot(sessions, rows_of(sessions, run_id))
    queue = open_queue(sessions, keys[1:])
    with sessions.begin() as session:
        anna = judgements.add_annotator(session, ANNA)
        replies.add_replies(session, run_id, {"r" * 64: StoredReply("m", 1, 9, 1, 0.25)})
        batches.add(session, run_id, BATCH, service=Service("judge", "http://localhost/v1", "tiny"))
        predictions.store_predictions(session, run_id, [predictions.Prediction(*keys[3], 0.6, 0.4, 0.8, 0.4, 0.5, 2)])
        record = calibrations.CalibrationRecord(run_id, anna, "ben", 9, 8, Interval(0.8, 0.5, 0.9))
        calibrations.store_calibration(session, record, {"trusted_pairs": 9})
        routes.add_routes(session, run_id, [routes.Route(*keys[3], False, 0.9, 0.95)])
        sign_ins.issue(session, anna, number=1, token_hash="t" * 64, now=datetime.now(UTC), days=30)
    take(sessions, queue, anna)
    with sessions.begin() as session:
        guidelines.write(session, queue, "Be *kind*.")
        gold.set_pairs(session, queue, {keys[0]: "first"})
        said = Judgement(keys[0], keys[0].first_response_id, "first")
        gold.answer(session, queue, anna, said, guidelines_version=1)
        adjudication.open_adjudication(session, queue, [anna])
        settings.set_options(session, queue, has_editing=True)
        held = leases.held_by(session, queue, anna)
        edits.save(session, queue, anna, showing=held, original_id=held.left_response_id, text="better")


BATCH = Batch("b" * 32, ("r" * 64,), 0.5, "planned")
COMPARED = ComparisonSummary(1.0, 0.0, 0.0, Interval(1.0, 0.5, 1.0), 1, 1, 1, 0, length_controlled=None, unread=0)


def _trained(sessions, run_id):
    aligned = open_align_run(sessions)
    start = open_policy(sessions, aligned, "a", snapshot_id=1)
    finish(sessions, start.id, loss=0.5)
    better = open_policy(sessions, aligned, "b", parent_id=start.id, round=2)
    finish(sessions, better.id)
    open_policy(sessions, aligned, "c")
    failed = open_policy(sessions, aligned, "d")
    with sessions.begin() as session:
        policies.fail_policy(session, failed.id, "no memory")
        policies.add_metrics(session, start.id, [MetricPoint(1, "train", "loss", 0.7)])
        logps.add_logps(session, {"l" * 64: ResponseLogps(-3.5, 7)})
        (prompt_id, first, second), *_ = [
            (pair.prompt_id, pair.first_response_id, pair.second_response_id) for pair in _pairs(session, run_id)
        ]
        distance = latent_distances.LatentDistance(aligned, 1, prompt_id, first, second, 0.5, 1.0)
        latent_distances.add_distances(session, [distance])
        prompt_uses.add_uses(session, aligned, train=[prompt_id], held_out=[])
        check = GuideCheck(None, 9, 1.0, 1.5, Interval(0.5, 0.4, 0.6), 40, 0.2, 0, None)
        latent_distances.add_check(session, aligned, check)
        for number, baseline in enumerate(({"baseline_id": start.id}, {"baseline_model": "demo"})):
            values = {"baseline_id": None, "baseline_model": None} | baseline
            evaluation_id = evaluations.open_evaluation(
                session, key=f"{number:064}", policy_id=better.id, run_id=aligned, settings={}, **values
            )
            evaluations.add_evaluation_pairs(session, evaluation_id, [(prompt_id, first, second)])
            evaluations.finish_evaluation(session, evaluation_id, Measurements(COMPARED))
        promotions.promote(session, start.id, evaluation_id=None, is_forced=True, reason="first")
        promotions.promote(session, better.id, evaluation_id=1, is_forced=False, reason="better")
        promotions.roll_back(session)
        runs.set_status(session, aligned, runs.COMPLETED)


def _studied(sessions):
    with sessions.begin() as session:
        run_id = runs.open_run(session, kind=runs.STUDY, name="s", config={}, config_key="s", code_version="0")
        journal.note(session, "run 9", ["reports/run-9.html"])
        add_outcome(session, run_id, Outcome(Trial("easy", "truth", 50, 2**53), {"accuracy": 0.5}, 1.5))


def _unfinished(sessions):
    """A run of every kind in every state."""
    formats = NumberFormat("float32", "no instructions for bfloat16")
    for kind in (runs.CURATE, runs.LABEL, runs.ALIGN, runs.LD_ALIGN, runs.EVALUATE, runs.STUDY):
        for status in (runs.RUNNING, runs.COMPLETED, runs.FAILED, runs.CRASHED, runs.STOPPED):
            key = f"{kind} {status}"
            with sessions.begin() as session:
                run_id = runs.open_run(
                    session, kind=kind, name=key, config={}, config_key=key, code_version="0", number_format=formats
                )
                runs.set_status(session, run_id, status, error=None if status == runs.COMPLETED else "äh")
                runs.spend(session, run_id, 3, 0.5)
                runs.set_origin(session, run_id, deployment="curate/nightly", flow_run_id="f" * 36)


def _pairs(session, run_id):
    return session.scalars(select(Pair).filter_by(run_id=run_id).order_by(Pair.id)).all()
