"""What lists and pages of the workbench show, on databases that were filled by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from overviewed import RATE, compare, compared, labelled
from sqlalchemy import func, insert, select
from stored_rows import add, all_prompt_ids, open_run, row
from surroundings import on_sqlite

from db import runs
from db.overviews import policies as of_policies
from db.overviews import runs as of_runs
from db.overviews import snapshots as of_snapshots
from db.overviews import sources as of_sources
from db.overviews.counted import MOST_COUNTED, Counted
from db.pairs import add_pairs
from db.schema.counts import RunSimilarities
from db.schema.curation import Prompt, RunPrompt
from models.intervals import Interval
from models.records import ImportedPair, Pair


def open_curation(sessions, key, source):
    config = {"source": {"name": source}}
    with sessions.begin() as session:
        return runs.open_run(session, kind=runs.CURATE, name=key, config=config, config_key=key, code_version="0")


def test_sources_come_newest_first_page_by_page_with_their_rows(sessions):
    for number, name in enumerate(("a", "b", "c")):
        add(sessions, *(row(at, f"{name} {at}", "x", "y") for at in range(number + 1)), name=name)
    with sessions() as session:
        first = of_sources.source_lines(session, limit=2)
        rest = of_sources.source_lines(session, before=first[-1].id, limit=2)
    assert [(line.name, line.rows.count) for line in (*first, *rest)] == [("c", 3), ("b", 2), ("a", 1)]


def test_a_source_is_counted_by_what_it_brought(sessions, monkeypatch):
    add(sessions, row(1, "p", "x", "y", pair=ImportedPair(0, 1), split="train"), row(2, "p", "x"), row(3, "q"))
    with sessions() as session:
        counts = of_sources.source_counts(session, 1)
    assert [one.words for one in (counts.rows, counts.responses, counts.pairs)] == ["3", "3", "1"]
    assert counts.prompts == 2
    assert counts.splits == {None: 2, "train": 1}
    monkeypatch.setattr(of_sources, "MOST_ROWS", 2)
    with sessions() as session:
        counts = of_sources.source_counts(session, 1)
    assert (counts.rows.words, counts.responses.words) == ("> 2", "> 2")
    assert (counts.prompts, counts.splits) == (1, {None: 1, "train": 1}), "of the first two rows"
    with sessions() as session, pytest.raises(LookupError, match="there is no source 2"):
        of_sources.source_line(session, 2)


def test_a_source_is_used_by_curations_of_its_name_and_by_those_of_every_source(sessions):
    earlier = open_curation(sessions, "earlier", None)
    add(sessions, row(1, "p"), name="mine")
    own, others, every = (
        open_curation(sessions, key, name) for key, name in (("own", "mine"), ("b", "its"), ("c", None))
    )
    with sessions() as session:
        uses = of_sources.source_uses(session, of_sources.source_line(session, 1))
    assert [(use.run_id, use.is_named) for use in uses] == [(every, False), (own, True)]
    assert {earlier, others}.isdisjoint(use.run_id for use in uses)


def test_samples_are_the_first_rows_with_their_first_responses_cut_where_they_are_long(sessions):
    add(sessions, row(7, "long", "x" * 9_000, *"abcde"), row(2, "p" * 9_000, split="test"))
    with sessions() as session:
        first, second = of_sources.sample_rows(session, 1, 10)
        (alone,) = of_sources.sample_rows(session, 1, 1)
    assert (first.row_number, first.split, first.responses) == (2, "test", ())
    assert len(first.prompt.text) == of_sources.LONGEST_TEXT
    assert [len(response.text) for response in second.responses] == [of_sources.LONGEST_TEXT, 1, 1, 1]
    assert second.left_out == 2
    assert alone == first


def test_runs_come_newest_first_with_what_they_hold(sessions):
    run_ids, chosen, _ = labelled(sessions)
    with sessions() as session:
        (newest,) = of_runs.run_lines(session, limit=1)
        (oldest,) = of_runs.run_lines(session, before=newest.id, limit=5)
    assert [newest.id, oldest.id] == run_ids[::-1]
    assert oldest.prompts == Counted(6, False)
    assert oldest.pairs.count == sum(map(len, chosen[oldest.id].values()))
    assert oldest.pairs.words == "18"


@on_sqlite
def test_a_list_stops_counting_where_it_would_get_slow(sessions):
    many = MOST_COUNTED + 5
    with sessions.begin() as session:
        texts = [{"key": f"{at}", "first_turn_key": "", "messages": [], "text": ""} for at in range(many)]
        session.execute(insert(Prompt), texts)
    run_id = open_run(sessions, all_prompt_ids(sessions))
    with sessions() as session:
        assert of_runs.run_lines(session, limit=1)[0].prompts == Counted(MOST_COUNTED, True)
    with sessions.begin() as session:
        session.query(RunPrompt).where(RunPrompt.prompt_id > MOST_COUNTED).delete()
    with sessions() as session:
        (line,) = of_runs.run_lines(session, limit=1)
    assert (line.id, line.prompts) == (run_id, Counted(MOST_COUNTED, False))
    assert Counted(MOST_COUNTED, True).words == "> 10,000"


def test_similarities_are_counted_by_run_strategy_and_bin(sessions):
    run_ids, chosen, _ = labelled(sessions)
    with sessions.begin() as session:
        counted = of_runs.similarity_counts(session, run_ids)
        assert session.scalar(select(func.count()).select_from(RunSimilarities)) == 0
        for run_id in run_ids:
            runs.set_status(session, run_id, runs.COMPLETED)
        kept = of_runs.similarity_counts(session, run_ids)
    expected = {
        run_id: {
            strategy: of_runs.Similarities(
                Counter(int((pair.similarity + 1) / of_runs.BIN) for pair in pairs), Counted(len(pairs), False)
            )
            for strategy, pairs in by_strategy.items()
        }
        for run_id, by_strategy in chosen.items()
    }
    assert counted == kept == expected


def test_prompts_are_done_that_have_a_pair_or_a_reason(sessions, monkeypatch):
    add(sessions, *(row(at, f"p{at}", "x", "y") for at in range(4)))
    prompt_ids = all_prompt_ids(sessions)
    run_id = open_run(sessions, prompt_ids)
    with sessions.begin() as session:
        pairs = [Pair(strategy, prompt_ids[0], 1, 2, 0.5, 1, 1) for strategy in ("easy", "hard")]
        add_pairs(session, run_id, pairs)
        runs.set_skipped(session, run_id, {prompt_ids[1]: "one response"})
    with sessions() as session:
        assert of_runs.prompts_done(session, run_id) == of_runs.Done(2, 4, is_exact=True)
    monkeypatch.setattr(of_runs, "MOST_COUNTED", 0)
    with sessions() as session:
        assert of_runs.prompts_done(session, run_id) == of_runs.Done(2, 4, is_exact=False)
    with sessions.begin() as session:
        add_pairs(
            session,
            run_id,
            [Pair("often", id_, 2 * at, 2 * at + 1, 0.5, 1, 1) for at, id_ in enumerate(prompt_ids[2:], 2)],
        )
    monkeypatch.setattr(of_runs, "MOST_COUNTED", 1)
    with sessions() as session:
        done = of_runs.prompts_done(session, run_id)
    assert done == of_runs.Done(3, 4, is_exact=False), "by the strategy that selected most, whatever its name"


def test_a_data_set_is_counted_by_strategy_rule_split_and_run(sessions):
    run_ids, _, snapshot_id = labelled(sessions)
    with sessions() as session:
        (line,) = of_snapshots.snapshot_lines(session, limit=5)
        parts = of_snapshots.snapshot_parts(session, snapshot_id)
        of_first, of_second = (of_snapshots.snapshots_of(session, run_id) for run_id in run_ids)
    assert (line.id, line.policies) == (snapshot_id, 0)
    assert sum(parts.rules.values()) == line.row_count == parts.runs[0][2]
    assert sum(parts.strategies.values()) >= line.row_count
    assert set(parts.strategies) <= {"easy", "hard", "random"}
    assert 0.5 < parts.support <= 1
    assert parts.votes >= line.row_count
    assert [made.id for made in of_first] == [snapshot_id]
    assert of_second == []


def test_a_data_set_knows_the_policies_that_were_trained_on_it(sessions):
    *_, snapshot_id = labelled(sessions)
    ids = compared(sessions, snapshot_id)
    with sessions() as session:
        assert [made.id for made in of_snapshots.trained_on(session, snapshot_id)] == ids[::-1]
        assert of_snapshots.snapshot_lines(session, limit=1)[0].policies == 3
        newest, *others = of_policies.policy_lines(session, limit=5)
        assert [made.id for made in of_runs.policies_of(session, newest.run_id)] == ids
        assert of_policies.policy_lines(session, before=newest.id, limit=1) == others[:1]


def test_win_rates_stand_on_both_sides_and_the_newest_counts(sessions):
    first, second, third = compared(sessions, None)
    with sessions() as session:
        rates = of_policies.win_rates(session, [first, second, third])
        alone = of_policies.win_rates(session, [second, third])
    assert {place: [one.rate for one in found] for place, found in rates.items()} == {
        (first, "demo"): [RATE],
        (second, f"policy:{first}"): [RATE],
        (first, f"policy:{second}"): [Interval(pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.4))],
    }
    assert alone == {}, "what a policy outside says of them is not asked for"
    again = Interval(0.4, 0.3, 0.5)
    compare(sessions, first, again, baseline_id=second)
    with sessions() as session:
        rates = of_policies.win_rates(session, [first, second])
        newest = of_policies.newest_comparisons(session, [first, second, third])
    assert [one.rate for one in rates[first, f"policy:{second}"]] == [again]
    assert [one.rate.value for one in rates[second, f"policy:{first}"]] == [pytest.approx(0.6)]
    assert {policy_id: one.comparison.rate for policy_id, one in newest.items()} == {first: again, second: RATE}
