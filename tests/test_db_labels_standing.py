"""What has a label already: by pair, and by prompt over all runs of some strategies."""

from __future__ import annotations

from curation_steps import configured, curate, row
from stored_labels import ANNA, BEN, judge
from stored_rows import add

from db import pairs
from db.labels import preferences
from db.labels.standing import label_counts, pairs_with_preference
from models.labelling.records import PairKey


def selected(session, run_id, strategy):
    found = pairs.selected_pairs(session, run_id, strategy=strategy)
    return {pair.prompt_id: PairKey(pair.first_response_id, pair.second_response_id) for pair in found}


def test_labels_count_by_pair_and_by_prompt_once(sessions, settings):
    add(sessions, *(row(n, f"Prompt {n}?", "a", f"b {n}", "c d e", "f g h i j k l") for n in range(1, 5)))
    runs = [curate(configured(generate={"when": "never"}, select={"strategies": names}, seed=seed))
            for seed, names in enumerate((["easy", "hard"], ["easy", "random"]))]  # fmt: skip
    with sessions() as session:
        easy, hard = selected(session, runs[0], "easy"), selected(session, runs[0], "hard")
        everything = [id_ for pair in [*easy.values(), *hard.values()] for id_ in pair]
        assert pairs_with_preference(session, everything) == set() and not label_counts(session, [1, 2], ["easy"])
    judge(sessions, ANNA, easy[1], "first")
    judge(sessions, BEN, easy[1], "second")
    judge(sessions, ANNA, hard[1], "tie")
    judge(sessions, ANNA, easy[3], "second")
    with sessions.begin() as session:
        preferences.recompute(session, [easy[1], easy[3]], rule="unanimous")
    with sessions() as session:
        assert pairs_with_preference(session, everything) == {easy[1], hard[1], easy[3]}
        assert pairs_with_preference(session, [easy[3][0]]) == {easy[3]}
        assert label_counts(session, [1, 2, 3, 4], ["easy"]) == {1: 1, 3: 1}, "two runs selected it, it counts once"
        assert label_counts(session, [1, 2], ["easy", "hard"]) == {1: 2}
