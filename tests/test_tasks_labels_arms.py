"""Strategies whose pairs did not all get a vote are no equal arms: counted, and told where arms are made."""

from __future__ import annotations

from alignment_world import align_config
from chosen_pairs import STRATEGIES, store_chosen
from curation_steps import configured, curate
from labelling_steps import OWN, label
from stored_rows import add
from surroundings import on_sqlite

from db.labels import labelling, preferences
from flows.terminal.labelling.labels import show_labels
from models.labelling.records import PairKey
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.alignment.estimate import estimate_alignment
from tasks.alignment.opening import fixed
from tasks.labels.arms import unequal_arms

ADVICE = (
    "; policies of single strategies compare with as many each (antipode align --data.limit {least}), and on the same "
    "held-out pairs by: antipode study label-efficiency --learner alignment --labels stored"
)


def half_labelled(sessions, strategies=("hard", "random")):
    """Three responses to each of 40 prompts, one a reference: pairs of the two others, all easy ones, get no vote."""
    add(sessions, *(
        ImportedRow(number, Prompt.from_text(f"prompt {number}"), (
            ImportedResponse(f"rye bread {number}", is_reference=True), ImportedResponse(f"wheat {number}"),
            ImportedResponse(f"an answer of quite other words, number {number}"),
        ))
        for number in range(1, 41)
    ))  # fmt: skip
    return curate(configured(**OWN, source={"has_references": True}, select={"strategies": strategies}))


@on_sqlite
def test_preferences_are_counted_by_strategy_as_going_through_the_pairs_counts_them(settings, sessions):
    chosen, _, _, _ = store_chosen(sessions, prompts=12)
    every = {pair for of_run in chosen.values() for pairs in of_run.values() for pair in pairs}
    keys = sorted({PairKey(pair.first_response_id, pair.second_response_id) for pair in every})
    with sessions.begin() as session:
        preferences.recompute(session, keys)
    with sessions() as session:
        outcomes = {key: found.outcome for key, found in preferences.preferences_of(session, "majority", keys).items()}
        for run_id, of_run in chosen.items():
            counts = {
                name: sum(
                    outcomes.get(PairKey(pair.first_response_id, pair.second_response_id)) in {"first", "second"}
                    for pair in of_run[name]
                )
                for name in STRATEGIES
            }
            assert len(set(counts.values())) > 1 and all(counts.values()), "else less is told"
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            advice = ADVICE.format(least=min(counts.values()))
            expected = f"preferences by strategy, by majority of all annotators: {told}{advice}"
            assert unequal_arms(session, run_id) == expected


@on_sqlite
def test_a_labelling_that_makes_arms_unequal_says_so_and_the_alignment_of_one_of_them_too(settings, sessions, capsys):
    run_id = half_labelled(sessions)
    label_run = label(annotator="gold")
    with sessions() as session:
        told = unequal_arms(session, run_id)
    assert told is not None
    capsys.readouterr()
    show_labels(label_run, settings)
    assert told in capsys.readouterr().out
    arm = align_config("demo", data={"strategies": ["random"]})
    assert told in estimate_alignment(arm, settings).notes
    fixed(sessions, arm)
    assert told in capsys.readouterr().err
    for data in ({"rule": "unanimous"}, {"annotators": ["gold (reference responses)"]}, {"min_support": 0.5}):
        other = align_config("demo", data={"strategies": ["random"], **data})
        assert told not in estimate_alignment(other, settings).notes, "they are by majority of all annotators"
    together = align_config("demo")
    assert told not in estimate_alignment(together, settings).notes, "pairs of all strategies are no arm"


@on_sqlite
def test_arms_without_a_label_are_not_told_of(settings, sessions):
    run_id = half_labelled(sessions, ("easy", "random"))
    with sessions() as session:
        assert unequal_arms(session, run_id) is None, "nothing is labelled"
    label(annotator="gold")
    with sessions() as session:
        keys = {name: labelling.pair_keys(session, run_id, strategies=(name,)) for name in ("easy", "random")}
        labelled = {name: len(preferences.preferences_of(session, "majority", some)) for name, some in keys.items()}
        assert labelled["easy"] == 0 < labelled["random"]
        assert unequal_arms(session, run_id) is None, "the other strategy has no preference to compare with"
