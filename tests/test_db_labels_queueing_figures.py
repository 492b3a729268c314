"""How the people of a queue are doing, on both databases."""

from __future__ import annotations

from datetime import timedelta

from queued_pairs import NOW, judge, open_queue, person, store_pairs, take

from db.labels.judgements import add_judgements
from db.labels.queueing import figures
from models.labelling.records import Judgement


def test_pace_agreement_and_biases_are_counted_among_people_over_the_queues_pairs(sessions):
    pairs = store_pairs(sessions, 4)
    queue = open_queue(sessions, pairs[:3], k=2)
    ada, bob, machine = person(sessions, "ada"), person(sessions, "bob"), person(sessions, "judge", kind="judge")
    verdicts = {ada: ("left", "left", "left"), bob: ("left", "tie", "skip")}
    for who, said in verdicts.items():
        for word in said:
            shown = take(sessions, queue, who)
            judge(sessions, shown, who, word, seconds=3.0, now=NOW + timedelta(seconds=9))
    with sessions.begin() as session:
        add_judgements(session, machine, [Judgement(pairs[0], pairs[0][0], "first")])
        add_judgements(session, ada, [Judgement(pairs[3], pairs[3][0], "first")])
    with sessions() as session:
        first, second = figures.people_in(session, queue)
        lately = figures.people_lately(session, queue)
    assert [(one.figures, one.verdicts, one.skips) for one in lately] == [(first, 3, 0), (second, 2, 1)]
    assert (first.name, first.quality.vote_count, first.quality.left.value) == ("ada", 3, 1.0)
    assert first.quality.agreement_with_others.count == second.quality.agreement_with_others.count == 2
    assert (second.name, second.quality.vote_count, second.quality.skips, second.quality.ties) == ("bob", 2, 1, 1)
    assert second.quality.median_seconds == 3.0
    assert (first.gold, first.gold_accuracy.value, first.standing) == ((0, 0), None, "fine")
    assert first.last_at.tzinfo is not None


def test_a_queue_that_nobody_has_judged_has_no_figures(sessions):
    queue = open_queue(sessions, store_pairs(sessions, 1))
    with sessions() as session:
        assert figures.people_in(session, queue) == figures.people_lately(session, queue) == []


def test_a_page_has_the_figures_of_the_newest_judgements_and_the_counts_of_all(sessions):
    pairs = store_pairs(sessions, 5)
    queue, ada = open_queue(sessions, pairs), person(sessions, "ada")
    for word in ("left", "left", "skip", "right", "right"):
        judge(sessions, take(sessions, queue, ada), ada, word, seconds=3.0)
    with sessions() as session:
        [found] = figures.people_lately(session, queue, newest=2)
    assert (found.verdicts, found.skips, found.figures.quality.judgement_count) == (4, 1, 2)
    assert found.figures.quality.left.value == 0.0
