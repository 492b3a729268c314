"""New labels on both databases: counted by hand, and beside a twin in Python over random judgements."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import select as query
from sqlalchemy import update
from stored_labels import ANNA, BEN, judge, rows_of, take_snapshot
from stored_rows import add, all_prompt_ids, ids_by_text, open_run, row
from surroundings import on_sqlite

from db import pairs
from db.labels import judgements, preferences
from db.labels.new_labels import NewLabels, new_labels
from db.schema import curation, labels
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from models.records import Pair

CARL = AnnotatorIdentity("person", "carl")
PEOPLE = [AnnotatorIdentity("person", f"person {number}") for number in range(5)]
VERDICTS = ("first", "first", "second", "second", "tie", "both_bad", "skip")


@pytest.fixture
def world(sessions):
    """Four prompts with two responses each; the pair of the last prompt is in no run, as those of comparisons.

    One run selects the first two pairs, the first of them twice, a later run the second and the third.
    """
    add(sessions, *(row(number, f"prompt {number}", f"x{number}", f"y{number}") for number in range(4)))
    ids = ids_by_text(sessions)
    keys = [PairKey(ids[f"x{number}"], ids[f"y{number}"]) for number in range(4)]
    prompt_ids = all_prompt_ids(sessions)
    selected = {
        open_run(sessions, prompt_ids): [("easy", 0), ("random", 0), ("easy", 1)],
        open_run(sessions, prompt_ids, key="n" * 64): [("hard", 1), ("random", 2)],
    }
    for run_id, chosen in selected.items():
        select(sessions, run_id, [(strategy, prompt_ids[place], keys[place]) for strategy, place in chosen])
    return (*selected, keys)


def select(sessions, run_id, chosen):
    with sessions.begin() as session:
        pairs.add_pairs(
            session, run_id, [Pair(strategy, prompt, *pair, 0.5, 1, 1) for strategy, prompt, pair in chosen]
        )


def ask(sessions, *, snapshot_id=None, run_id=None, strategies=(), min_support=0.0):
    with sessions() as session:
        return new_labels(
            session, snapshot_id=snapshot_id, run_id=run_id, strategies=strategies, min_support=min_support
        )


def count(sessions, **asked):
    return ask(sessions, **asked).new


@on_sqlite
def test_without_a_label_there_is_nothing(sessions, world):
    assert ask(sessions) == NewLabels(new=0, trained=0, agreement=None, newest_at=None)


@on_sqlite
def test_decisive_preferences_count_once_a_pair_and_those_of_comparisons_do_not(sessions, world):
    _, _, keys = world
    for pair, verdict in zip(keys, ("first", "second", "tie", "first"), strict=True):
        judge(sessions, ANNA, pair, verdict)
    assert count(sessions) == 2, "the first pair is selected twice in a run, the second in two runs"
    for person in (ANNA, BEN):
        judge(sessions, person, keys[2], "second")
    assert count(sessions) == 2, "a tie and a vote are a contradiction"
    judge(sessions, CARL, keys[2], "second")
    assert count(sessions) == 3


@on_sqlite
def test_only_pairs_of_the_run_the_strategies_and_the_support_that_are_asked_for_count(sessions, world):
    older, newer, keys = world
    for pair in keys:
        judge(sessions, ANNA, pair, "first")
    assert (count(sessions, run_id=older), count(sessions, run_id=newer), count(sessions)) == (2, 2, 3)
    assert count(sessions, run_id=newer + 1) == 0
    assert count(sessions, strategies=("easy",)) == 2
    assert count(sessions, strategies=("hard",)) == 1
    assert count(sessions, strategies=("easy", "random")) == 3
    assert count(sessions, run_id=older, strategies=("hard",)) == 0, "another run selected it as hard"
    for person, verdict in ((BEN, "first"), (CARL, "second")):
        judge(sessions, person, keys[0], verdict)
    assert count(sessions, min_support=0.7) == 2
    assert count(sessions, min_support=2 / 3) == 3, "as many as that is enough"


def test_what_is_in_the_snapshot_is_not_new_until_it_changes_sides(sessions, world):
    older, _, keys = world
    judge(sessions, ANNA, keys[0], "first")
    judge(sessions, ANNA, keys[1], "second")
    snapshot_id = take_snapshot(sessions, rows_of(sessions, older))
    assert ask(sessions, snapshot_id=snapshot_id).trained == 2
    assert count(sessions, snapshot_id=snapshot_id) == 0
    judge(sessions, ANNA, keys[2], "first")
    assert count(sessions, snapshot_id=snapshot_id) == 1
    judge(sessions, BEN, keys[0], "second")
    assert count(sessions, snapshot_id=snapshot_id) == 1, "a contradiction is nothing to train on"
    judge(sessions, CARL, keys[0], "second")
    assert count(sessions, snapshot_id=snapshot_id) == 2, "the other response is chosen now"
    judge(sessions, BEN, keys[1], "second")
    assert count(sessions, snapshot_id=snapshot_id) == 2, "more support for the same is nothing new"
    assert count(sessions, snapshot_id=snapshot_id + 1) == count(sessions) == 3
    assert ask(sessions).trained == 0


@on_sqlite
def test_other_rules_are_left_out(sessions, world):
    _, _, keys = world
    judge(sessions, ANNA, keys[0], "first")
    with sessions.begin() as session:
        preferences.recompute(session, keys, rule="unanimous")
        preferences.recompute(session, keys, of=[1], name="majority of annotators 1")
    assert count(sessions) == 1


@on_sqlite
def test_agreement_is_that_of_the_pairs_with_two_votes_or_more(sessions, world):
    older, newer, keys = world
    judge(sessions, ANNA, keys[2], "first")
    assert ask(sessions).agreement is None
    judge(sessions, ANNA, keys[0], "first")
    judge(sessions, BEN, keys[0], "second")
    assert ask(sessions).agreement == 0.5
    for person in (ANNA, BEN):
        judge(sessions, person, keys[1], "tie")
    assert ask(sessions).agreement == 0.75, "who agree on a tie agree"
    assert ask(sessions, run_id=newer).agreement == 1
    assert ask(sessions, strategies=("random",)).agreement == 0.5
    for person in (ANNA, BEN):
        judge(sessions, person, keys[3], "first" if person is ANNA else "second")
    assert ask(sessions, run_id=older).agreement == ask(sessions).agreement == 0.75, "comparisons are none of it"


def test_the_newest_label_has_its_time_with_its_zone(sessions, world):
    older, newer, keys = world
    before = datetime.now(UTC)
    for pair in keys:
        judge(sessions, ANNA, pair, "tie")
    assert before <= ask(sessions).newest_at <= datetime.now(UTC)
    at = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
    table = labels.Preference
    with sessions.begin() as session:
        for pair, hours in zip(keys, (0, 1, 2, 3), strict=True):
            session.execute(
                update(table)
                .where(table.first_response_id == pair.first_response_id)
                .values(updated_at=at + timedelta(hours=hours))
            )
    assert ask(sessions, run_id=older).newest_at == at + timedelta(hours=1)
    assert ask(sessions, run_id=newer).newest_at == at + timedelta(hours=2) == ask(sessions).newest_at
    assert ask(sessions).newest_at.utcoffset() == timedelta(0)


@on_sqlite
def test_the_snapshot_is_not_read_anew_for_every_preference(sessions):
    """SQLite tells how many steps a query takes: they grow with the rows, not with their square."""
    steps = {size: steps_for(sessions, size) for size in (100, 400)}
    assert steps[400] < 8 * steps[100]


def steps_for(sessions, size):
    """How many hundreds of SQLite's steps it takes to compare so many preferences with a snapshot of them."""
    add(sessions, *(row(n, f"{size}, {n}", f"x{n}", f"y{n}") for n in range(size)), content_hash=f"{size:064d}")
    with sessions.begin() as session:
        found = session.execute(
            query(curation.Response.id, curation.Response.prompt_id)
            .join(curation.Prompt, curation.Prompt.id == curation.Response.prompt_id)
            .where(curation.Prompt.text.like(f"{size}, %"))
            .order_by(curation.Response.id)
        ).all()
        ids = [row.id for row in found]
        keys = [PairKey(*pair) for pair in zip(ids[::2], ids[1::2], strict=True)]
        annotator_id = judgements.add_annotator(session, ANNA)
        judgements.add_judgements(session, annotator_id, [Judgement(key, key[0], "first") for key in keys])
        preferences.recompute(session, keys)
    prompt_ids = [row.prompt_id for row in found[::2]]
    run_id = open_run(sessions, prompt_ids, key=f"{size:064d}")
    select(sessions, run_id, [("easy", prompt_id, key) for prompt_id, key in zip(prompt_ids, keys, strict=True)])
    snapshot_id = take_snapshot(sessions, rows_of(sessions, run_id), name=f"{size}")
    count = 0

    def step():
        nonlocal count
        count += 1

    with sessions() as session:
        connection = session.connection().connection.dbapi_connection
        connection.set_progress_handler(step, 100)
        found = new_labels(session, snapshot_id=snapshot_id, run_id=run_id, strategies=(), min_support=0.0)
    assert (found.new, found.trained) == (0, size)
    return count


class Twin:
    """The same in plain Python: who voted what, which pairs are selected, what the snapshots hold."""

    def __init__(self, sessions, rng):
        self.sessions, self.rng = sessions, rng
        self.votes = {}
        self.selected = {}
        self.snapshots = {None: set()}
        prompts = range(12)
        add(sessions, *(row(number, f"p{number}", *(f"{number} {at}" for at in "abc")) for number in prompts))
        ids = ids_by_text(sessions)
        keys = [(n, PairKey(ids[f"{n} {a}"], ids[f"{n} {b}"])) for n in prompts for a, b in ("ab", "ac", "bc")]
        self.pairs = [PairKey(*sorted(pair)) for _, pair in keys]
        prompt_ids = all_prompt_ids(sessions)
        for key in "ab":
            chosen = [
                (strategy, prompt_ids[number], PairKey(*sorted(pair)))
                for strategy in ("easy", "hard", "random")
                for number, pair in rng.sample(keys, 9)
            ]
            run_id = open_run(sessions, prompt_ids, key=key * 64)
            select(sessions, run_id, chosen)
            self.selected[run_id] = {(strategy, pair) for strategy, _, pair in chosen}

    def judge(self, times):
        """So many verdicts of anybody on any pair; who has judged a pair does not judge it again."""
        with self.sessions.begin() as session:
            for _ in range(times):
                pair, person = self.rng.choice(self.pairs), self.rng.choice(PEOPLE)
                if person not in self.votes.setdefault(pair, {}):
                    self.votes[pair][person] = self.rng.choice(VERDICTS)
                    judgement = Judgement(pair, self.rng.choice(pair), self.votes[pair][person])
                    judgements.add_judgements(session, judgements.add_annotator(session, person), [judgement])
            preferences.recompute(session, self.pairs)

    def preference(self, pair):
        """The outcome under the majority, its support, and how many voted."""
        votes = Counter(verdict for verdict in self.votes.get(pair, {}).values() if verdict != "skip")
        if not votes:
            return None
        (verdict, most), total = votes.most_common(1)[0], votes.total()
        return verdict if 2 * most > total else "contradiction", most / total, total

    def take(self, **asked):
        """A snapshot of what is selected now."""
        rows = rows_of(self.sessions, asked.pop("run_id"), **asked)
        snapshot_id = take_snapshot(self.sessions, rows)
        self.snapshots[snapshot_id] = {(one.chosen_response_id, one.rejected_response_id) for one in rows}

    def expected(self, *, snapshot_id, run_id, strategies, min_support):
        chosen = {
            pair
            for run, selected in self.selected.items()
            for strategy, pair in selected
            if run_id in (None, run) and (not strategies or strategy in strategies)
        }
        found = {pair: made for pair in chosen if (made := self.preference(pair))}
        decisive = {
            pair if outcome == "first" else (pair[1], pair[0])
            for pair, (outcome, support, _) in found.items()
            if outcome in ("first", "second") and support >= min_support
        }
        shared = [support for _, support, total in found.values() if total >= 2]
        old = self.snapshots[snapshot_id]
        return len(decisive - old), len(old), sum(shared) / len(shared) if shared else None, bool(found)


def test_counts_are_those_of_a_twin_in_python_over_random_judgements(sessions):
    rng = random.Random(0)
    twin = Twin(sessions, rng)
    first_run = min(twin.selected)
    for times, taken in ((30, {"run_id": None}), (40, {"run_id": first_run, "min_support": 0.6}), (60, None)):
        twin.judge(times)
        if taken:
            twin.take(**taken)
        choices = (twin.snapshots, (None, *twin.selected), ((), ("easy",), ("hard", "random")), (0.0, 0.6, 1.0))
        names = ("snapshot_id", "run_id", "strategies", "min_support")
        with sessions() as session:
            for values in rng.sample(list(product(*choices)), 25):
                asked = dict(zip(names, values, strict=True))
                found = new_labels(session, **asked)
                new, trained, agreement, is_labelled = twin.expected(**asked)
                assert (found.new, found.trained) == (new, trained), asked
                assert found.agreement == (agreement if agreement is None else pytest.approx(agreement)), asked
                assert (found.newest_at is not None) == is_labelled, asked
