"""Held out means held out: by dialogue, in every later run, and from everything that a policy began with."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from installed import installed
from stored_rows import add
from surroundings import REAL_DATA

from db import evaluations, policies, prompt_uses, runs
from db.prompts import select_prompt_ids, stored_prompts
from models.evaluation.measurements import Measurements
from models.exchange import PreferenceRow
from models.ingestion import read_source
from models.records import ImportedRow, Message, Prompt, content_key
from tasks.alignment.data import compared_prompts, data_of, is_held_out
from tasks.alignment.lineage import lineage_of
from tasks.config.alignment import AlignConfig
from tasks.errors import NothingToDoError
from tasks.named_models import policy_name

SPLITS = {3: "train", 7: "test_prefs", 11: "validation"}

words = st.text(max_size=12)
shares = st.floats(0.02, 0.98)


def dialogue(*turns, system=None):
    """A prompt of these turns, the first one the user's, then by turns."""
    spoken = [Message("assistant" if at % 2 else "user", turn) for at, turn in enumerate(turns)]
    return Prompt((*([Message("system", system)] if system is not None else []), *spoken))


@given(words, st.lists(st.tuples(words, words), max_size=3), st.none() | words, shares)
def test_prompts_that_share_the_first_turn_fall_on_the_same_side(first, further, system, share):
    longer = dialogue(first, *(turn for pair in further for turn in pair), system=system)
    assert longer.first_turn_key == Prompt.from_text(first).key
    assert is_held_out(longer, None, share) == is_held_out(Prompt.from_text(first), None, share)


@given(words, shares)
def test_a_prompt_of_one_turn_stays_on_the_side_it_was_on_when_the_whole_prompt_was_hashed(text, share):
    prompt = Prompt.from_text(text)
    by_the_whole = int(content_key("held out", prompt.key)[:16], 16) < int(share * 16**16)
    assert is_held_out(prompt, None, share) == by_the_whole


@pytest.mark.real_data
def test_no_dialogues_of_real_data_that_begin_alike_are_parted():
    path = REAL_DATA / "hh_rlhf_harmless_base_test.jsonl.gz"
    rows = read_source(str(path), format=None, split="train", limit=None)
    prompts = {row.prompt for row in rows if isinstance(row, ImportedRow)}
    sides, by_whole_prompt = {}, {}
    for prompt in prompts:
        first = next(message.content for message in prompt.messages if message.role == "user")
        sides.setdefault(first, []).append(is_held_out(prompt, None, 0.1))
        whole = Prompt.from_text(prompt.text)  # as it was: every dialogue on a side of its own
        by_whole_prompt.setdefault(first, []).append(is_held_out(whole, None, 0.1))
    shared = {first for first, found in sides.items() if len(found) > 1}
    assert len(shared) > 50 and all(len(set(found)) == 1 for found in sides.values())
    assert any(len(set(found)) > 1 for found in by_whole_prompt.values())
    assert 0.07 < sum(found[0] for found in sides.values()) / len(sides) < 0.13


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Dialogues of 14 first turns, some of a test split, in SQLite: sessions."""
    with installed(tmp_path_factory.mktemp("dialogues")) as (_, sessions):
        prompts = [
            dialogue(f"first {group}", *(["and then?", "more"] * at))
            for group in range(14)
            for at in range(1 + group % 3)
        ]
        add(sessions, *(ImportedRow(at, one, split=SPLITS.get(at)) for at, one in enumerate(prompts, start=1)))
        yield sessions


class History:
    """Trainings one after the other in one transaction, which is not kept: what each trained on and measured on."""

    def __init__(self, session):
        self.session = session
        self.prompts = stored_prompts(session, select_prompt_ids(session, source=None, split=None, limit=None))
        self.rows = [self.preference(one) for one in self.prompts]
        self.policies = []

    @staticmethod
    def preference(one):
        return PreferenceRow(
            prompt=one.prompt, chosen="yes", rejected="no", chosen_model=None, rejected_model=None, prompt_id=one.id,
            chosen_response_id=1, rejected_response_id=2, run_id=None, strategies=(), similarity=None, rule="majority",
            support=1.0, vote_count=1, split=None,
        )  # fmt: skip

    def data(self, share, start, run_id=None):
        name = "demo" if start is None else policy_name(start)
        config = AlignConfig.model_validate({"model": {"name": name}, "data": {"held_out_share": share}})
        return config, data_of(self.session, config, self.rows, "the data", run_id)

    def train(self, share, start=None):
        """A policy that this share is held out from; what it trained on and what is left to measure it on."""
        config, data = self.data(share, start)
        key = f"{len(self.policies):064}"
        run_id = runs.open_run(self.session, kind=runs.ALIGN, name="run", config={}, config_key=key, code_version="0")
        train = {row.prompt_id for row in data.parts.train}
        held_out = {row.prompt_id for row in data.parts.held_out} | data.seen
        prompt_uses.add_uses(self.session, run_id, train=train, held_out=held_out)
        policy = policies.open_policy(
            self.session, key=key, name="policy", method="dpo", round=1, run_id=run_id, start_model=config.model.name,
            start_fingerprint=f"start {start}", parent_id=start, snapshot_id=None, data_hash="0" * 64, settings={},
            code_version="0", library_versions={},
        )  # fmt: skip
        policies.finish_policy(
            self.session, policy.id, folder=key, fingerprint=key, seconds=1.0, peak_memory_bytes=1, metrics={}
        )
        self.policies.append(policy.id)
        return policy.id, config, data


def first_turns(rows):
    return {row.prompt.first_turn_key for row in rows}


@trying(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.05, 0.7), st.integers(0, 5)), min_size=2, max_size=5))
def test_through_all_rounds_nothing_measured_was_trained_on_and_nothing_held_out_is_trained_on_later(database, rounds):
    with database() as session:
        history = History(session)
        of_policy, ever_held_out = {}, set()
        for share, number in rounds:
            start = ([None, *history.policies])[number % (1 + len(history.policies))]
            try:
                policy_id, config, data = history.train(share, start)
            except NothingToDoError:
                continue
            trained, measured = first_turns(data.parts.train), first_turns(data.parts.held_out)
            line = trained | of_policy.get(start, set())
            assert not measured & line, "neither it nor what it began with was trained on what it is measured on"
            assert not trained & ever_held_out, "what was held out from any policy stays held out"
            assert {history.rows[6].prompt.first_turn_key, history.rows[10].prompt.first_turn_key}.isdisjoint(trained)
            compared = compared_prompts(session, config, data, lineage_of(session, [policy_id]))
            assert {one.prompt.first_turn_key for one in compared.prompts} == measured
            assert lineage_of(session, [policy_id]).first_turns == line
            ever_held_out |= measured | {one.prompt.first_turn_key for one in history.prompts if one.id in data.seen}
            of_policy[policy_id] = line


def test_a_lower_share_trains_on_nothing_that_was_held_out(database):
    with database() as session:
        history = History(session)
        _, _, before = history.train(0.6)
        _, _, after = history.train(0.05)
        assert first_turns(before.parts.held_out) == first_turns(after.parts.held_out)
        assert first_turns(before.parts.train) == first_turns(after.parts.train)


def test_what_a_run_held_out_that_came_to_no_policy_does_not_count(database):
    with database() as session:
        history = History(session)
        policy_id, _, before = history.train(0.6)
        policies.fail_policy(session, policy_id, "no memory")
        _, _, after = history.train(0.05)
        assert len(first_turns(after.parts.held_out)) < len(first_turns(before.parts.held_out))


def test_what_a_run_measured_a_policy_on_that_it_found_trained_counts(database):
    with database() as session:
        history = History(session)
        policy_id, _, before = history.train(0.05)
        key = "e" * 64
        run_id = runs.open_run(session, kind=runs.ALIGN, name="again", config={}, config_key=key, code_version="0")
        _, more = history.data(0.6, None)
        held_out = {row.prompt_id for row in more.parts.held_out}
        prompt_uses.add_uses(session, run_id, train=(), held_out=held_out)
        evaluation_id = evaluations.open_evaluation(
            session, key=key, run_id=run_id, policy_id=policy_id, baseline_id=None, baseline_model="demo", settings={}
        )
        _, unmeasured = history.data(0.05, None)
        assert first_turns(unmeasured.parts.held_out) == first_turns(before.parts.held_out)
        evaluations.finish_evaluation(session, evaluation_id, Measurements())
        _, after = history.data(0.05, None)
        assert first_turns(after.parts.held_out) == first_turns(more.parts.held_out)


def test_where_all_is_of_a_test_split_it_says_how_to_train_on_it(database):
    with database() as session:
        history = History(session)
        history.rows = [row._replace(split="test_prefs") for row in history.rows]
        with pytest.raises(NothingToDoError, match=r"only measured on \(test_prefs\).*import FILE --split train$"):
            history.data(0.1, None)
        history.rows = [row._replace(split=None) for row in history.rows]
        with pytest.raises(NothingToDoError, match=r"change --data\.held_out_share 1e-09"):
            history.rows = history.rows[:1]
            history.data(1e-9, None)


def test_a_higher_share_measures_on_nothing_that_the_line_was_trained_on(database):
    with database() as session:
        history = History(session)
        first, _, before = history.train(0.05)
        _, _, of_line = history.train(0.7, first)
        assert of_line.seen and not first_turns(of_line.parts.held_out) & first_turns(before.parts.train)
        assert f"left out {len(of_line.seen)} prompts that were trained on" in of_line.held_out_words
        assert f"by policy {first}" in of_line.held_out_words
        _, _, of_another = history.train(0.7)
        assert not of_another.seen and len(of_another.parts.held_out) > len(of_line.parts.held_out)


def test_where_nothing_is_left_it_says_who_was_trained_on_it(database):
    with database() as session:
        history = History(session)
        low = [row for row in history.rows if not is_held_out(row.prompt, None, 0.05)]
        first, *_ = history.train(0.05)
        trained = lineage_of(session, [first]).first_turns
        history.rows = [row for row in low if row.prompt.first_turn_key in trained]
        with pytest.raises(NothingToDoError, match=rf"0 to measure on.*left out \d+ prompts.*by.*policy {first}"):
            history.data(0.5, first)


def test_models_are_compared_on_what_neither_line_was_trained_on(database):
    with database() as session:
        history = History(session)
        first, *_ = history.train(0.05)
        second, config, data = history.train(0.6)
        alone = compared_prompts(session, config, data, lineage_of(session, [second]))
        both = compared_prompts(session, config, data, lineage_of(session, [second, first]))
        assert both.left_out and len(both.prompts) == len(alone.prompts) - both.left_out
        seen = lineage_of(session, [first]).first_turns | lineage_of(session, [second]).first_turns
        assert not {one.prompt.first_turn_key for one in both.prompts} & seen
        assert f"policies {first}, {second}" in both.words


def test_a_policy_whose_prompts_are_not_known_is_named(database):
    with database() as session:
        history = History(session)
        first, *_ = history.train(0.2)
        session.query(prompt_uses.PromptUse).delete()
        _, data = history.data(0.2, first)
        assert data.held_out_words.endswith(f"what policy {first} was trained on is not known")


def test_a_model_of_the_same_content_as_a_policy_is_that_policy(database):
    with database() as session:
        history = History(session)
        first, *_ = history.train(0.2)
        copied, *_ = history.train(0.2)
        row = session.get(policies.Policy, copied)
        row.start_fingerprint = policies.get_policy(session, first).fingerprint
        session.flush()
        assert [one.id for one in policies.ancestry(session, copied)] == [copied, first]


def test_a_split_once_fixed_stays_whatever_is_held_out_later(database):
    with database() as session:
        history = History(session)
        first, _, before = history.train(0.1)
        history.train(0.7)
        _, again = history.data(0.1, None, policies.get_policy(session, first).run_id)
        assert (again.parts, again.seen) == (before.parts, before.seen)


def test_dialogues_of_a_test_split_take_those_that_begin_like_them_with_them(database):
    with database() as session:
        history = History(session)
        _, data = history.data(1e-9, None)
        held_out = {row.prompt_id for row in data.parts.held_out}
        assert len(held_out) > len(first_turns(data.parts.held_out)) == 2
        same = combinations(history.rows, 2)
        assert all(
            (one.prompt_id in held_out) == (other.prompt_id in held_out)
            for one, other in same
            if one.prompt.first_turn_key == other.prompt.first_turn_key
        )
