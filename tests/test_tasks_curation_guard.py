"""The guard's step: what it stores, what selection makes of it, and that it stores the same however often it runs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from curation_steps import configured, curate
from planted_replies import FOREIGN, planted_rows
from sqlalchemy import delete, text
from sqlalchemy import select as query
from stored_rows import add, row
from surroundings import on_sqlite

from db import embeddings, pairs, runs
from db.findings import guard_flags
from db.schema import curation
from flows.terminal.runs import show_pairs_of
from models.records import ImportedPair
from tasks.curation.guard import guard
from tasks.reports.run_page import write_run_report
from tasks.reports.run_publishing import summary_markdown

OWN = {"generate": {"when": "never"}, "select": {"strategies": ["easy"]}}
LOOP = "The soil is dry. " * 9
REFUSAL = "I am sorry, but as a language model I have no opinion on this."


def rows_with(*bad, count=9):
    """Prompts of the demo world with three good responses of their own and these beside them."""
    rows, _ = planted_rows(3 * count)
    good = [one for one in rows if one.row_number % 3][:count]
    return [
        row(number, one.prompt.text, *(response.text for response in one.responses[:3]), *bad)
        for number, one in enumerate(good, start=1)
    ]


def flags_of(sessions, run_id):
    """Which rules hold for what: text → rule → whether it is left out."""
    with sessions() as session:
        flag, response = curation.GuardFlag, curation.Response
        found = session.execute(
            query(response.text, flag.rule, flag.is_left_out)
            .join(response, response.id == flag.response_id)
            .where(flag.run_id == run_id)
        )
        flags = {}
        for words, rule, is_left_out in found:
            flags.setdefault(words, {})[rule] = is_left_out
        return flags


def paired_texts(sessions, run_id):
    with sessions() as session:
        selected = pairs.selected_pairs(session, run_id)
        return {words for pair in selected for words in (pair.first_response, pair.second_response)}


def test_what_is_not_worth_a_pair_is_in_none_and_is_listed_with_the_reason(settings, sessions, capsys):
    add(sessions, *rows_with(LOOP, REFUSAL, FOREIGN[0], " "))
    run_id = curate(configured(**OWN))
    found = flags_of(sessions, run_id)
    assert found[LOOP]["repetitive"] and found[REFUSAL] == {"boilerplate": True} and found[" "] == {"empty": True}
    assert found[FOREIGN[0]]["language"] and set(found) == {LOOP, REFUSAL, FOREIGN[0], " "}
    assert not paired_texts(sessions, run_id) & found.keys()
    with sessions() as session:
        listed = session.execute(text("SELECT * FROM left_out_candidates ORDER BY rule, response_id")).mappings().all()
        counts = guard_flags.guard_counts(session, run_id)
    one = next(entry for entry in listed if entry["response"] == REFUSAL)
    assert (one["run_id"], one["rule"], one["reason"]) == (run_id, "boilerplate", "stands under many prompts")
    assert one["value"] == 9 and one["prompt"] and one["model"] == "model-4"
    assert counts.left_out == 36 and counts.marked == 0 and len(listed) == sum(each.left_out for each in counts.rules)
    assert "guard: 36 responses left out of the pairing (empty 9, " in capsys.readouterr().err


def test_the_end_of_a_run_tells_what_was_left_out(settings, sessions, capsys):
    add(sessions, *rows_with(LOOP, REFUSAL))
    run_id = curate(configured(**OWN, guard={"off": ["repetitive"]}))
    show_pairs_of(run_id, settings)
    with sessions() as session:
        counts = guard_flags.guard_counts(session, run_id)
        summary = runs.summaries(session, run_id)[0]
    assert counts.words in capsys.readouterr().out
    assert counts.words == "18 responses left out of the pairing (boilerplate 18)", "the loop stands everywhere too"
    page = write_run_report(run_id, settings).read_text("utf-8")
    assert "Responses not worth a pair" in page and "stands under many prompts" in page and "only marked, under" in page
    told = summary_markdown(summary, settings.artifact_root, None, settings, guarded=counts)
    assert "| repetitive: repeats itself | 0 | 9 |" in told


@on_sqlite
def test_a_run_without_a_guard_selects_from_all_and_counts_all_the_same(settings, sessions):
    add(sessions, *rows_with(LOOP, REFUSAL))
    run_id = curate(configured(**OWN, guard={"none": True}))
    found = flags_of(sessions, run_id)
    assert found[LOOP]["repetitive"] is False and found[REFUSAL] == {"boilerplate": False}
    assert paired_texts(sessions, run_id) & {LOOP, REFUSAL}
    guarded = curate(configured(**OWN))
    assert flags_of(sessions, guarded)[REFUSAL] == {"boilerplate": True}
    assert not paired_texts(sessions, guarded) & {LOOP, REFUSAL}
    assert found == {words: dict.fromkeys(rules, False) for words, rules in flags_of(sessions, guarded).items()}


@on_sqlite
def test_two_stay_where_all_are_bad(settings, sessions):
    worse = LOOP + " " + "Very dry. " * 9
    add(sessions, *rows_with(), row(99, "What of my cactus, and why?", LOOP, worse, REFUSAL, "I do not know. " * 30))
    run_id = curate(configured(**OWN))
    found = flags_of(sessions, run_id)
    assert [found[words]["repetitive"] for words in (LOOP, worse, "I do not know. " * 30)].count(True) == 2
    assert REFUSAL not in found and REFUSAL in paired_texts(sessions, run_id)
    with sessions() as session:
        assert runs.skip_counts(session, run_id) == {}


@on_sqlite
def test_cut_responses_are_told_by_their_own_switch(settings, sessions):
    add(sessions, row(1, "bread and rye"), row(2, "tea with milk"), row(3, "a cat in the wood"))
    cut = {"generate": {"max_tokens": 33, "responses_per_prompt": 6}}
    for has_cut in (False, True):
        run_id = curate(configured(**cut, select={"has_cut": has_cut}))
        with sessions() as session:
            flag = curation.GuardFlag
            stored = session.scalars(query(flag.is_left_out).filter_by(run_id=run_id, rule="cut")).all()
            assert len(stored) == runs.summaries(session, run_id)[0].cut_responses > 0
            assert set(stored) == {not has_cut}


def stored_flags(sessions, run_id):
    with sessions() as session:
        flag = curation.GuardFlag
        columns = (flag.response_id, flag.rule, flag.value, flag.is_left_out)
        return sorted(session.execute(query(*columns).where(flag.run_id == run_id)).tuples())


def test_the_step_stores_the_same_again_and_beside_other_runs(settings, sessions):
    add(sessions, *rows_with(LOOP, REFUSAL))
    run_id = curate(configured(**OWN))
    stored = stored_flags(sessions, run_id)
    guard.fn(run_id)
    assert stored_flags(sessions, run_id) == stored
    with sessions.begin() as session:  # as a run that was killed between two pages
        kept = stored[: len(stored) // 2]
        session.execute(
            delete(curation.GuardFlag).where(curation.GuardFlag.response_id.not_in([entry[0] for entry in kept]))
        )
    others = [
        row(number, f"Another question, number {number}?", REFUSAL, LOOP, "And this.") for number in range(20, 40)
    ]
    add(sessions, *others, name="others", content_hash="1" * 64)
    curate(configured(**OWN, source={"name": "others"}))
    guard.fn(run_id)
    assert stored_flags(sessions, run_id) == stored


@on_sqlite
def test_boilerplate_is_found_without_the_index_and_more_than_a_page_of_it(settings, sessions, monkeypatch):
    add(sessions, *rows_with(LOOP, REFUSAL))
    run_id = curate(configured(**OWN))
    stored = stored_flags(sessions, run_id)
    shutil.rmtree(settings.artifact_root / "indexes")
    monkeypatch.setattr("tasks.curation.guard._QUERY_BYTES", 4 * 4 * 512)
    monkeypatch.setattr("tasks.curation.guard.PROMPTS_PER_PAGE", 2)
    guard.fn(run_id)
    assert stored_flags(sessions, run_id) == stored and "boilerplate" in str(stored)
    assert not (settings.artifact_root / "indexes").exists()


@on_sqlite
def test_a_refusal_under_few_prompts_and_a_short_answer_under_many_stay(settings, sessions):
    add(sessions, *rows_with(REFUSAL, "Once a week.", count=5))
    assert flags_of(sessions, curate(configured(**OWN))) == {}
    few = configured(**OWN, guard={"boilerplate_prompts": 4})
    assert flags_of(sessions, curate(few)) == {REFUSAL: {"boilerplate": True}}


def source_rows():
    both = [
        (f"A fine answer to {number}.", LOOP if number == 2 else f"Another one, {number}!") for number in range(1, 5)
    ]
    return [
        replace(row(number, f"Prompt {number}?", *texts), pairs=(ImportedPair(0, 1),))
        for number, texts in enumerate(both, 1)
    ]


def test_pairs_that_sources_made_are_marked_and_left_out_only_if_told_so(settings, sessions, capsys):
    add(sessions, *source_rows())
    scope = {"scope": "source_pairs", "strategies": ["easy"], "share": 1.0}
    marked = curate(configured(generate={"when": "never"}, select=scope))
    assert flags_of(sessions, marked) == {LOOP: {"repetitive": False}} and LOOP in paired_texts(sessions, marked)
    capsys.readouterr()
    run_id = curate(configured(generate={"when": "never"}, select=scope, guard={"has_source_pairs": True}))
    assert flags_of(sessions, run_id) == {LOOP: {"repetitive": True}}
    with sessions() as session:
        assert [pair.prompt_id for pair in pairs.selected_pairs(session, run_id)] == [1, 3, 4]
        assert guard_flags.left_out_source_pairs(session, run_id) == 1
    assert "with them 1 pairs that sources made" in capsys.readouterr().err
    none = curate(configured(generate={"when": "never"}, select=scope, guard={"has_source_pairs": True, "none": True}))
    assert LOOP in paired_texts(sessions, none)


@on_sqlite
def test_a_source_pair_with_the_text_of_one_that_is_left_out_is_counted_with_it(settings, sessions):
    texts = (LOOP, "A fine answer.", LOOP, "Another one, as good.")
    add(sessions, replace(row(1, "Why?", *texts), pairs=(ImportedPair(0, 1), ImportedPair(1, 2), ImportedPair(1, 3))))
    scope = {"scope": "source_pairs", "strategies": ["easy"], "share": 1.0}
    run_id = curate(configured(generate={"when": "never"}, select=scope, guard={"has_source_pairs": True}))
    with sessions() as session:
        assert len(list(pairs.selected_pairs(session, run_id))) == 1
        assert guard_flags.left_out_source_pairs(session, run_id) == 2


@on_sqlite
@pytest.mark.parametrize("texts", [(), ("only one",), ("", " "), ("\x1b[31m", "\u202e", "<script>")])
def test_odd_runs_pass(settings, sessions, texts):
    add(sessions, row(1, "Why?", *texts), row(2, "And why?", "one", "another"))
    run_id = curate(configured(**OWN))
    with sessions() as session:
        assert runs.summaries(session, run_id)[0].pairs >= 1
        embedder = embeddings.embedder_of_run(session, run_id)
        whole = embeddings.vector_locations(session, run_id, embedder.id, [1, 2], has_guarded=True)
        assert set(embeddings.vector_locations(session, run_id, embedder.id, [1, 2])) <= set(whole)
    write_run_report(run_id, settings)
