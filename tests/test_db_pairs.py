"""What is said of each strategy, against twins that go through the pairs one by one."""

from __future__ import annotations

import statistics

import pytest
from chosen_pairs import JUDGE, STRATEGIES, store_chosen

from db import pairs
from models.labelling.votes import VOTES, annotator_vote
from models.quality.records import StrategyRates


def key(pair):
    return pair.first_response_id, pair.second_response_id


def slow_summary(chosen, flagged, texts, strategy):
    """Pairs, mean similarity, mean length ratio, degenerate share, shared share of a strategy."""
    own = chosen[strategy]
    others = {key(pair) for name, pairs_ in chosen.items() if name != strategy for pair in pairs_}
    ratios = []
    for pair in own:
        lengths = sorted(len(texts[id_]) for id_ in key(pair))
        ratios.append(lengths[0] / lengths[1])
    flags = [bool(flagged & set(key(pair))) for pair in own]
    return (
        len(own),
        statistics.fmean(pair.similarity for pair in own),
        statistics.fmean(ratios),
        statistics.fmean(flags),
        statistics.fmean(key(pair) in others for pair in own),
    )


def slow_rates(own, judged, strategy):
    found = []
    for who in ("people", "machines"):
        votes, skips = [], 0
        for pair in own:
            for identity in {identity for identity, judgement in judged if judgement.pair == key(pair)}:
                if (identity is JUDGE) != (who == "machines"):
                    continue
                showings = {
                    j.left_response_id: j.verdict for one, j in judged if one is identity and j.pair == key(pair)
                }
                vote = annotator_vote(showings, has_both_orders=identity.has_both_orders)
                votes += [] if vote is None else [vote]
                skips += vote is None and not set(showings.values()) <= set(VOTES)
        if votes or skips:
            found.append(StrategyRates(strategy, who, len(votes), votes.count("tie"), votes.count("both_bad"), skips))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_strategy_is_summed_up_as_its_pairs_one_by_one(sessions, seed):
    chosen, flagged, judged, texts = store_chosen(sessions, seed=seed)
    with sessions() as session:
        for run_id, by_strategy in chosen.items():
            summaries = pairs.strategy_summaries(session, run_id)
            assert set(summaries) == set(STRATEGIES)
            for strategy, row in summaries.items():
                expected = slow_summary(by_strategy, flagged[run_id], texts, strategy)
                assert (
                    row.pairs, row.mean_similarity, row.mean_length_ratio, row.degenerate_share, row.shared_share
                ) == pytest.approx(expected)  # fmt: skip
                assert isinstance(row.shared_share, float)
            keys = {strategy: {key(pair) for pair in own} for strategy, own in by_strategy.items()}
            counts = {a: {b: len(keys[a] & keys[b]) for b in keys if a != b and keys[a] & keys[b]} for a in keys}
            assert pairs.strategy_overlaps(session, run_id) == {a: shared for a, shared in counts.items() if shared}
            expected_rates = [
                row for name in sorted(by_strategy) for row in slow_rates(by_strategy[name], judged, name)
            ]
            assert pairs.strategy_rates(session, run_id) == expected_rates


def test_the_shares_of_labels_are_in_the_view_too(sessions):
    store_chosen(sessions)
    with sessions() as session:
        for row in session.execute(pairs.text("SELECT * FROM strategy_labels")).mappings():
            undecided = row["ties"] + row["both_bad"]
            assert row["tie_share"] == (pytest.approx(undecided / row["votes"]) if row["votes"] else None)
            asked = row["votes"] + row["skips"]
            assert row["skip_share"] == (pytest.approx(row["skips"] / asked) if asked else None)


def test_a_run_without_a_pair_has_no_row(sessions):
    with sessions() as session:
        assert pairs.strategy_summaries(session, 7) == pairs.strategy_overlaps(session, 7) == {}
        assert pairs.strategy_rates(session, 7) == []
