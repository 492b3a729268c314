"""Runs of before the ledger get their rows by the rule that held then, and what is not known stays unknown."""

from __future__ import annotations

from alignment_world import IMPOLITE
from curation_steps import configured, curate
from labelling_steps import label
from stored_policies import finish, open_align_run, open_policy
from stored_rows import add

from db import policies, prompt_uses
from db.migrations import downgrade, known_revisions, upgrade
from db.prompts import select_prompt_ids, stored_prompts
from models.demo.corpus import demo_prompts, reference_response
from models.records import ImportedResponse, ImportedRow, Message, Prompt, content_key
from tasks.alignment import opening
from tasks.alignment.data import read_data
from tasks.alignment.lineage import lineage_of
from tasks.config.alignment import AlignConfig
from tasks.config.rounds import LdAlignConfig
from tasks.run_kinds import load_alignment

SHARE = 0.3
BEFORE = known_revisions()[known_revisions().index("0009") - 1]


def old_rule(prompt, split):
    return split in {"test", "dev"} or int(content_key("held out", prompt.key)[:16], 16) < int(SHARE * 16**16)


def dialogues():
    """Prompts of one turn and of three, which begin alike in twos."""
    for text in demo_prompts("train")[:12]:
        yield Prompt.from_text(text)
        turns = (Message("user", text), Message("assistant", "Well."), Message("user", demo_prompts("test")[0]))
        yield Prompt(turns)


def test_the_ledger_of_old_runs_is_filled_and_those_that_do_not_say_stay_unknown(settings, sessions):
    splits = ["train", "test_prefs", "test", "dev", None]
    rows = [
        ImportedRow(
            number,
            prompt,
            (
                ImportedResponse(reference_response(prompt.messages[0].content), is_reference=True, score=2.0),
                ImportedResponse(IMPOLITE, score=1.0),
            ),
            split=splits[number % len(splits)],
        )
        for number, prompt in enumerate(dialogues(), start=1)
    ]
    add(sessions, *rows)
    curate(configured(source={"has_references": True}, generate={"when": "never"}))
    label(annotator="scores")
    data = {"held_out_share": SHARE}
    aligned = opening.open_align_run.fn(AlignConfig.model_validate({"model": {"name": "demo"}, "data": data}))
    in_rounds = [
        opening.open_ld_align_run.fn(LdAlignConfig(model={"name": "demo"}, golden=golden, data=data))
        for golden in ("chosen", "references")
    ]
    unknown = open_align_run(sessions)
    policy = open_policy(sessions, unknown, "p")
    finish(sessions, policy.id)
    with sessions() as session:
        engine = session.get_bind()
        before = stored_prompts(session, select_prompt_ids(session, source=None, split=None, limit=None))
        split_of = {row.prompt.key: row.split for row in rows}
        wanted = {one.id: "held_out" if old_rule(one.prompt, split_of[one.prompt.key]) else "train" for one in before}
    downgrade(engine, BEFORE)
    upgrade(engine)
    with sessions() as session:
        for run_id in (aligned, in_rounds[0]):
            assert prompt_uses.uses_of(session, run_id) == wanted
        of_references = prompt_uses.uses_of(session, in_rounds[1])
        assert of_references == {id_: role for id_, role in wanted.items() if id_ in of_references}
        assert set(of_references.values()) == {"train", "held_out"}
        assert prompt_uses.uses_of(session, unknown) == {}
        assert lineage_of(session, [policy.id]).unknown == (policy.id,)
        stored = dict(session.query(policies.Policy.metadata.tables["prompts"].c["id", "first_turn_key"]).all())
        assert stored == {one.id: one.prompt.first_turn_key for one in before}
        data = read_data(session, load_alignment(session, aligned), aligned)
        assert {row.prompt_id for row in data.parts.train} == {id_ for id_, role in wanted.items() if role == "train"}
        turns = {row.prompt.first_turn_key for row in data.parts.train}
        assert data.seen and not turns & {row.prompt.first_turn_key for row in data.parts.held_out}
