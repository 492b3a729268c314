"""The list of pairs against an obvious slow twin, on both databases."""

from __future__ import annotations

import random
import re

import pytest
from queued_pairs import person
from sqlalchemy import select, text
from stored_labels import judge
from stored_rows import add, open_run, row
from surroundings import on_sqlite

from db import pairs, runs
from db.findings import pair_filters, pair_table
from db.findings.guard_flags import GuardFlag, add_flags
from db.findings.pair_filters import PairFilter
from db.findings.pair_search import index_texts
from db.findings.pair_table import Order, Place, all_pairs, neighbours, pair_page
from db.labels import preferences
from db.labels.judgements import add_annotator, add_judgements, remove_judgement
from db.prompts import ensure_under_system_prompt
from db.schema import curation, labels
from models.guard import Finding
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from models.records import Pair

WORDS = ("rye", "wheat", "bread", "baker", "oven", "crust", "salt", "water")
SORTS = ("newest", "similarity", "length_ratio", "votes")
LABELS = (None, "none", "any", "disputed", "first", "second", "tie", "both_bad", "contradiction")


def fill(sessions, rng, prompt_count=16):
    """Two sources, three runs, two strategies, some labels by three annotators, some flags."""
    numbers = iter(range(10_000))
    for source in ("one", "two"):
        rows = [
            row(at, f"{' '.join(rng.choices(WORDS, k=3))} {next(numbers)}?",
                *(f"{' '.join(rng.choices(WORDS, k=rng.randint(1, 9)))} {next(numbers)}" for _ in range(4)))
            for at in range(prompt_count // 2)
        ]  # fmt: skip
        add(sessions, *rows, name=source, content_hash=source.ljust(64, "0"))
    for at in range(3):
        select_pairs(sessions, rng, key=str(at) * 64)
    with sessions() as session:
        keys = sorted({PairKey(one.first_response_id, one.second_response_id) for one in stored(session)})
    for key in rng.sample(keys, len(keys) // 2):
        for name in rng.sample(("Ana", "Bo", "Cy"), rng.randint(1, 3)):
            verdict = rng.choice(("first", "second", "tie", "both_bad", "skip"))
            judge(sessions, AnnotatorIdentity("person", name), key, verdict)
    with sessions.begin() as session:
        flagged = [
            GuardFlag(key.first_response_id, 1, Finding(rng.choice(("empty", "language")), 1.0), True)
            for key in rng.sample(keys, 6)
        ]
        add_flags(session, 1, flagged)
        derived = ensure_under_system_prompt(session, [1, 2], "be brief")
        session.execute(text("UPDATE pairs SET prompt_id = :to WHERE prompt_id = 1"), {"to": derived[1]})
    while index(sessions):
        pass


def select_pairs(sessions, rng, key, count=14):
    with sessions() as session:
        by_prompt = {}
        for id_, prompt_id in session.execute(select(curation.Response.id, curation.Response.prompt_id)):
            by_prompt.setdefault(prompt_id, []).append(id_)
    run_id = open_run(sessions, list(by_prompt), key=key)
    chosen = [
        Pair(strategy, prompt_id, *sorted(rng.sample(by_prompt[prompt_id], 2)), rng.choice((0.1, rng.random())), 1, 6)
        for strategy in ("easy", "hard")
        for prompt_id in rng.sample(sorted(by_prompt), count)
    ]  # fmt: skip
    with sessions.begin() as session:
        assert pairs.add_pairs(session, run_id, chosen) == len(chosen)
    return run_id


def index(sessions, limit=100):
    with sessions.begin() as session:
        return index_texts(session, limit)


def stored(session):
    return list(session.scalars(select(curation.Pair)))


def unjudged(session):
    return next(PairKey(one.first_response_id, one.second_response_id) for one in stored(session) if not one.is_judged)


def twin(session, wanted, order):
    """The ids of the list: every pair looked at, one after the other."""
    texts = {one.id: one.text for one in session.scalars(select(curation.Response))}
    prompts = {one.id: one for one in session.scalars(select(curation.Prompt))}
    sources = {one.id: one.name for one in session.scalars(select(curation.Source))}
    rows = [(one.prompt_id, sources[one.source_id]) for one in session.scalars(select(curation.SourceRow))]
    preferences = {
        (one.first_response_id, one.second_response_id): one
        for one in session.scalars(select(labels.Preference).filter_by(rule="majority"))
    }
    judged = {
        (one.annotator_id, one.first_response_id, one.second_response_id)
        for one in session.scalars(select(labels.Judgement))
    }
    flags = {(one.response_id, one.rule) for one in session.scalars(select(curation.GuardFlag))}

    def ratio(pair):
        shorter, longer = sorted(len(texts[id_]) for id_ in (pair.first_response_id, pair.second_response_id))
        return shorter / longer

    def preference(pair):
        return preferences.get((pair.first_response_id, pair.second_response_id))

    def has_words(content):
        words = set(re.findall(r"\w+", content.lower()))
        return all(
            any(word.startswith(asked[:-1]) for word in words) if asked.endswith("*") else asked in words
            for asked in wanted.words.lower().split()
        )

    def is_wanted(pair):
        ids, label = (pair.first_response_id, pair.second_response_id), preference(pair)
        origin = prompts[pair.prompt_id].derived_from_id
        return (
            wanted.run_id in (None, pair.run_id)
            and wanted.strategy in (None, pair.strategy)
            and (wanted.source is None or any((id_, wanted.source) in rows for id_ in (pair.prompt_id, origin)))
            and is_between(pair.similarity, *wanted.similarity)
            and is_between(ratio(pair), *wanted.length_ratio)
            and (wanted.label != "none" or label is None)
            and (wanted.label in (None, "none") or label is not None)
            and (wanted.label != "disputed" or label.support < 1)
            and (wanted.label in (None, "none", "any", "disputed") or label.outcome == wanted.label)
            and (wanted.annotator_id is None or (wanted.annotator_id, *ids) in judged)
            and (wanted.flag is None or any(id_ in ids and wanted.flag in ("any", rule) for id_, rule in flags))
            and (not wanted.words or any(map(has_words, (prompts[pair.prompt_id].text, texts[ids[0]], texts[ids[1]]))))
        )

    def value(pair):
        votes = 0 if preference(pair) is None else preference(pair).vote_count
        values = {"newest": 0, "similarity": pair.similarity, "length_ratio": ratio(pair), "votes": votes}
        return values[order.sort], pair.id

    found = sorted(filter(is_wanted, stored(session)), key=value, reverse=not order.is_ascending)
    return [pair.id for pair in found]


def is_between(value, low, high):
    return (low is None or value >= low) and (high is None or value <= high)


def drawn(rng):
    """A filter of some of what there is to filter by."""
    asked = {
        "run_id": rng.choice((1, 2, 3, 9)),
        "strategy": rng.choice(("easy", "hard")),
        "source": rng.choice(("one", "two", "none such")),
        "similarity": rng.choice(((None, 0.5), (0.2, None), (0.1, 0.9))),
        "length_ratio": rng.choice(((None, 0.5), (0.2, None), (0.3, 0.9))),
        "label": rng.choice(LABELS),
        "annotator_id": rng.choice((1, 2, 3)),
        "flag": rng.choice(("any", "empty", "language")),
        "words": rng.choice(("rye", "BREAD salt", "ba*", "oven crust wa*", "none")),
    }
    return PairFilter(**{name: asked[name] for name in rng.sample(sorted(asked), rng.randint(0, 4))})


def pages(sessions, wanted, order, size, between=lambda: None):
    """The ids of all pages, one after the other, and the pages."""
    place, found = None, []
    with sessions() as session:
        while True:
            found.append(pair_page(session, wanted, order, place=place, size=size))
            session.rollback()
            place = found[-1].next
            if place is None:
                return [pair.pair_id for page in found for pair in page.pairs], found
            between()


@pytest.mark.parametrize(("few", "many"), [(0, 1), (0, 1_000), (15, 1), (15, 1_000), (10_000, 1_000)])
def test_the_list_is_what_looking_at_every_pair_finds(sessions, monkeypatch, few, many):
    rng = random.Random(few)
    fill(sessions, rng)
    for name in ("FEW", "FEW_OF_PAIRS", "FEW_LOOKED_UP"):  # 0: always walked; else gathered where a filter leaves few
        monkeypatch.setattr(pair_table, name, few)
    monkeypatch.setattr(pair_filters, "READ_ONCE", many)
    monkeypatch.setattr(pair_filters, "MANY", dict.fromkeys(pair_filters.MANY, many))  # 1: each text is asked
    for _ in range(25):
        wanted, order = drawn(rng), Order(rng.choice(SORTS), rng.random() < 0.5)
        with sessions() as session:
            expected = twin(session, wanted, order)
            listed = [pair.pair_id for part in all_pairs(session, wanted, order, size=7) for pair in part]
            if expected:
                at = rng.randrange(len(expected))
                beside = neighbours(session, wanted, order, expected[at])
                assert beside == (
                    expected[at - 1] if at else None, expected[at + 1] if at + 1 < len(expected) else None
                ), (wanted, order)  # fmt: skip
        found, made = pages(sessions, wanted, order, size=17)
        assert listed == found == expected, (wanted, order)
        if few:
            assert ({page.count for page in made} == {len(expected)} and not any(page.has_more for page in made)) or (
                made[0].count <= len(expected)
            )


def test_pages_lead_back_the_way_they_came(sessions):
    rng = random.Random(1)
    fill(sessions, rng)
    for sort in SORTS:
        order = Order(sort)
        _, made = pages(sessions, PairFilter(), order, size=11)
        place, back = made[-1].previous, [made[-1]]
        while place is not None:
            with sessions() as session:
                back.append(pair_page(session, PairFilter(), order, place=place, size=11))
            place = back[-1].previous
        forth = [[pair.pair_id for pair in page.pairs] for page in made]
        assert [[pair.pair_id for pair in page.pairs] for page in back[::-1]] == forth


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("is_ascending", [True, False])
def test_pages_show_every_pair_once_while_pairs_are_added(sessions, sort, is_ascending):
    rng = random.Random(2)
    fill(sessions, rng)
    with sessions() as session:
        there = {pair.id for pair in stored(session)}
    keys = iter("abcdefghij")

    def add_more():
        if (key := next(keys, None)) is not None:
            select_pairs(sessions, rng, key=key * 64, count=5)

    found, _ = pages(sessions, PairFilter(), Order(sort, is_ascending), size=10, between=add_more)
    assert len(found) == len(set(found)) and there <= set(found)


def test_a_pair_keeps_what_the_majority_says_whenever_it_is_selected_and_labelled(sessions):
    fill(sessions, random.Random(3))
    rng = random.Random(4)
    select_pairs(sessions, rng, key="z" * 64)
    with sessions() as session:
        preferences = {
            (one.first_response_id, one.second_response_id): (one.outcome, one.support, one.vote_count)
            for one in session.scalars(select(labels.Preference).filter_by(rule="majority"))
        }
        judged = {(one.first_response_id, one.second_response_id) for one in session.scalars(select(labels.Judgement))}
        assert len(preferences) > 3 and judged > set(preferences)  # some were only skipped
        for pair in stored(session):
            key = pair.first_response_id, pair.second_response_id
            assert (pair.outcome, pair.support, pair.vote_count) == preferences.get(key, (None, None, 0))
            assert pair.is_judged == (key in judged)


def test_a_pair_is_judged_until_the_last_who_judged_it_takes_that_back(sessions):
    fill(sessions, random.Random(8))
    with sessions() as session:
        key = unjudged(session)

    def is_judged():
        with sessions() as session:
            return {one.is_judged for one in stored(session) if key == (one.first_response_id, one.second_response_id)}

    assert is_judged() == {False}
    for name, verdict in (("Ana", "skip"), ("Bo", "first")):
        judge(sessions, AnnotatorIdentity("person", name), key, verdict)
        assert is_judged() == {True}
    for left in ({True}, {False}):
        with sessions.begin() as session:
            newest = session.scalars(select(labels.Judgement.id).order_by(labels.Judgement.id.desc())).first()
            preferences.recompute(session, [remove_judgement(session, newest)])
        assert is_judged() == left


def test_a_pair_that_was_judged_in_a_calibration_is_found_by_who_judged_it(sessions):
    fill(sessions, random.Random(9))
    with sessions() as session:
        key = unjudged(session)
    with sessions.begin() as session:
        annotator_id = add_annotator(session, AnnotatorIdentity("judge", "j"))
        about = {"name": "c", "config": {}, "config_key": "c" * 64, "code_version": "0", "labelled_run_id": 1}
        run_id = runs.open_run(session, kind=runs.CALIBRATE, **about)
        add_judgements(session, annotator_id, [Judgement(key, key.first_response_id, "first")], run_id=run_id)
        preferences.recompute(session, [key])
        found = pair_page(session, PairFilter(annotator_id=annotator_id), Order("votes", is_ascending=True)).pairs
        assert {(one.first_response_id, one.second_response_id, one.vote_count) for one in found} == {(*key, 0)}


def test_a_longer_list_is_not_counted_to_its_end(sessions, monkeypatch):
    fill(sessions, random.Random(5))
    monkeypatch.setattr(pair_table, "COUNTED", 20)
    with sessions() as session:
        page = pair_page(session, PairFilter(), Order(), size=10)
        assert (page.count, page.has_more) == (20, True)
        page = pair_page(session, PairFilter(run_id=1), Order(), size=10)
        assert (page.count, page.has_more) == (28, False)
        for name in ("FEW", "FEW_OF_PAIRS"):  # one filter alone: what was found when it was asked for few
            monkeypatch.setattr(pair_table, name, 25)
        page = pair_page(session, PairFilter(run_id=1), Order(), size=10)
        assert (page.count, page.has_more) == (25, True)
        page = pair_page(session, PairFilter(run_id=1, similarity=(-1, 1)), Order(), size=10)
        assert (page.count, page.has_more) == (20, True)


@on_sqlite
@pytest.mark.parametrize(
    ("sort", "annotator_id", "index"),
    [
        ("similarity", None, "by_similarity"),
        ("length_ratio", None, "by_length_ratio"),
        ("votes", None, "by_vote_count"),
        ("votes", 1, "judged"),  # of the pairs without a vote there are many, and few that anybody judged
    ],
)
def test_a_list_is_walked_along_an_index_that_holds_what_it_asks(sessions, monkeypatch, sort, annotator_id, index):
    fill(sessions, random.Random(6))
    monkeypatch.setattr(pair_table, "FEW", 0)
    monkeypatch.setattr(pair_table, "FEW_LOOKED_UP", 0)
    wanted = PairFilter(1, "easy", None, (0.1, 0.9), (0.1, 0.9), "first", annotator_id)
    with sessions() as session:
        search = pair_table._Search(session, wanted, Order(sort))
        plans = []

        def explained(statement, values):
            named = {name: values[name] for name in set(re.findall(r":(\w+)", statement))}
            plans.extend(row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {statement}"), named))
            return []

        monkeypatch.setattr(search, "_execute", explained)
        search.find(Place(0.5, 7), 10)
    assert any(f"COVERING INDEX ix_pairs_{index}" in plan for plan in plans), plans
    assert not any("TEMP B-TREE" in plan for plan in plans), plans


def test_who_never_judged_has_no_pairs(sessions):
    fill(sessions, random.Random(7))
    with sessions() as session:
        assert pair_page(session, PairFilter(annotator_id=person(sessions, "Dee")), Order()).pairs == []
