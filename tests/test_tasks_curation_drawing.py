"""A budget of labels: which prompts it is spent on, what the others say, and that it is drawn once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from curation_steps import configured, curate, row
from sqlalchemy import select as query
from stored_labels import ANNA, judge
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings, pairs, prompts, runs
from db.labels import embedded_pairs
from db.schema import curation
from models.labelling.records import PairKey
from models.records import Prompt
from models.selection import prompt_words
from tasks.config.curation import CurateConfig, SourceConfig
from tasks.config.section import refuse_in_vain
from tasks.curation.drawing import NOT_DRAWN
from tasks.curation.embedding import embed
from tasks.curation.engines import vector_store
from tasks.curation.estimate import estimate_curation
from tasks.curation.generation import generate
from tasks.curation.heads import head_of
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.reports.run_page import write_run_report


def add_prompts(sessions, count=20, name="source"):
    rows = [row(n, f"Prompt {n}?", "a", f"b {n}", "c d e", "f g h i") for n in range(1, count + 1)]
    add(sessions, *rows, row(count + 1, "One response?", "alone"), name=name)


def selecting(*strategies, **changes):
    return configured(generate={"when": "never"}, select={"strategies": list(strategies)} | changes)


def chosen(sessions, run_id):
    """Prompt ids by strategy, each as often as it has a pair."""
    by_strategy = {}
    with sessions() as session:
        for pair in pairs.selected_pairs(session, run_id):
            by_strategy.setdefault(pair.strategy, Counter())[pair.prompt_id] += 1
    return by_strategy


def label(sessions, run_id):
    columns = (curation.Pair.first_response_id, curation.Pair.second_response_id)
    with sessions() as session:
        found = {PairKey(*pair) for pair in session.execute(query(*columns).filter_by(run_id=run_id))}
    for pair in found:
        judge(sessions, ANNA, pair, "first")
    return found


@on_sqlite
def test_all_strategies_spend_a_budget_on_the_same_prompts_and_the_others_say_why_not(settings, sessions):
    add_prompts(sessions)
    run_id = curate(selecting("easy", "random", "longest_gap", budget=7))
    by_strategy = chosen(sessions, run_id)
    assert by_strategy["easy"] == by_strategy["random"] == by_strategy["longest_gap"]
    assert sum(by_strategy["easy"].values()) == len(by_strategy["easy"]) == 7
    with sessions() as session:
        counts = runs.skip_counts(session, run_id)
        assert counts.pop(NOT_DRAWN) == 13
        assert list(counts.values()) == [1] and "needs 2 different responses" in next(iter(counts))
    assert NOT_DRAWN in write_run_report(run_id, settings).read_text()


@on_sqlite
@pytest.mark.parametrize(
    ("changes", "labels"),
    [({"pairs_per_prompt": 3}, 9), ({"pairs_per_prompt": 3, "pairs_are_disjoint": True}, 10)],
)
def test_a_budget_counts_pairs_and_pays_for_whole_prompts(settings, sessions, changes, labels):
    add_prompts(sessions)
    run_id = curate(selecting("easy", budget=10, **changes))
    (counts,) = chosen(sessions, run_id).values()
    assert sum(counts.values()) == labels and set(counts.values()) == {3 if labels == 9 else 2}


@on_sqlite
def test_disjoint_pairs_of_a_prompt_share_no_response(settings, sessions):
    add_prompts(sessions, 5)
    run_id = curate(selecting("easy", "random", "centroid", pairs_per_prompt=3, pairs_are_disjoint=True))
    used = Counter()
    with sessions() as session:
        for pair in pairs.selected_pairs(session, run_id):
            used.update((pair.strategy, id_) for id_ in (pair.first_response_id, pair.second_response_id))
    assert set(used.values()) == {1} and len(used) == 3 * 5 * 4


@on_sqlite
def test_the_same_curation_again_is_a_new_run_on_prompts_without_a_label(settings, sessions, capsys):
    add_prompts(sessions, 20)
    config = selecting("easy", budget=8)
    drawn = []
    for number in range(3):
        run_id = curate(config)
        assert run_id == number + 1
        drawn.append(set(chosen(sessions, run_id)["easy"]))
        label(sessions, run_id)
    assert not drawn[0] & drawn[1]
    assert len(drawn[0] | drawn[1] | drawn[2]) == 20
    assert "8 of 21 prompts drawn, 4 of them with a label of these strategies" in capsys.readouterr().err


@on_sqlite
def test_a_label_that_comes_while_a_run_is_stopped_changes_no_draw(settings, sessions):
    add_prompts(sessions)
    config = selecting("max_min_lcb", budget=6)
    run_id = open_run.fn(config)
    for step in (generate, embed, select):
        step.fn(run_id)
    before = chosen(sessions, run_id)
    assert sum(before["max_min_lcb"].values()) == 6
    label(sessions, run_id)
    assert open_run.fn(config) == run_id
    select.fn(run_id)
    assert chosen(sessions, run_id) == before, "neither other prompts nor a second pair of one"


@on_sqlite
def test_max_min_lcb_never_asks_for_a_label_twice(settings, sessions):
    add_prompts(sessions, 4)
    asked = [label(sessions, curate(selecting("max_min_lcb"))) for _ in range(7)]
    assert [len(each) for each in asked] == [4] * 6 + [0], "six pairs of each prompt, then none"
    assert len(set.union(*asked)) == 24
    with sessions() as session:
        assert "needs 2 different responses: no further pair" in runs.skip_counts(session, 7)


@on_sqlite
def test_a_draw_does_not_depend_on_the_order_of_import_or_on_what_else_there_is(settings, sessions):
    add(sessions, *(row(n, f"Other {n}?", "a", "b c") for n in range(1, 6)), name="other")
    rows = [row(n, f"Prompt {n}?", "a", f"b {n}", "c d e") for n in range(1, 31)]
    add(sessions, *rows, name="source")
    config = selecting("easy", budget=9)
    run_id = curate(config.model_copy(update={"source": SourceConfig(name="source")}))
    drawn = sorted(chosen(sessions, run_id)["easy"])
    with sessions() as session:
        keys = sorted(prompt.prompt.key for prompt in prompts.stored_prompts(session, drawn))
    every = [Prompt.from_text(f"Prompt {n}?").key for n in range(1, 31)]
    words = dict(zip(every, prompt_words(every, seed=0).tolist(), strict=True))
    assert keys == sorted(sorted(every, key=words.__getitem__)[:9])


@on_sqlite
def test_an_estimate_knows_the_budget(settings, sessions):
    add_prompts(sessions)
    small = estimate_curation(selecting("easy", "hard", budget=2), settings)
    large = estimate_curation(selecting("easy", "hard"), settings)
    assert small != large


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scope": "source_pairs", "strategies": ["easy"], "budget": 5}, "select.budget 5 is for scope prompt"),
        (
            {"scope": "source_pairs", "strategies": ["easy"], "pairs_are_disjoint": True},
            "pairs_are_disjoint True is for",
        ),
        ({"scope": "source_pairs", "strategies": ["max_min_lcb"]}, "max_min_lcb needs several candidates"),
        ({"budget": 2, "pairs_per_prompt": 3}, "select.budget 2 pays for no prompt"),
        ({"budget_over": "even"}, "give --select.budget too"),
        ({"budget": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_of_a_budget_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        refuse_in_vain(CurateConfig.model_validate({"select": changes}))


def test_a_run_without_a_budget_has_the_key_that_it_had():
    names = {"budget", "budget_over", "pairs_are_disjoint", "strategy_files"}
    assert not names & CurateConfig().key_settings()["select"].keys()
    assert len({CurateConfig.model_validate({"select": {"budget": 5, "budget_over": over}}).key
                for over in ("random", "even")}) == 2  # fmt: skip


@on_sqlite
def test_max_min_lcb_learns_from_25_labels_on_and_says_so(settings, sessions, capsys):
    add_prompts(sessions, 30)
    config = selecting("max_min_lcb", budget=15)
    for _ in range(2):
        label(sessions, curate(config))
    said = capsys.readouterr().err
    assert said.count("fewer than 25 labels on pairs of this embedder, nothing is learnt yet") == 2
    run_id = curate(config)
    assert "max_min_lcb: learnt from 30 labels" in capsys.readouterr().err
    with sessions() as session:
        embedder = embeddings.embedder_of_run(session, run_id)
        head = head_of(session, embedder, settings)
        found = {pair.prompt_id: pair for pair in pairs.selected_pairs(session, run_id)}
        locations = embeddings.vector_locations(session, run_id, embedder.id, sorted(found))
        labelled = {pair.pair for pair in embedded_pairs.decided_pairs(session, embedder.id)}
    assert len(found) == 15
    for prompt_id, pair in found.items():
        own = [location for location in locations if location.prompt_id == prompt_id]
        ids = [location.response_id for location in own]
        rows = vector_store(embedder.key, settings).gather([x.shard for x in own], [x.row for x in own])
        means, deviations = head.margins(rows)
        bounds = means - deviations
        is_open = [[i != j and (min(i, j), max(i, j)) not in labelled for j in ids] for i in ids]
        bounds[~np.array(is_open)] = np.inf
        best = bounds.min(axis=1).argmax()
        rival = bounds[best].argmin()
        assert {pair.first_response_id, pair.second_response_id} == {ids[best], ids[rival]}


@on_sqlite
def test_an_even_budget_takes_from_every_cluster_of_alike_prompts_by_its_size(settings, sessions, capsys):
    topics = ("bread baking oven dough flour", "ships sails harbour wind sea", "stars planets moon orbit sky")
    sizes = (24, 12, 12)
    texts = [f"{topic} {topic} {n}" for topic, size in zip(topics, sizes, strict=True) for n in range(size)]
    add(sessions, *(row(n, text, "a", f"b {n}", "c d e") for n, text in enumerate(texts, 1)))
    run_id = curate(selecting("easy", "random", budget=16, budget_over="even"))
    by_strategy = chosen(sessions, run_id)
    assert by_strategy["easy"] == by_strategy["random"]
    assert "select.budget_over even: 48 prompts in" in capsys.readouterr().err
    taken = Counter(next(topic for topic in topics if texts[id_ - 1].startswith(topic)) for id_ in by_strategy["easy"])
    assert all(abs(taken[topic] - size / 3) <= 2 for topic, size in zip(topics, sizes, strict=True)), taken
    again = curate(selecting("easy", budget=16, budget_over="even", pairs_per_prompt=1))
    assert chosen(sessions, again)["easy"] == by_strategy["easy"], "without labels the same prompts"
