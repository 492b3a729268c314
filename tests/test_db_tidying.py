"""What goes with a thing and what keeps it, worked by hand; every table has its rule; names change and stay unique."""

from __future__ import annotations

import pytest
from queued_pairs import judged, person, take
from sqlalchemy import inspect, select, text
from stored_labels import ANNA, BEN, judge, rows_of, take_snapshot
from stored_policies import finish, open_align_run, open_policy
from stored_rows import add, ids_by_text, row
from tidy_worlds import World, add_labels, add_queue, add_run, add_snapshot, add_source

from db import evaluations, gate_looks, latent_distances, policies, promotions, prompt_uses, runs
from db.labels import judgements, labelling, preferences
from db.labels.leases import Lease
from db.labels.queueing import adjudication, edits, settings
from db.labels.queues import labels_came
from db.schema.base import Base
from db.tidying import forgetting, journal, targets
from db.tidying.ties import TIES, Tie
from models.evaluation.measurements import ComparisonSummary, Measurements
from models.guide import GuideCheck
from models.intervals import Interval

NO_ROWS_OF_OTHERS = {"replies.key", "runs.flow_run_id", "batches.server_id"}  # ids that are not of a table here
COMPARED = ComparisonSummary(1.0, 0.0, 0.0, Interval(1.0, 0.5, 1.0), 1, 1, 1, 0, length_controlled=None, unread=0)


@pytest.fixture
def world(sessions, settings):
    return World(sessions, settings)


def told(world, kind, named):
    with world.sessions() as session:
        target = targets.find(session, kind, named)
        found = forgetting.told(session, target.table, target.ids)
        session.rollback()
        return found


def forget(world, kind, named):
    with world.sessions.begin() as session:
        forgetting.take_turns(session)
        target = targets.find(session, kind, named)
        return forgetting.forget(session, target.table, target.ids, {})


def needs(found):
    return [(need.kind, need.id) for need in found.needs]


def test_every_column_that_names_a_row_of_another_table_has_a_tie():
    named = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.foreign_keys or (column.name.endswith("_id") and column.name != "id")
    } - NO_ROWS_OF_OTHERS
    # The number of a source's row is a part of the name of one: the source is the other.
    named.remove("source_responses.row_number")
    assert named == {f"{table}.{column}" for table, columns in TIES.items() for column in columns}


def test_ties_name_the_table_that_the_foreign_key_names():
    for table, columns in TIES.items():
        for name, (parent, tie) in columns.items():
            column = Base.metadata.tables[table].c[name]
            keys = {key.column.table.name for key in column.foreign_keys} - {"source_rows"}
            assert keys <= {parent}, f"{table}.{name}"
            assert Tie.LOOSE not in tie or column.nullable, f"{table}.{name}"


def test_a_run_takes_what_only_it_had_and_leaves_what_a_source_or_another_run_has(world):
    add_source(world, "s", (0, 1))
    one, two = add_run(world, "one", (0, 1), samples=1), add_run(world, "two", (1,), samples=2)
    found = told(world, "run", str(two))
    assert found.rows == {
        "runs": 1, "run_counts": 1, "run_similarities": 1, "run_prompts": 1, "candidates": 4, "pairs": 1,
        "responses": 1, "embeddings": 1,
    }  # fmt: skip
    assert [(kept.table, kept.count, kept.holders) for kept in found.kept] == [
        ("prompts", 1, (("run", one), ("source", 1))),
        ("responses", 3, (("run", one), ("source", 1))),
    ]
    assert forget(world, "run", "two") == found
    assert [found["text"] for found in world.rows("responses")] == ["a0", "b0", "a1", "b1", "sample 1 0", "sample 2 0"]


def test_asking_changes_nothing(world):
    add_source(world, "s", (0, 1))
    add_run(world, "one", (0, 1))
    before = {name: world.rows(name) for name in Base.metadata.tables}
    assert told(world, "run", "one").rows["candidates"] == 6
    assert {name: world.rows(name) for name in Base.metadata.tables} == before


def test_verdicts_live_with_their_texts_unless_the_run_that_gave_them_is_named(world):
    add_source(world, "s", (0, 1))
    one = add_run(world, "one", (0, 1), samples=0)
    label_run = add_labels(world, one, "judge")
    found = told(world, "run", str(one))
    assert found.runs == {one: "curate", label_run: "label"}
    assert found.verdicts_kept == 2 and "judgements" not in found.rows and found.rows["replies"] == 1
    assert told(world, "run", str(label_run)).rows == {
        "runs": 1, "run_counts": 1, "judgements": 2, "replies": 1, "annotators": 1,
    }  # fmt: skip
    forget(world, "run", str(label_run))
    assert world.rows("judgements") == world.rows("preferences") == []


def test_a_person_takes_their_verdicts_and_preferences_and_queues_are_counted_anew(world):
    add_source(world, "s", (0, 1))
    run_id = add_run(world, "one", (0, 1), samples=0)
    add_queue(world, run_id, ["anna"])
    with world.sessions() as session:
        pair = labelling.pair_keys(session, run_id)[0]
    judge(world.sessions, BEN, pair, "second")
    with world.sessions.begin() as session:
        preferences.recompute(session, [pair], name="weighted")
    assert {row["outcome"] for row in world.rows("preferences")} == {"contradiction"}
    found = forget(world, "person", "anna")
    assert found.shown_runs == [run_id]
    assert [(row["rule"], row["outcome"], row["vote_count"]) for row in world.rows("preferences")] == [
        ("majority", "second", 1)
    ]
    assert [row["judgement_count"] for row in world.rows("queue_pairs")].count(1) == 1
    assert world.rows("queues")[0]["done_count"] == 1


@pytest.mark.parametrize("is_settled_forgotten", [True, False])
def test_a_queue_takes_the_one_that_settles_its_contradictions_along_and_nothing_is_settled_any_more(
    world, is_settled_forgotten
):
    add_source(world, "s", (0, 1))
    run_id = add_run(world, "one", (0, 1), samples=0)
    queue, lea = add_queue(world, run_id, []), person(world.sessions, "lea")
    with world.sessions.begin() as session:
        pair = labelling.pair_keys(session, run_id)[0]
        settling = adjudication.open_adjudication(session, queue, [lea])
    for who, verdict in ((ANNA, "first"), (BEN, "second")):
        judge(world.sessions, who, pair, verdict)
    with world.sessions.begin() as session:
        labels_came(session, [pair])
    judged(world.sessions, settling, lea, "tie")
    assert [row["outcome"] for row in world.rows("preferences")] == ["tie"]
    named = str(queue if is_settled_forgotten else settling)
    found = told(world, "queue", named)
    assert found.rows["queues"] == (2 if is_settled_forgotten else 1)
    assert (found.verdicts_kept, found.shown_runs) == (1, [run_id])
    assert forget(world, "queue", named) == found
    assert [row["id"] for row in world.rows("queues")] == ([] if is_settled_forgotten else [queue])
    assert world.rows("adjudications") == world.rows("adjudicators") == []
    assert [row["outcome"] for row in world.rows("preferences")] == ["contradiction"]
    assert [row["queue_id"] for row in world.rows("judgements")] == [None] * 3


def test_what_was_said_in_a_calibration_goes_with_it_and_becomes_no_vote(world):
    add_source(world, "s", (0, 1))
    one = add_run(world, "one", (0, 1), samples=0)
    calibration = add_labels(world, one, "judge", kind=runs.CALIBRATE)
    assert len(world.rows("judgements")) == 2 and world.rows("preferences") == []
    found = told(world, "run", str(one))
    assert found.runs == {one: "curate", calibration: "calibrate"}
    assert found.verdicts_kept == 0 and found.rows["judgements"] == 2 and found.rows["annotators"] == 1
    forget(world, "run", str(one))
    assert world.rows("judgements") == world.rows("preferences") == world.rows("annotators") == []


def test_a_person_takes_what_they_have_written_and_taken_back_even_of_prompts_that_trained(world):
    add_source(world, "s", (0, 1, 2))
    run_id = add_run(world, "one", (0, 1, 2), samples=0)
    queue = add_queue(world, run_id, [])
    with world.sessions.begin() as session:
        settings.set_options(session, queue, has_editing=True)
    for name, written in (("anna", ("mine", "mine again")), ("ben", ("his",)), ("cleo", ("hers", None))):
        who = person(world.sessions, name)
        shown = take(world.sessions, queue, who)
        for words in written:
            with world.sessions.begin() as session:
                lease = Lease(shown.pair, shown.left_response_id, shown.shown_at)
                text = {shown.left_response_id: shown.left}.get(shown.pair[0], shown.right) if words is None else words
                edits.save(session, queue, who, showing=lease, original_id=shown.pair[0], text=text)
    training = open_align_run(world.sessions)
    with world.sessions.begin() as session:
        prompt_uses.add_uses(session, training, train=[1, 2, 3], held_out=[])
    written = {row["id"]: row["text"] for row in world.rows("responses")}
    assert set(written.values()) == {"a0", "b0", "a1", "b1", "a2", "b2"} | {"mine", "mine again", "his", "hers"}
    assert told(world, "person", "anna").rows["responses"] == 3
    forget(world, "person", "anna")
    assert {row["text"] for row in world.rows("responses")} == {"a0", "b0", "a1", "b1", "a2", "b2", "his"}
    forget(world, "person", "ben")
    assert {row["text"] for row in world.rows("responses")} == {"a0", "b0", "a1", "b1", "a2", "b2"}


def test_a_snapshot_keeps_its_run_and_its_texts_and_a_policy_keeps_its_snapshot(world):
    add_source(world, "s", (0, 1))
    run_id = add_run(world, "one", (0, 1), samples=0)
    add_labels(world, run_id, "judge")
    snapshot = add_snapshot(world, run_id)
    assert needs(told(world, "run", "one")) == [("snapshot", snapshot)]
    align = open_align_run(world.sessions)
    policy = open_policy(world.sessions, align, "a", snapshot_id=snapshot)
    assert needs(forget(world, "snapshot", str(snapshot))) == [("policy", policy.id)]
    assert world.rows("snapshots")
    forget(world, "policy", str(policy.id))
    assert not forget(world, "snapshot", str(snapshot)).needs
    assert world.rows("snapshots") == world.rows("snapshot_rows") == []
    assert not forget(world, "run", "one").needs


def test_what_never_changes_does_not_after_something_was_forgotten_either(world):
    add_source(world, "s", (0, 1, 2))
    for name in ("one", "two"):
        run_id = add_run(world, name, (0, 1, 2), samples=0)
        add_labels(world, run_id, "judge")
        add_snapshot(world, run_id)
    forget(world, "snapshot", "1")
    for statement in ("DELETE FROM snapshots", "UPDATE snapshots SET name = 'x'", "DELETE FROM snapshot_rows"):
        with pytest.raises(Exception, match="snapshots never change"), world.sessions.begin() as session:
            session.execute(text(statement))


def test_texts_that_only_a_snapshot_has_keep_their_source(world):
    add(world.sessions, row(1, "p", "x", "y"))
    ids = ids_by_text(world.sessions)
    with world.sessions() as session:
        pair = labelling.PairKey(ids["x"], ids["y"])
    judge(world.sessions, ANNA, pair, "first")
    run_id = add_run(world, "none", (), samples=0)
    with world.sessions.begin() as session:
        session.execute(
            text(
                "INSERT INTO pairs (run_id, strategy, prompt_id, first_response_id, second_response_id, similarity, "
                f"rank, pair_count, created_at) VALUES ({run_id}, 'e', 1, {pair[0]}, {pair[1]}, 0, 1, 1, '2026-01-01')"
            )
        )
    rows = [one._replace(run_id=None) for one in rows_of(world.sessions, run_id)]
    snapshot = take_snapshot(world.sessions, rows)
    forget(world, "run", str(run_id))
    found = told(world, "source", "source")
    assert needs(found) == [("snapshot", snapshot)]
    assert found.needs[0].words == f"snapshot {snapshot} holds 1 preferences on its texts"
    forget(world, "snapshot", str(snapshot))
    assert not forget(world, "source", "source").needs
    assert world.rows("prompts") == world.rows("judgements") == []


def test_a_policy_in_use_or_one_that_another_began_with_stays(world):
    run_id = open_align_run(world.sessions)
    start = open_policy(world.sessions, run_id, "a")
    finish(world.sessions, start.id)
    child = open_policy(world.sessions, run_id, "b", parent_id=start.id, round=2)
    with world.sessions.begin() as session:
        promotions.promote(session, child.id, evaluation_id=None, is_forced=True, reason="x")
    assert needs(told(world, "policy", str(start.id))) == [("policy", child.id)]
    (need,) = told(world, "policy", str(child.id)).needs
    assert (need.words, need.first) == (f"policy {child.id} is in use", "antipode rollback")
    with world.sessions.begin() as session:
        promotions.roll_back(session)
    assert forget(world, "run", str(run_id)).policies == {start.id: "a" * 64, child.id: "b" * 64}


def test_what_was_in_use_and_is_forgotten_is_gone_back_over(world):
    run_id = open_align_run(world.sessions)
    ids = [open_policy(world.sessions, run_id, key).id for key in "abc"]
    with world.sessions.begin() as session:
        for id_ in ids:
            promotions.promote(session, id_, evaluation_id=None, is_forced=True, reason="x")
    forget(world, "policy", str(ids[1]))
    with world.sessions.begin() as session:
        assert [one.policy_id for one in promotions.history(session)] == [ids[0], None, ids[2]]
        assert promotions.roll_back(session) == (ids[2], ids[0])
        assert promotions.roll_back(session) == (ids[0], None)
        with pytest.raises(LookupError, match="no policy is in use"):
            promotions.roll_back(session)


def test_a_look_that_was_taken_still_counts_when_its_policy_is_forgotten(world):
    add(world.sessions, row(1, "p", "x", "y"))
    run_id = open_align_run(world.sessions)
    ids = [open_policy(world.sessions, run_id, key).id for key in "ab"]
    with world.sessions.begin() as session:
        for id_ in ids:
            values = {"baseline_id": None, "baseline_model": "demo", "settings": {}, "run_id": run_id}
            evaluation = evaluations.open_evaluation(session, key=f"{id_:064}", policy_id=id_, **values)
            evaluations.finish_evaluation(session, evaluation, Measurements(COMPARED))
    forget(world, "policy", str(ids[0]))
    with world.sessions() as session:
        assert gate_looks.count_of_looks(session, "demo") == 2
        assert [(one.policy_id, one.look.number) for one in gate_looks.looks_at(session, "demo")] == [(ids[1], 2)]
        assert [policy.id for policy in policies.list_policies(session)] == [ids[1]]


def test_a_run_that_still_samples_keeps_what_it_has_sampled(world):
    add_source(world, "s", (0,))
    add_run(world, "begun", (0,), samples=2, is_done=False)
    add_run(world, "done", (0,), samples=2)
    forget(world, "run", "done")
    assert len(world.rows("responses")) == 4
    forget(world, "run", "begun")
    assert [row["text"] for row in world.rows("responses")] == ["a0", "b0"]


def test_files_are_remembered_until_they_are_gone(world):
    with world.sessions.begin() as session:
        journal.note(session, "run 1", ["reports/run-1.html"])
    with world.sessions.begin() as session:
        (one,) = journal.pending(session)
        assert (one.what, one.paths) == ("run 1", ("reports/run-1.html",))
        journal.strike_out(session, one.id)
        assert journal.pending(session) == []


def test_temporary_tables_leave_nothing_in_the_schema(world, database_url):
    add_source(world, "s", (0,))
    before = set(inspect(world.sessions.kw["bind"]).get_table_names())
    forget(world, "source", "s")
    assert set(inspect(world.sessions.kw["bind"]).get_table_names()) == before


def test_a_name_that_several_have_or_nobody_has_is_told_apart(world):
    add_run(world, "one", ())
    with world.sessions.begin() as session:
        session.execute(text("UPDATE runs SET status = 'completed'"))
    add_run(world, "one", ())
    with world.sessions() as session:
        with pytest.raises(LookupError, match=r"2 have the name 'one': run 1, 2; give an id"):
            targets.find(session, "run", "one")
        with pytest.raises(LookupError, match=r"there is no run 'oen'; did you mean one\? See: antipode runs"):
            targets.find(session, "run", "oen")
        assert targets.find(session, "run", "2").words == "run 2"


def test_a_renamed_person_is_who_they_were(world):
    with world.sessions.begin() as session:
        anna, ben = (judgements.add_annotator(session, one) for one in (ANNA, BEN))
        targets.rename(session, "person", "anna", "annie")
        assert judgements.find_person(session, "annie") == anna and judgements.find_person(session, "anna") is None
        with pytest.raises(ValueError, match="person 2 has the name 'ben'; take another"):
            targets.rename(session, "person", "annie", "ben")
        assert ben == 2


def test_a_renamed_source_is_renamed_in_all_its_imports(world):
    add_source(world, "s", (0,))
    add_source(world, "s", (1,))
    with world.sessions.begin() as session:
        assert targets.rename(session, "source", "s", "t").ids == (1, 2)
        with pytest.raises(ValueError, match="source 't' has this name already"):
            targets.rename(session, "source", "t", "t")
    assert [row["name"] for row in world.rows("sources")] == ["t", "t"]


def test_a_queues_name_is_what_the_page_takes_too(world):
    add_source(world, "s", (0,))
    run_id = add_run(world, "r", (0,))
    one, two = add_queue(world, run_id, []), add_queue(world, run_id, [], 2)
    with world.sessions.begin() as session:
        targets.rename(session, "queue", str(one), "hard  pairs")
        taken = f"queue {one} has the name 'hard pairs'; take another"
        for name, words in (("hard pairs", taken), (" ", "1 to 200"), ("\x07", "control")):
            with pytest.raises(ValueError, match=words):
                targets.rename(session, "queue", str(two), name)
    assert {row["id"]: row["name"] for row in world.rows("queues")} == {one: "hard pairs", two: "queue"}


def test_ids_are_looked_up_as_the_table_has_them(world):
    with world.sessions() as session, pytest.raises(LookupError, match="there is no queue '99999999999'"):
        targets.find(session, "queue", "99999999999")
    with world.sessions() as session:
        assert session.scalar(select(1)) == 1


def test_a_guide_goes_with_the_last_run_that_used_it(world):
    one, two = (open_align_run(world.sessions, key=key, kind="ld-align") for key in ("x", "y"))
    check = GuideCheck(None, 9, 1.0, 1.5, Interval(0.5, 0.4, 0.6), 40, 0.2, 0, None)
    with world.sessions.begin() as session:
        for run_id in (one, two):
            latent_distances.add_check(session, run_id, check, folder="g")
    assert forget(world, "run", str(one)).guide_folders == []
    assert forget(world, "run", str(two)).guide_folders == ["g"]
