"""Which trials may be compared where some failed."""

from __future__ import annotations

from models.studies.trials import FAILED, Outcome, Trial, comparable


def outcome(arm, seed, *, budget=50, annotator="truth", failed=False):
    return Outcome(Trial(arm, annotator, budget, seed), {FAILED: "why"} if failed else {"accuracy": 0.5}, 1.0)


def kept(*outcomes):
    return [(one.trial.arm, one.trial.budget, one.trial.seed) for one in comparable(outcomes)]


def test_trials_differ_by_whatever_tells_them_apart():
    trials = [
        Trial("a"),
        Trial("b"),
        Trial("a", "truth"),
        Trial("a", budget=1),
        Trial("a", seed=1),
        Trial("a", part="p"),
    ]
    assert len({trial.key for trial in trials}) == len(trials)
    assert Trial("a", "truth", 1000, 3, "round 2").words == "a, truth, 1,000 labels, seed 3, round 2"
    assert Trial("a").words == "a, seed 0"


def test_where_all_was_done_all_is_compared():
    outcomes = [outcome(arm, seed) for seed in (0, 1) for arm in ("easy", "random")]
    assert comparable(outcomes) == outcomes
    assert comparable([]) == []


def test_a_failed_trial_takes_its_partners_of_the_seed_along():
    outcomes = [outcome("easy", 0, failed=True), outcome("easy", 1), outcome("random", 0), outcome("random", 1)]
    assert kept(*outcomes) == [("easy", 50, 1), ("random", 50, 1)]
    assert kept(*outcomes, outcome("random", 0, budget=100)) == [("easy", 50, 1), ("random", 50, 1)]
    other = outcome("random", 0, annotator="noisy")
    assert other in comparable([*outcomes, other]), "another annotator's trials are no partners"


def test_what_never_works_is_left_out_alone():
    outcomes = [outcome("easy", seed, budget=200, failed=True) for seed in (0, 1)]
    others = [outcome(arm, seed) for seed in (0, 1) for arm in ("easy", "random")]
    assert comparable([*outcomes, *others]) == others
    assert comparable(outcomes) == []
