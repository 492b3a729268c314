"""The system prompt of a run is part of the prompts that it samples for, wherever they are read afterwards."""

from __future__ import annotations

from curation_steps import configured, curate
from labelling_steps import pair_keys
from sqlalchemy import select as query
from sqlalchemy import update
from stored_labels import ANNA, judge, rows_of, take_snapshot
from stored_rows import add, all_prompt_ids, row

from db import prompts, runs
from db.labels import snapshot_facts
from db.labels.snapshots import splits_of
from db.pairs import selected_pairs
from db.samples import references
from db.schema import curation
from models.records import ImportedResponse, ImportedRow, Message, Prompt
from tasks.config.curation import SourceConfig
from tasks.curation.choices import chosen_prompts
from tasks.curation.estimate import estimate_curation
from tasks.curation.opening import open_run

TOLD = {"generate": {"system_prompt": "Be brief."}}
OWN = Prompt((Message("system", "Rhyme."), Message("user", "Sing of tea")))


def under(text):
    return Prompt((Message("system", "Be brief."), Message("user", text)))


def run_prompts(sessions, run_id):
    with sessions() as session:
        ids = prompts.run_prompt_ids(session, run_id)
        return {stored.prompt: stored.id for stored in prompts.stored_prompts(session, ids)}


def test_a_run_works_on_the_prompts_under_its_system_prompt_but_for_those_that_bring_their_own(settings, sessions):
    add(sessions, row(1, "Why is bread brown?"), ImportedRow(2, OWN))
    run_id = curate(configured(**TOLD))
    assert set(run_prompts(sessions, run_id)) == {under("Why is bread brown?"), OWN}
    with sessions() as session:
        assert {pair.prompt for pair in selected_pairs(session, run_id)} <= {
            "System: Be brief.\n\nUser: Why is bread brown?", OWN.text
        }  # fmt: skip
        sampled = session.scalars(query(curation.Response.prompt_id).distinct()).all()
    assert set(sampled) == set(run_prompts(sessions, run_id).values())


def test_prompts_that_are_not_sampled_for_stay_as_they_are(settings, sessions):
    add(sessions, row(1, "own", "one", "two"), row(2, "none"))
    run_id = curate(configured(**TOLD))
    assert set(run_prompts(sessions, run_id)) == {Prompt.from_text("own"), under("none")}


def test_responses_that_were_not_written_under_it_are_no_candidates_and_this_is_told(settings, sessions, capsys):
    add(sessions, row(1, "own", "one", "two"))
    run_id = curate(configured(generate=TOLD["generate"] | {"when": "always"}))
    assert "1 prompts brought responses that were not written under generate.system_prompt" in capsys.readouterr().err
    with sessions() as session:
        texts = session.scalars(
            query(curation.Response.text)
            .join(curation.Candidate, curation.Candidate.response_id == curation.Response.id)
            .where(curation.Candidate.run_id == run_id)
        ).all()
    assert len(texts) == 4 and not {"one", "two"} & set(texts)


def test_references_that_were_to_be_paired_and_are_no_candidates_are_told_too(settings, sessions, capsys):
    reference = ImportedResponse("Because.", is_reference=True)
    add(sessions, ImportedRow(1, Prompt.from_text("Why?"), (reference,)))
    curate(configured(**TOLD))
    assert "not written under" not in capsys.readouterr().err
    curate(configured(**TOLD, source={"has_references": True}))
    assert "1 prompts brought responses that were not written under generate.system_prompt" in capsys.readouterr().err


def test_a_card_counts_the_prompts_of_a_source_under_a_system_prompt_as_its_own(settings, sessions):
    add(sessions, row(1, "Why is bread brown?"))
    run_id = curate(configured(**TOLD))
    for pair in pair_keys(sessions, run_id):
        judge(sessions, ANNA, pair, "first")
    snapshot_id = take_snapshot(sessions, rows_of(sessions, run_id))
    with sessions() as session:
        assert snapshot_facts.count_rows(session, snapshot_id).sources == {"source": 1}


def test_what_a_run_made_of_a_prompt_is_no_prompt_of_the_next_run_unless_it_was_imported(settings, sessions):
    add(sessions, row(1, "Why?"))
    ids = all_prompt_ids(sessions)
    curate(configured(**TOLD))
    assert all_prompt_ids(sessions) == ids
    with sessions() as session:
        assert chosen_prompts(session, SourceConfig()) == ids
    add(sessions, ImportedRow(1, under("Why?")), name="other", content_hash="1" * 64)
    assert len(all_prompt_ids(sessions)) == 2


def test_its_split_and_reference_are_those_of_the_prompt_that_it_was_made_of(settings, sessions):
    reference = ImportedResponse("Because.", is_reference=True)
    add(sessions, ImportedRow(1, Prompt.from_text("Why?"), (reference,), split="test"))
    run_id = curate(configured(**TOLD))
    (made,) = run_prompts(sessions, run_id).values()
    (original,) = all_prompt_ids(sessions)
    with sessions() as session:
        assert splits_of(session, [made, original]) == {made: "test", original: "test"}
        (found,) = references(session, [made])
        assert (found.text, found.prompt_id, found.prompt) == ("Because.", made, under("Why?"))
        assert [one.prompt_id for one in references(session, [original])] == [original]
        assert prompts.first_turns(session, [made, original]).keys() == {made, original}
        assert len(set(prompts.first_turns(session, [made, original]).values())) == 1


def test_the_same_command_again_samples_nothing_and_the_estimate_says_so(settings, sessions):
    add(sessions, row(1, "Why is bread brown?"))
    config = configured(**TOLD)
    figures = {figure.name: figure.value for figure in estimate_curation(config, settings).figures}
    assert (figures["responses stored"], figures["responses to sample"]) == (0, 4)
    assert curate(config) != curate(config), "the first was completed"
    with sessions() as session:
        assert len(session.scalars(query(curation.Response)).all()) == 4
    figures = {figure.name: figure.value for figure in estimate_curation(config, settings).figures}
    assert (figures["responses stored"], figures["responses to sample"]) == (4, 0)


def test_a_run_that_an_earlier_version_opened_goes_on_with_the_prompts_it_began_with(settings, sessions):
    add(sessions, row(1, "Why is bread brown?"))
    config = configured(**TOLD)
    run_id = open_run.fn(config)
    (original,) = all_prompt_ids(sessions)
    with sessions.begin() as session:
        session.execute(update(curation.RunPrompt).values(prompt_id=original))
    assert curate(config) == run_id
    with sessions() as session:
        assert set(session.scalars(query(curation.Response.prompt_id))) == {original}
        assert runs.get_run(session, run_id).status == "completed"
