"""What an alignment trains on and measures on: the split by prompt, golden responses, prompts to compare on."""

from __future__ import annotations

import pytest
from alignment_world import chosen_prompts, import_pairs, prefer, prompts_to_compare
from curation_steps import configured, curate
from hypothesis import given
from hypothesis import strategies as st
from labelling_steps import label
from stored_rows import add
from surroundings import on_sqlite

from models.demo.corpus import demo_prompts, reference_response
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.alignment.data import is_held_out, read_data
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.config.alignment import AlignConfig
from tasks.config.rounds import LdAlignConfig
from tasks.errors import NoPreferencesError, NothingToDoError
from tasks.run_kinds import load_alignment

TEST_SPLITS = ("test_prefs", "eval", "validation_matched", "dev")
shares = st.floats(0.01, 0.99)


def opened(sessions, **config):
    """The configuration of an aligning run as it was stored."""
    run_id = open_align_run.fn(AlignConfig.model_validate({"model": {"name": "demo"}} | config))
    with sessions() as session:
        return load_alignment(session, run_id)


def parts_of(sessions, config):
    with sessions() as session:
        return read_data(session, config).parts


def prompt_texts(rows):
    return {row.prompt.text for row in rows}


def split_rows(split, numbers, name):
    """Rows of a split with a reference and a poorer response."""
    return [
        ImportedRow(
            number,
            Prompt.from_text(text),
            (ImportedResponse(reference_response(text), is_reference=True), ImportedResponse("No.")),
            split=split,
        )
        for number, text in zip(numbers, demo_prompts(name), strict=False)
    ]


def labelled(sessions, *rows):
    add(sessions, *rows)
    curate(configured(source={"has_references": True}, generate={"when": "never"}))
    label(annotator="gold")


@given(st.text(max_size=20), shares, shares)
def test_a_larger_share_holds_out_all_that_a_smaller_one_does(text, one, other):
    prompt = Prompt.from_text(text)
    assert is_held_out(prompt, None, max(one, other)) or not is_held_out(prompt, None, min(one, other))


@given(st.text(max_size=20), shares)
def test_what_is_held_out_depends_on_nothing_but_the_prompt_and_its_own_split(text, share):
    prompt = Prompt.from_text(text)
    by_hash = is_held_out(prompt, None, share)
    assert is_held_out(prompt, "train", share) == by_hash
    assert all(is_held_out(prompt, split, share) for split in TEST_SPLITS)


def test_the_hash_holds_out_about_the_share_and_always_the_same():
    prompts = [Prompt.from_text(f"prompt {number}") for number in range(2_000)]
    held_out = [is_held_out(prompt, None, 0.1) for prompt in prompts]
    assert 160 < sum(held_out) < 240, "three standard deviations are 40"
    assert held_out == [is_held_out(Prompt(prompt.messages), None, 0.1) for prompt in prompts]


@on_sqlite
def test_no_prompt_is_both_trained_on_and_measured_on(settings, sessions):
    prefer(sessions, train=6, held_out=3)
    parts = parts_of(sessions, opened(sessions))
    wanted = chosen_prompts(train=6, held_out=3)
    assert prompt_texts(parts.train) == set(wanted[:6]) and prompt_texts(parts.held_out) == set(wanted[6:])
    assert all(row.chosen == reference_response(row.prompt.text) for row in (*parts.train, *parts.held_out))


@on_sqlite
def test_later_preferences_leave_the_stored_data_as_it_was_and_the_split_as_well(settings, sessions):
    prefer(sessions, train=4, held_out=2)
    config = opened(sessions, data={"held_out_share": 0.1})
    before = parts_of(sessions, config)
    import_more = chosen_prompts(train=8, held_out=4)
    rows = [
        ImportedRow(
            number, Prompt.from_text(text), (ImportedResponse(reference_response(text)), ImportedResponse("Sorry."))
        )
        for number, text in enumerate(import_more, start=1)
    ]
    add(sessions, *rows, name="more", content_hash="1" * 64)
    curate(configured(name="more", source={"has_references": True}, generate={"when": "never"}))
    label(annotator="rubric", rubric={"temperature": 0})
    assert parts_of(sessions, config) == before
    later = parts_of(sessions, opened(sessions, name="later"))
    assert prompt_texts(before.held_out) <= prompt_texts(later.held_out) == set(import_more[8:])
    assert not prompt_texts(later.train) & prompt_texts(later.held_out)


@on_sqlite
@pytest.mark.parametrize("split", TEST_SPLITS)
def test_rows_of_a_test_split_are_never_trained_on(settings, sessions, split):
    train, out = split_rows("train", range(1, 6), "train"), split_rows(split, range(6, 9), "test")
    labelled(sessions, *train, *out)
    parts = parts_of(sessions, opened(sessions, data={"held_out_share": 1e-9}))
    assert prompt_texts(parts.train) == {row.prompt.text for row in train}
    assert prompt_texts(parts.held_out) == {row.prompt.text for row in out}


@on_sqlite
def test_a_part_without_rows_is_an_error_that_says_what_to_do(settings, sessions):
    prefer(sessions, train=4, held_out=0)
    with pytest.raises(NothingToDoError, match=r"4 rows to train on and 0 to measure on.*held_out_share 0.1"):
        opened(sessions)
    with pytest.raises(NothingToDoError, match="0 rows to train on and 4 to measure on"):
        opened(sessions, data={"held_out_share": 0.999})
    with pytest.raises(LookupError, match="snapshot 99"):
        opened(sessions, data={"snapshot": 99})


@on_sqlite
def test_without_a_decisive_preference_it_says_what_there_is(settings, sessions):
    prompts = chosen_prompts(train=3, held_out=2)
    import_pairs(sessions, prompts)
    with pytest.raises(LookupError, match="there is no run"):
        opened(sessions)
    curate(configured(source={"has_references": True}, generate={"when": "never"}))
    with pytest.raises(NoPreferencesError, match="no pair is labelled yet"):
        opened(sessions)
    label(annotator="scores")
    with pytest.raises(NoPreferencesError):
        opened(sessions)


@on_sqlite
def test_pairs_that_nobody_decided_are_nothing_to_train_on(settings, sessions):
    rows = [
        ImportedRow(number, Prompt.from_text(text), (ImportedResponse("No."), ImportedResponse("No!")))
        for number, text in enumerate(chosen_prompts(train=3, held_out=2), start=1)
    ]
    add(sessions, *rows)
    curate(configured(generate={"when": "never"}))
    label(annotator="rubric", rubric={"temperature": 0})
    with pytest.raises(NoPreferencesError, match="5 both bad"):
        opened(sessions)


@on_sqlite
def test_policies_are_compared_on_held_out_prompts_or_on_a_source_without_the_trained_ones(settings, sessions):
    prefer(sessions, train=4, held_out=3)
    config = opened(sessions)
    known = chosen_prompts(train=4, held_out=3)

    def compared(**source):
        changed = config.model_copy(
            update={"evaluate": AlignConfig.model_validate({"evaluate": {"source": source}}).evaluate}
        )
        with sessions() as session:
            return [one.prompt.text for one in prompts_to_compare(session, changed, read_data(session, changed))]

    assert compared() == known[4:] and compared(limit=2) == known[4:6]
    fresh = demo_prompts("test")[:3]
    both = [ImportedRow(at, Prompt.from_text(text), ()) for at, text in enumerate([*known[:4], *fresh], start=1)]
    add(sessions, *both, name="fresh", content_hash="1" * 64)
    assert compared(name="fresh") == fresh
    assert compared(name="fresh", limit=2) == fresh[:2], "the trained prompts come first in the source"
    add(sessions, *both[:4], name="trained", content_hash="2" * 64)
    with pytest.raises(
        NothingToDoError, match=r"no prompt is left to measure on: 4 prompts that were trained on.*this run"
    ):
        compared(name="trained")


@on_sqlite
def test_a_limit_takes_the_first_preferences(settings, sessions):
    prefer(sessions, train=4, held_out=3)
    config = opened(sessions)
    with sessions() as session:
        limited = config.model_copy(update={"data": config.data.model_copy(update={"limit": 6})})
        parts = read_data(session, limited).parts
    assert (len(parts.train), len(parts.held_out)) == (4, 2)


@on_sqlite
def test_golden_responses_are_the_chosen_ones_or_the_references_of_a_source(settings, sessions):
    prefer(sessions, train=4, held_out=2)
    wanted = chosen_prompts(train=4, held_out=2)
    for golden in ("chosen", "references"):
        run_id = open_ld_align_run.fn(LdAlignConfig(golden=golden, model={"name": "demo"}))
        with sessions() as session:
            config = load_alignment(session, run_id)
            assert isinstance(config, LdAlignConfig) and config.golden == golden
            assert (config.data.snapshot is None) == (golden == "references")
            parts = read_data(session, config).golden
        assert prompt_texts(parts.train) == set(wanted[:4]) and prompt_texts(parts.held_out) == set(wanted[4:])
        assert all(row.text == reference_response(row.prompt.text) for row in parts.train)


@on_sqlite
def test_a_source_without_references_says_how_to_import_them(settings, sessions):
    add(sessions, ImportedRow(1, Prompt.from_text("Why?"), (ImportedResponse("So."),)))
    with pytest.raises(NothingToDoError, match=r"source any has no reference response.*--golden chosen"):
        open_ld_align_run.fn(LdAlignConfig(golden="references", model={"name": "demo"}))
