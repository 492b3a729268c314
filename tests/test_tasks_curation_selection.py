"""The selection step: what it stores of lengths, and how it selects by them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from curation_steps import configured, curate, row
from sqlalchemy import select as query
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings, pairs, runs
from db.schema import curation
from flows.terminal.runs import show_pairs_of
from models.records import ImportedPair
from models.report.length import NO_CHOICE
from models.selection import length_correlations, mean_correlation
from tasks.curation.engines import vector_store
from tasks.curation.selection import select
from tasks.reports.run_page import length_words, write_run_report


def test_a_run_says_how_far_similarity_follows_length_however_often_it_selects(settings, sessions):
    texts = ("b", "bb bb", "bb bb bb", "cc cc cc cc cc cc", "dd ee ff gg hh ii jj kk ll mm nn")
    add(sessions, *(row(number, f"Prompt {number}?", *texts[: 3 + number % 3]) for number in range(1, 8)))
    run_id = curate(configured(generate={"when": "never"}, select={"strategies": ["longest_gap", "easy"]}))
    with sessions() as session:
        embedder = embeddings.embedder_of_run(session, run_id)
        locations = embeddings.vector_locations(session, run_id, embedder.id, list(range(1, 8)))
        summary = runs.summaries(session, run_id)[0]
        chosen = list(pairs.selected_pairs(session, run_id, strategy="longest_gap"))
        by_strategy = pairs.strategy_summaries(session, run_id)
        stored = dict(session.execute(query(curation.Response.id, curation.Response.text)).tuples().all())
    vectors = vector_store(embedder.key, settings).gather(
        [location.shard for location in locations], [location.row for location in locations]
    )
    sizes = Counter(location.prompt_id for location in locations)
    offsets = np.cumsum([0, *(sizes[prompt_id] for prompt_id in range(1, 8))])
    lengths = np.array([len(stored[location.response_id]) for location in locations])
    expected = mean_correlation(length_correlations(vectors, offsets, lengths))
    columns = (summary.length_correlation, summary.length_correlation_low, summary.length_correlation_high)
    assert columns == pytest.approx(expected)
    assert [(pair.first_response, pair.second_response) for pair in chosen] == [
        (texts[0], texts[2 + number % 3]) for number in range(1, 8)
    ]
    ratios = [1 / len(texts[2 + number % 3]) for number in range(1, 8)]
    assert by_strategy["longest_gap"].mean_length_ratio == pytest.approx(np.mean(ratios))
    assert by_strategy["longest_gap"].pairs == by_strategy["easy"].pairs == 7
    select.fn(run_id)
    with sessions() as session:
        assert runs.summaries(session, run_id)[0] == summary


@on_sqlite
def test_source_pairs_are_ranked_by_length_too(settings, sessions):
    texts = [("a", "bb"), ("a", "b" * 50), ("a" * 9, "b" * 3), ("a b", "c d")]
    rows = [
        replace(row(number, f"Prompt {number}?", *both), pairs=(ImportedPair(0, 1),))
        for number, both in enumerate(texts, 1)
    ]
    add(sessions, *rows)
    select_config = {"scope": "source_pairs", "strategies": ["longest_gap"], "share": 0.5}
    run_id = curate(configured(generate={"when": "never"}, select=select_config))
    with sessions() as session:
        assert [pair.prompt_id for pair in pairs.selected_pairs(session, run_id)] == [2, 3]
        summary = runs.summaries(session, run_id)[0]
        assert summary.length_correlation_low <= summary.length_correlation < summary.length_correlation_high - 0.1


@on_sqlite
def test_pairs_of_one_prompt_are_no_independent_evidence(settings, sessions):
    texts = ["a b", "a bb c", "a dd bb cc cc", "dd cc ee ff gg hh ii"]
    rows = [
        replace(row(number, "Prompt?", *both), pairs=(ImportedPair(0, 1),))
        for number, both in enumerate(combinations(texts, 2), 1)
    ]
    add(sessions, *rows)
    select_config = {"scope": "source_pairs", "strategies": ["easy"], "share": 0.5}
    run_id = curate(configured(generate={"when": "never"}, select=select_config))
    with sessions() as session:
        summary = runs.summaries(session, run_id)[0]
    assert (summary.length_correlation_low, summary.length_correlation_high) == (-1, 1)


@on_sqlite
def test_a_run_of_one_pair_a_prompt_has_no_correlation_and_says_why(settings, sessions, capsys):
    add(sessions, *(row(number, f"Prompt {number}?", "short", f"{number} is longer") for number in range(1, 6)))
    run_id = curate(configured(generate={"when": "never"}, select={"strategies": ["easy", "hard"]}))
    with sessions() as session:
        summary = runs.summaries(session, run_id)[0]
        assert (summary.length_correlation, length_words(session, summary)) == (None, NO_CHOICE)
    show_pairs_of(run_id, settings)
    assert NO_CHOICE in capsys.readouterr().out
    assert NO_CHOICE in write_run_report(run_id, settings).read_text()


@on_sqlite
def test_a_run_over_equally_long_source_pairs_says_nothing_of_length(settings, sessions):
    rows = [
        replace(row(number, f"Prompt {number}?", f"a{number}", f"b{number}"), pairs=(ImportedPair(0, 1),))
        for number in range(1, 6)
    ]
    add(sessions, *rows)
    select_config = {"scope": "source_pairs", "strategies": ["easy"], "share": 0.5}
    run_id = curate(configured(generate={"when": "never"}, select=select_config))
    with sessions() as session:
        assert length_words(session, runs.summaries(session, run_id)[0]) is None


@on_sqlite
def test_several_pairs_of_a_prompt_are_selected_by_each_strategy_and_never_twice(settings, sessions):
    add(sessions, row(1, "Many?", "a", "bb", "c d e", "f" * 20), row(2, "Few?", "a", "b b"), row(3, "One?", "a"))
    select_config = {"strategies": ["easy", "longest_gap", "random", "centroid"], "pairs_per_prompt": 4}
    run_id = curate(configured(generate={"when": "never"}, select=select_config))
    with sessions() as session:
        chosen = list(pairs.selected_pairs(session, run_id))
        skipped = dict(
            session.execute(query(curation.RunPrompt.prompt_id, curation.RunPrompt.skipped).filter_by(run_id=run_id))
            .tuples()
            .all()
        )
    counts = Counter((pair.strategy, pair.prompt_id) for pair in chosen)
    assert counts == {
        (name, prompt): count for name in select_config["strategies"] for prompt, count in ((1, 4), (2, 1))
    }
    assert len({(pair.strategy, pair.first_response, pair.second_response) for pair in chosen}) == len(chosen)
    easy = [pair for pair in chosen if (pair.strategy, pair.prompt_id) == ("easy", 1)]
    easy.sort(key=lambda pair: pair.pair_id)
    similarities = [pair.similarity for pair in easy]
    assert similarities == pytest.approx(sorted(similarities), abs=1e-5) and similarities[-1] > similarities[0]
    gaps = [
        abs(len(pair.first_response) - len(pair.second_response))
        for pair in chosen
        if (pair.strategy, pair.prompt_id) == ("longest_gap", 1)
    ]
    assert sorted(gaps, reverse=True) == [19, 18, 15, 4]
    with sessions() as session:
        of_the_map = pairs.pairs_by_prompt(session, run_id, 5)
    assert of_the_map[1]["easy"] == (easy[0].first_response_id, easy[0].second_response_id), "the first of them"
    assert skipped[1] is skipped[2] is None and "needs 2 different responses" in skipped[3]
