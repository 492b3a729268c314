"""Pairs with a known answer among a queue's own, on both databases: shown alike, counted apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from queued_pairs import (
    NOW,
    check_books,
    info,
    judge,
    judgements,
    open_queue,
    person,
    progress,
    store_pairs,
    take,
    undo,
)
from sqlalchemy import event, select
from stored_labels import ANNA, BEN
from stored_labels import judge as store_judgement
from surroundings import on_sqlite

from db.labels import leases, queues
from db.labels.judgements import find_annotator
from db.labels.queueing import figures, gold, settings
from db.schema.labels import Preference
from models.quality.gold import GoldCount

SHARE = 0.4


def mixed(sessions, *, pairs=20, known=12, bar=None, has_stop=False):
    """A queue with gold pairs, in all of which the first response is known to be the better one."""
    own, others = store_pairs(sessions, pairs), store_pairs(sessions, known, "known")
    queue = open_queue(sessions, own)
    with sessions.begin() as session:
        assert gold.set_pairs(session, queue, dict.fromkeys(others, "first")) == known
        settings.set_gold(session, queue, share=SHARE, bar=bar, has_stop=has_stop)
    return queue, own, set(others)


def better(shown, *, is_right=True):
    """The verdict for the first response of a pair as shown, or for the other."""
    return "left" if (shown.left_response_id == shown.pair[0]) == is_right else "right"


def work(sessions, queue, who, *, is_right=True):
    """Judge to the end; the pairs in the order in which they came."""
    seen = []
    while (shown := take(sessions, queue, who)) is not None:
        judge(sessions, shown, who, better(shown, is_right=is_right), seconds=2.0, now=NOW + timedelta(seconds=5))
        seen.append(shown.pair)
    return seen


def counts(sessions, queue):
    with sessions() as session:
        return gold.counts(session, queue)


def test_gold_pairs_come_among_the_others_and_are_no_labels(sessions):
    queue, own, known = mixed(sessions)
    ada = person(sessions, "ada")
    seen = work(sessions, queue, ada)
    assert sorted(pair for pair in seen if pair not in known) == own
    met = [pair for pair in seen if pair in known]
    assert 4 <= len(met) == len(set(met)) and seen[-1] not in known
    assert {pair for _, pair, *_ in judgements(sessions)} == set(own)
    with sessions() as session:
        labelled = {
            tuple(pair) for pair in session.execute(select(Preference.first_response_id, Preference.second_response_id))
        }
    assert labelled == set(own)
    assert counts(sessions, queue) == {ada: GoldCount(len(met), len(met))}
    check_books(sessions, queue, 1)


def test_nothing_that_a_person_is_told_tells_a_gold_pair_apart(sessions):
    queue, _, known = mixed(sessions)
    ada = person(sessions, "ada")
    before, met = progress(sessions, queue, ada), 0
    while met < 3:
        shown = take(sessions, queue, ada)
        judge(sessions, shown, ada, seconds=2.0, now=NOW + timedelta(seconds=5))
        after = progress(sessions, queue, ada)
        assert (after.judged_count, after.own_count) == (before.judged_count + 1, before.own_count + 1)
        assert (after.wanted_count, len(after.recent_seconds)) == (before.wanted_count, len(before.recent_seconds) + 1)
        before, met = after, met + (shown.pair in known)


def test_a_verdict_taken_back_and_given_again_changes_nothing_of_what_comes(sessions):
    queue, _, known = mixed(sessions)
    ada, met = person(sessions, "ada"), 0
    while met < 3:
        shown = take(sessions, queue, ada)
        judge(sessions, shown, ada, better(shown))
        following = take(sessions, queue, ada)
        again = undo(sessions, queue, ada)
        assert (again.pair, again.left_response_id) == (shown.pair, shown.left_response_id)
        judge(sessions, again, ada, better(again, is_right=False))
        assert take(sessions, queue, ada).pair == following.pair
        met += shown.pair in known
    assert counts(sessions, queue) == {ada: GoldCount(3, 0)}


def test_a_double_click_on_a_gold_pair_is_one_answer_and_a_skip_counts_as_none(sessions):
    queue, _, known = mixed(sessions)
    ada = person(sessions, "ada")
    while (shown := take(sessions, queue, ada)).pair not in known:
        judge(sessions, shown, ada)
    assert judge(sessions, shown, ada, "skip") is True
    assert judge(sessions, shown, ada, "left") is False
    assert counts(sessions, queue) == {}
    assert progress(sessions, queue, ada).own_skips == 1


def test_who_is_surely_below_the_bar_is_stopped_and_may_be_let_in_again(sessions):
    queue, *_ = mixed(sessions, bar=0.7, has_stop=True)
    ada, bob = person(sessions, "ada"), person(sessions, "bob")
    with pytest.raises(ValueError, match="takes no more verdicts from you for now"):
        work(sessions, queue, ada, is_right=False)
    assert counts(sessions, queue)[ada] == GoldCount(5, 0)
    with sessions() as session:
        [found] = figures.people_in(session, queue)
    assert (found.name, found.standing, found.gold) == ("ada", "stopped", (5, 0))
    take(sessions, queue, bob)
    with sessions.begin() as session:
        gold.readmit(session, queue, ada)
    assert take(sessions, queue, ada) is not None
    assert info(sessions, queue).has_stop


def test_answers_are_known_where_those_who_are_trusted_agree(sessions):
    one, two, three = store_pairs(sessions, 3)
    for who, pair, verdict in ((ANNA, one, "first"), (ANNA, two, "tie"), (BEN, two, "second"), (BEN, three, "skip")):
        store_judgement(sessions, who, pair, verdict)
    with sessions() as session:
        anna, ben = (find_annotator(session, who) for who in (ANNA, BEN))
        assert gold.answers_known_to(session, [anna]) == {one: "first", two: "tie"}
        assert gold.answers_known_to(session, [anna, ben]) == {one: "first"}


def set_pairs(sessions, queue, pairs):
    with sessions.begin() as session:
        gold.set_pairs(session, queue, dict.fromkeys(pairs, "first"))


def take_gold(sessions, queue, who, known):
    """Judge until a gold pair lies before them."""
    while (shown := take(sessions, queue, who)).pair not in known:
        judge(sessions, shown, who)
    return shown


def test_who_holds_a_gold_pair_that_is_none_any_more_goes_on_with_another(sessions):
    queue, own, known = mixed(sessions)
    ada, bob, eve = (person(sessions, name) for name in ("ada", "bob", "eve"))
    stale, kept = take_gold(sessions, queue, ada, known), take(sessions, queue, bob)
    left = take_gold(sessions, queue, eve, known)
    set_pairs(sessions, queue, known - {stale.pair, left.pair})
    with pytest.raises(LookupError, match=r"is not in queue .* ask for the next pair"):
        judge(sessions, stale, ada)
    with sessions.begin() as session:
        queues.leave(session, queue, eve)
    assert take(sessions, queue, bob) == kept
    assert {*own, *known} - {stale.pair, left.pair} >= {*work(sessions, queue, ada), *work(sessions, queue, eve)}


def test_who_holds_a_pair_that_the_queue_has_nowhere_can_give_it_back(sessions):
    own, [other] = store_pairs(sessions, 2), store_pairs(sessions, 1, "other")
    queue, ada = open_queue(sessions, own), person(sessions, "ada")
    lease = leases.Lease(other, other[0], NOW)
    with sessions.begin() as session:
        leases.grant(session, queue, ada, lease, expires_at=NOW + timedelta(seconds=5))
    with sessions.begin() as session:
        queues.leave(session, queue, ada)
    assert take(sessions, queue, ada).pair in own


def test_an_answer_to_a_pair_that_is_no_gold_pair_any_more_is_not_taken_back(sessions):
    queue, own, known = mixed(sessions)
    ada = person(sessions, "ada")
    shown, before = take_gold(sessions, queue, ada, known), judgements(sessions)
    judge(sessions, shown, ada)
    set_pairs(sessions, queue, known - {shown.pair})
    again = undo(sessions, queue, ada)
    assert (None if again is None else again.pair) == (before[-1][1] if before else None)
    assert set(work(sessions, queue, ada)) >= set(own) - {pair for _, pair, *_ in before[:-1]}


def test_a_gold_pair_that_a_person_has_not_judged_is_found_in_one_statement(sessions):
    queue, _, known = mixed(sessions)
    *judged, left = sorted(known)
    for pair in judged:
        store_judgement(sessions, ANNA, pair, "tie")
    shown = replace(info(sessions, queue), gold_share=1.0)
    engine, asked = sessions.kw["bind"], []

    def note(_connection, _cursor, statement, *_):
        asked.append(statement)

    with sessions() as session:
        anna = find_annotator(session, ANNA)
        event.listen(engine, "before_cursor_execute", note)
        assert gold.next_gold(session, shown, anna) == left
        event.remove(engine, "before_cursor_execute", note)
    assert sum("gold_pairs" in statement for statement in asked) == 1 and len(asked) <= 3


@on_sqlite
def test_a_pair_that_the_queue_waits_for_itself_is_no_gold_pair(sessions):
    own = store_pairs(sessions, 2)
    queue = open_queue(sessions, own)
    with sessions.begin() as session:
        assert gold.set_pairs(session, queue, {own[0]: "first"}) == 0
    store_judgement(sessions, ANNA, own[0], "first")
    assert open_queue(sessions, own) == queue  # counts what came
    with sessions.begin() as session:
        assert gold.set_pairs(session, queue, {own[0]: "first"}) == 1
