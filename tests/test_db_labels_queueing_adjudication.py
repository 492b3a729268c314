"""Contradictions settled in a queue of their own, on both databases."""

from __future__ import annotations

import pytest
from queued_pairs import info, judge, judged, open_queue, person, places, store_pairs, take, undo
from stored_labels import ANNA, BEN
from stored_labels import judge as store_judgement
from surroundings import on_sqlite

from db.labels import queues
from db.labels.preferences import preferences_of, recompute
from db.labels.queueing import adjudication, gold, guidelines, settings


def outcome(sessions, pair):
    with sessions() as session:
        found = preferences_of(session, "majority", [pair])[pair]
    return found.outcome, round(found.support, 3), found.vote_count


def name_adjudicators(sessions, queue, *people):
    with sessions.begin() as session:
        return adjudication.open_adjudication(session, queue, people)


def side(shown, word):
    return "left" if shown.pair.index(shown.left_response_id) == ("first", "second").index(word) else "right"


def say(sessions, queue, who, word):
    shown = take(sessions, queue, who)
    judge(sessions, shown, who, side(shown, word))
    return shown.pair


@pytest.fixture
def team(sessions):
    """A queue of two pairs for two people each, its adjudications, and three people; the third settles."""
    queue = open_queue(sessions, store_pairs(sessions, 2), k=2, name="pairs")
    people = [person(sessions, name) for name in ("ada", "bob", "lea")]
    return queue, name_adjudicators(sessions, queue, people[2]), people


def test_a_contradiction_comes_into_the_queue_and_its_verdict_decides(sessions, team):
    queue, settling, (ada, bob, lea) = team
    assert (info(sessions, settling).name, info(sessions, settling).settles) == ("pairs: contradictions", queue)
    pair = say(sessions, queue, ada, "first")
    assert places(sessions, settling) == []
    assert say(sessions, queue, bob, "second") == pair
    assert outcome(sessions, pair) == ("contradiction", 0.5, 2)
    assert places(sessions, settling) == [(pair, 0, False)]
    assert say(sessions, settling, lea, "second") == pair
    assert outcome(sessions, pair) == ("second", 0.667, 3)
    assert places(sessions, settling) == [(pair, 1, True)]
    assert (info(sessions, settling).done_count, info(sessions, settling).wanted_count) == (1, 1)


def test_the_verdict_stands_against_a_majority_that_comes_later_and_goes_when_it_is_taken_back(sessions, team):
    queue, settling, (ada, bob, lea) = team
    pair = say(sessions, queue, ada, "first")
    say(sessions, queue, bob, "second")
    say(sessions, settling, lea, "second")
    for who in (ANNA, BEN):
        store_judgement(sessions, who, pair, "first")
    assert outcome(sessions, pair) == ("second", 0.4, 5)
    with sessions.begin() as session:
        recompute(session, [pair], rule="unanimous")
        assert preferences_of(session, "unanimous", [pair])[pair].outcome == "second"
        recompute(session, [pair], rule="unanimous", of=[ada], name="ada alone")
        assert preferences_of(session, "ada alone", [pair])[pair].outcome == "first"
    undo(sessions, settling, lea)
    assert outcome(sessions, pair) == ("first", 0.75, 4)


def test_what_no_longer_contradicts_leaves_the_queue_unless_it_is_settled(sessions, team):
    queue, settling, (ada, bob, lea) = team
    pair = say(sessions, queue, ada, "first")
    say(sessions, queue, bob, "second")
    assert take(sessions, settling, lea).pair == pair
    undo(sessions, queue, bob)
    assert places(sessions, settling) == [] and info(sessions, settling).pair_count == 0
    assert take(sessions, settling, lea) is None
    say(sessions, queue, bob, "second")
    assert [one for one, *_ in places(sessions, settling)] == [pair]


def test_only_those_who_are_named_may_settle_and_nobody_their_own_contradiction(sessions, team):
    queue, settling, (ada, bob, lea) = team
    say(sessions, queue, ada, "first")
    say(sessions, queue, bob, "second")
    with pytest.raises(PermissionError, match=rf"queue {settling} \(pairs: contradictions\) is for those named"):
        take(sessions, settling, ada)
    assert name_adjudicators(sessions, queue, ada, lea) == settling
    assert take(sessions, settling, ada) is None
    assert take(sessions, settling, lea) is not None
    with sessions() as session:
        assert adjudication.adjudicators(session, settling) == ["ada", "lea"]
        assert [one.id for one in queues.queues_for(session, bob)] == [queue]
        assert {one.id for one in queues.queues_for(session, lea)} == {queue, settling}


def test_contradictions_that_are_there_or_imported_come_in_too(sessions):
    pairs = store_pairs(sessions, 2)
    queue, lea = open_queue(sessions, pairs, k=2), person(sessions, "lea")
    for who, verdict in ((ANNA, "first"), (BEN, "second")):
        store_judgement(sessions, who, pairs[0], verdict)
    with sessions.begin() as session:
        queues.labels_came(session, [pairs[0]])
        guidelines.write(session, queue, "Mind the facts.")
    settling = name_adjudicators(sessions, queue, lea)
    with sessions() as session:
        assert guidelines.newest(session, settling).text == "Mind the facts."
    assert [pair for pair, *_ in places(sessions, settling)] == [pairs[0]]
    for who, verdict in ((ANNA, "tie"), (BEN, "second")):
        store_judgement(sessions, who, pairs[1], verdict)
    with sessions.begin() as session:
        queues.labels_came(session, [pairs[1]])
    assert [pair for pair, *_ in places(sessions, settling)] == pairs


def test_a_contradiction_on_a_pair_that_is_done_since_fewer_people_are_wanted_comes_in(sessions):
    [pair] = store_pairs(sessions, 1)
    queue = open_queue(sessions, [pair], k=3)
    ada, bob, lea = (person(sessions, name) for name in ("ada", "bob", "lea"))
    settling = name_adjudicators(sessions, queue, lea)
    say(sessions, queue, ada, "first")
    say(sessions, queue, bob, "second")
    assert places(sessions, settling) == []
    for wanted, expected in ((2, [(pair, 0, False)]), (3, [])):
        with sessions.begin() as session:
            settings.set_overlap(session, queue, judgements_per_pair=wanted, overlap=1.0)
        assert places(sessions, settling) == expected


@on_sqlite
def test_what_cannot_be_settled_is_refused(sessions, team):
    queue, settling, (ada, *_) = team
    with pytest.raises(ValueError, match=f"queue {settling} .* settles contradictions itself"):
        name_adjudicators(sessions, settling, ada)
    with pytest.raises(ValueError, match="name one or more"):
        name_adjudicators(sessions, queue)
    with sessions.begin() as session, pytest.raises(ValueError, match="one person judges each pair"):
        settings.set_overlap(session, settling, judgements_per_pair=2, overlap=1.0)
    (pair,) = store_pairs(sessions, 1)
    with sessions.begin() as session, pytest.raises(ValueError, match="known answers are for other queues"):
        gold.set_pairs(session, settling, {pair: "first"})
    assert judged(sessions, queue, ada)
