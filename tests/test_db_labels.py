"""Judgements, preferences and snapshots on both databases: natural keys, rules, what never changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from stored_labels import ANNA, BEN, judge, rows_of, take_snapshot
from stored_rows import add, all_prompt_ids, ids_by_text, open_run, row

from db import pairs, runs
from db.engine import alone
from db.labels import judgements, labelling, preferences, replies, snapshots
from db.schema.labels import Judgement as StoredJudgement
from db.schema.labels import Snapshot
from models.exchange.trainers import content_hash
from models.judging.replies import StoredReply
from models.labelling.records import AnnotatorIdentity, PairKey, Preference, SourceSays
from models.records import ImportedPair, Pair, content_key

JUDGE = AnnotatorIdentity("judge", "judge", (("temperature", 0.0),), has_both_orders=True)


@pytest.fixture
def world(sessions):
    """Two prompts, a pair each; the first by two strategies."""
    add(sessions, row(1, "a", "x", "y"), row(2, "b", "v", "w"))
    ids = ids_by_text(sessions)
    xy, vw = PairKey(ids["x"], ids["y"]), PairKey(ids["v"], ids["w"])
    prompt_ids = all_prompt_ids(sessions)
    run_id = open_run(sessions, prompt_ids)
    with sessions.begin() as session:
        pairs.add_pairs(
            session,
            run_id,
            [
                Pair("easy", prompt_ids[0], *xy, 0.25, 1, 1),
                Pair("random", prompt_ids[0], *xy, 0.25, 1, 1),
                Pair("easy", prompt_ids[1], *vw, 0.75, 1, 1),
            ],
        )
    return run_id, xy, vw


def preference(sessions, pair, rule="majority"):
    with sessions() as session:
        found = preferences.preferences_of(session, rule, [pair])
    return found[pair].outcome if pair in found else None


def test_a_showing_is_judged_once_by_an_annotator(sessions, world):
    _, xy, _ = world
    assert judge(sessions, ANNA, xy, "first")[0] == 1
    assert judge(sessions, ANNA, xy, "second")[0] == 0
    assert judge(sessions, BEN, xy, "first")[0] == 1
    assert judge(sessions, JUDGE, xy, "first", left=xy[0])[0] == 1
    assert judge(sessions, JUDGE, xy, "first", left=xy[1])[0] == 1
    with sessions() as session:
        assert len(session.scalars(select(StoredJudgement)).all()) == 4


def test_an_annotator_with_another_setting_is_another(sessions):
    warm = AnnotatorIdentity("judge", "judge", (("temperature", 1.0),), has_both_orders=True)
    with sessions.begin() as session:
        first, again = judgements.add_annotator(session, JUDGE), judgements.add_annotator(session, JUDGE)
        other = judgements.add_annotator(session, warm)
        assert first == again != other
        assert judgements.find_person(session, "anna") is None
        anna = judgements.add_annotator(session, ANNA)
        assert judgements.find_person(session, "anna") == anna
        assert judgements.find_annotators(session, ["judge"]) == [first, other]
        with pytest.raises(LookupError, match="no annotator 'carl'; there are: 'anna', 'judge'"):
            judgements.find_annotators(session, ["carl"])


def test_the_database_itself_refuses_a_judgement_that_makes_no_sense(sessions, world):
    _, xy, vw = world
    for pair, left, verdict in (
        (xy, xy[0], "best"),
        (xy, vw[0], "first"),
        (PairKey(xy[1], xy[0]), xy[0], "first"),
    ):
        with pytest.raises(IntegrityError):
            judge(sessions, ANNA, pair, verdict, left=left)


def test_preferences_follow_the_judgements_there_and_back(sessions, world):
    _, xy, _ = world
    assert judge(sessions, ANNA, xy, "first")[1] == preferences.Changes(new=1)
    assert preference(sessions, xy) == "first"
    assert judge(sessions, BEN, xy, "second")[1] == preferences.Changes(changed=1)
    assert preference(sessions, xy) == "contradiction"
    with sessions.begin() as session:
        oldest, newest = session.scalars(select(StoredJudgement.id).order_by(StoredJudgement.id)).all()
        assert judgements.remove_judgement(session, newest) == xy
        assert preferences.recompute(session, [xy]) == preferences.Changes(changed=1)
        assert preferences.recompute(session, [xy]) == preferences.Changes()
    assert preference(sessions, xy) == "first"
    with sessions.begin() as session:
        judgements.remove_judgement(session, oldest)
        assert preferences.recompute(session, [xy]) == preferences.Changes(removed=1)
    assert preference(sessions, xy) is None


def test_a_skip_makes_no_preference(sessions, world):
    _, xy, _ = world
    assert judge(sessions, ANNA, xy, "skip")[1] == preferences.Changes()
    assert judge(sessions, JUDGE, xy, "unparsed")[1] == preferences.Changes()


def test_a_judge_that_flips_with_the_order_votes_for_a_tie(sessions, world):
    _, xy, vw = world
    judge(sessions, JUDGE, xy, "first", left=xy[0])
    assert preference(sessions, xy) is None, "one order alone is no vote"
    judge(sessions, JUDGE, xy, "second", left=xy[1])
    assert preference(sessions, xy) == "tie"
    for left in vw:
        judge(sessions, JUDGE, vw, "second", left=left)
    assert preference(sessions, vw) == "second"


def test_rules_and_chosen_annotators_are_kept_side_by_side(sessions, world):
    _, xy, _ = world
    for name, verdict in (("anna", "first"), ("ben", "first"), ("carl", "second")):
        judge(sessions, AnnotatorIdentity("person", name), xy, verdict)
    with sessions.begin() as session:
        carl = judgements.find_annotators(session, ["carl"])
        preferences.recompute(session, [xy], rule="unanimous")
        preferences.recompute(session, [xy], of=carl, name="majority of carl")
    assert preference(sessions, xy) == "first"
    assert preference(sessions, xy, "unanimous") == "contradiction"
    assert preference(sessions, xy, "majority of carl") == "second"
    with sessions() as session:
        assert preferences.preferences_of(session, "majority", [xy]) == {xy: Preference(xy, "first", 2 / 3, 3)}
        assert preferences.outcome_counts(session, "unanimous", [xy]) == {"contradiction": 1}


def test_only_decisive_preferences_become_rows_once_a_pair(sessions, world):
    run_id, xy, vw = world
    judge(sessions, ANNA, xy, "second")
    judge(sessions, ANNA, vw, "tie")
    (only,) = rows_of(sessions, run_id)
    assert (only.prompt.text, only.chosen, only.rejected) == ("a", "y", "x")
    assert (only.chosen_response_id, only.rejected_response_id) == (xy[1], xy[0])
    assert only.strategies == ("easy", "random") and only.similarity == 0.25 and only.run_id == run_id
    assert only.chosen_model == "model-1" and only.vote_count == 1
    assert rows_of(sessions, run_id, strategies=("hard",)) == []
    assert rows_of(sessions, None) == [only]
    judge(sessions, BEN, xy, "second")
    judge(sessions, AnnotatorIdentity("person", "carl"), xy, "first")
    assert rows_of(sessions, run_id, min_support=0.7) == []


def test_a_snapshot_stays_as_it_was_when_labels_change(sessions, world):
    run_id, xy, vw = world
    judge(sessions, ANNA, xy, "first")
    judge(sessions, ANNA, vw, "second")
    before = rows_of(sessions, run_id)
    snapshot_id = take_snapshot(sessions, before)
    judge(sessions, BEN, xy, "second")
    assert len(rows_of(sessions, run_id)) == 1
    with sessions() as session:
        assert list(snapshots.snapshot_rows(session, snapshot_id)) == before
        assert snapshots.snapshot_info(session, snapshot_id).content_hash == content_hash(before)
        with pytest.raises(LookupError, match=f"no snapshot {snapshot_id + 1}; the newest is {snapshot_id}"):
            snapshots.snapshot_info(session, snapshot_id + 1)


def test_a_snapshot_has_the_key_that_it_had_when_its_lineage_was_a_dictionary(sessions, world):
    run_id, xy, _ = world
    judge(sessions, ANNA, xy, "first")
    rows = rows_of(sessions, run_id)
    snapshot_id = take_snapshot(sessions, rows)
    kept = {
        "prompt_id": rows[0].prompt_id, "chosen_response_id": xy[0], "rejected_response_id": xy[1], "run_id": run_id,
        "similarity": 0.25, "rule": "majority", "support": rows[0].support, "vote_count": 1, "split": rows[0].split,
        "strategies": ["easy", "random"],
    }  # fmt: skip
    with sessions() as session:
        key = session.get(Snapshot, snapshot_id).key
    assert key == content_key("mine", {"rule": "majority"}, content_hash(rows), content_key([kept]))


def test_the_same_export_is_the_same_snapshot_and_another_support_is_another(sessions, world):
    run_id, xy, _ = world
    judge(sessions, ANNA, xy, "first")
    rows = rows_of(sessions, run_id)
    first = take_snapshot(sessions, rows)
    assert take_snapshot(sessions, rows) == first != take_snapshot(sessions, rows, name="other")
    judge(sessions, BEN, xy, "first")
    judge(sessions, AnnotatorIdentity("person", "carl"), xy, "second")
    weaker = rows_of(sessions, run_id)
    later = take_snapshot(sessions, weaker)
    assert later != first
    with sessions() as session:
        assert snapshots.snapshot_info(session, later).content_hash == content_hash(rows), "the texts are the same"
        assert [row.support for row in snapshots.snapshot_rows(session, later)] == [2 / 3]
        assert [row.support for row in snapshots.snapshot_rows(session, first)] == [1.0]


def test_two_equal_exports_at_once_are_one_snapshot(sessions, world):
    run_id, xy, _ = world
    judge(sessions, ANNA, xy, "first")
    rows = rows_of(sessions, run_id)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: take_snapshot(sessions, rows), range(4)))) == 1


def test_of_several_runs_that_select_a_pair_the_newest_is_named(sessions, world):
    run_id, xy, _ = world
    prompt_ids = all_prompt_ids(sessions)
    newer = open_run(sessions, prompt_ids, key="n" * 64)
    with sessions.begin() as session:
        pairs.add_pairs(session, newer, [Pair("centroid", prompt_ids[0], *xy, 0.5, 1, 1)])
    judge(sessions, ANNA, xy, "first")
    (row,) = rows_of(sessions, None)
    assert (row.run_id, row.strategies, row.similarity) == (newer, ("centroid",), 0.5)
    (row,) = rows_of(sessions, run_id)
    assert (row.run_id, row.strategies, row.similarity) == (run_id, ("easy", "random"), 0.25)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshots SET row_count = 5",
        "DELETE FROM snapshots",
        "UPDATE snapshot_rows SET support = 0.5",
        "DELETE FROM snapshot_rows",
        "INSERT INTO snapshot_rows SELECT snapshot_id, position + 1, prompt_id, chosen_response_id, "
        "rejected_response_id, run_id, strategies, similarity, rule, support, vote_count, split, strength "
        "FROM snapshot_rows",
        "UPDATE responses SET text = 'other'",
        "UPDATE prompts SET messages = '[]'",
        {
            "sqlite": "INSERT OR REPLACE INTO snapshot_rows SELECT snapshot_id, position, prompt_id, "
            "rejected_response_id, chosen_response_id, run_id, strategies, similarity, rule, support, vote_count, "
            "split, strength FROM snapshot_rows",
            "postgresql": "TRUNCATE snapshot_rows",
        },
    ],
)
def test_the_database_refuses_to_change_a_snapshot(sessions, world, statement):
    run_id, xy, _ = world
    judge(sessions, ANNA, xy, "first")
    take_snapshot(sessions, rows_of(sessions, run_id))
    with pytest.raises(DBAPIError, match=r"(snapshots|texts) never change"), sessions.begin() as session:
        if isinstance(statement, dict):
            statement = statement[session.get_bind().dialect.name]
        session.execute(text(statement))


def test_what_a_source_prefers_is_shown_on_its_side(sessions):
    add(
        sessions,
        row(1, "a", "x", "y", pair=ImportedPair(1, 0, "first")),
        row(2, "b", "v", "w", pair=ImportedPair(0, 1, "first")),
        row(3, "b", "v", "w", pair=ImportedPair(0, 1, "second")),
    )
    ids = ids_by_text(sessions)
    xy, vw = PairKey(ids["x"], ids["y"]), PairKey(ids["v"], ids["w"])
    with sessions() as session:
        one, other = labelling.pair_texts(session, [xy, vw])
    assert one.says == (SourceSays("right"),)
    assert other.says == (), "sources that contradict each other say nothing"
    assert one.shown(ids["x"]).source_says == (SourceSays("right"),) and one.shown(ids["x"]).left.text == "x"
    assert one.shown(ids["y"]).source_says == (SourceSays("left"),) and one.shown(ids["y"]).left.text == "y"


def test_the_side_on_the_left_is_a_fair_coin_that_never_changes():
    keys = [PairKey(first, first + 1) for first in range(2_000)]
    lefts = [labelling.left_side(pair, 7) for pair in keys]
    assert lefts == [labelling.left_side(pair, 7) for pair in keys]
    assert all(left in pair for pair, left in zip(keys, lefts, strict=True))
    share = sum(left == pair.first_response_id for pair, left in zip(keys, lefts, strict=True)) / len(keys)
    assert 0.45 < share < 0.55
    assert lefts != [labelling.left_side(pair, 8) for pair in keys]


def test_a_run_that_labels_is_never_the_last_run(sessions, world):
    run_id, _, _ = world
    with sessions.begin() as session:
        label_run = runs.open_run(
            session,
            kind=runs.LABEL,
            name="labels",
            config={},
            config_key="l" * 64,
            code_version="0",
            labelled_run_id=run_id,
        )
        assert label_run > run_id
        assert runs.find_run(session, "last") == run_id
        summary = runs.summaries(session, label_run)[0]
    assert (summary.kind, summary.labelled_run_id) == ("label", run_id)


def test_replies_are_found_by_key(sessions, world):
    run_id, _, _ = world
    reply = StoredReply("m", requests=2, input_tokens=10, output_tokens=1, cost=0.25)
    with sessions.begin() as session:
        assert replies.add_replies(session, run_id, {"k" * 64: reply}) == 1
        assert replies.add_replies(session, run_id, {"k" * 64: reply}) == 0
        assert replies.find_replies(session, ["k" * 64, "j" * 64]) == {"k" * 64: reply}


def test_what_a_run_spends_adds_up(sessions, world):
    run_id, _, _ = world
    with sessions.begin() as session:
        runs.spend(session, run_id, 1, 0.5)
        runs.spend(session, run_id, 0, -0.25)
    with sessions() as session:
        assert (runs.get_run(session, run_id).requests, runs.get_run(session, run_id).cost) == (1, 0.25)


def test_one_process_at_a_time_holds_a_name(settings, sessions):
    with alone(sessions, "run 1") as first, alone(sessions, "run 1") as second:
        assert (first, second) == (True, False)
        with alone(sessions, "run 2") as other:
            assert other
    with alone(sessions, "run 1") as again:
        assert again


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_lookups_by_pair_use_an_index(sessions, world):
    """A million judgements make a scan an hour's work."""
    _, xy, vw = world
    judge(sessions, ANNA, xy, "first")
    asked = []
    engine = sessions.kw["bind"]

    def note(_connection, _cursor, statement, values, *_):
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    with sessions() as session:
        judgements.judged_showings(session, 1, [xy, vw])
        judgements.judgements_on(session, [xy, vw])
        preferences.preferences_of(session, "majority", [xy, vw])
        labelling.selected_among(session, [xy, vw])
        labelling.pair_texts(session, [xy, vw])
        assert judgements.showings(session, [PairKey(xy[0], xy[1] + 1)]) == {}
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) >= 7
    with engine.connect() as connection:
        for statement, values in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            scans = [step.detail for step in plan if "SCAN" in step.detail and "json_each" not in step.detail]
            assert set(scans) <= {"SCAN runs"}, (statement, plan)  # of runs there are few


def test_the_views_tell_labels_with_their_words(sessions, world):
    _, xy, _ = world
    judge(sessions, ANNA, xy, "second", left=xy[1], seconds=4.0)
    with sessions() as session:
        shown = session.execute(text("SELECT * FROM labelled_pairs ORDER BY pair_id")).mappings().all()
        judged = session.execute(text("SELECT * FROM judged_pairs")).mappings().one()
        summary = session.execute(text("SELECT * FROM annotator_summary")).mappings().one()
    assert [line["outcome"] for line in shown] == ["second", "second", None]
    assert (shown[0]["chosen_response"], shown[0]["rejected_response"], shown[2]["chosen_response"]) == ("y", "x", None)
    assert (judged["annotator"], judged["shown_left"], judged["verdict"]) == ("anna", "second", "second")
    assert (summary["judgements"], summary["decisive"], summary["left_share"]) == (1, 1, 1.0)
