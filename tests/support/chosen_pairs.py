"""Pairs that strategies chose at random, some flagged, some labelled: by people, by a judge in both orders."""

from __future__ import annotations

import itertools
import random

from sqlalchemy import insert
from stored_labels import ANNA, BEN
from stored_rows import add, all_prompt_ids, ids_by_text, open_run, row

from db.labels import judgements
from db.pairs import add_pairs
from db.schema.curation import GuardFlag
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey
from models.records import Pair

JUDGE = AnnotatorIdentity("judge", "judge", has_both_orders=True)
STRATEGIES = ("easy", "hard", "random")
VERDICTS = ("first", "second", "tie", "both_bad", "skip")


def store_chosen(sessions, *, prompts=6, size=4, seed=0):
    """Two runs on the same responses; per run its pairs by strategy, its flagged responses, and every judgement."""
    draw = random.Random(seed)
    texts = [[f"{number}.{at} " + "x" * draw.randint(0, 9) for at in range(size)] for number in range(prompts)]
    add(sessions, *(row(number + 1, f"prompt {number}", *texts[number]) for number in range(prompts)))
    ids, prompt_ids = ids_by_text(sessions), all_prompt_ids(sessions)
    groups = [sorted(ids[text] for text in group) for group in texts]
    run_ids = [open_run(sessions, prompt_ids, key=key * 64) for key in "ab"]
    chosen = {run_id: _choose(draw, prompt_ids, groups) for run_id in run_ids}
    flagged = {run_id: {id_ for group in groups for id_ in group if draw.random() < 0.2} for run_id in run_ids}
    with sessions.begin() as session:
        for run_id in run_ids:
            add_pairs(session, run_id, [pair for pairs in chosen[run_id].values() for pair in pairs])
            of_prompt = {id_: prompt_id for prompt_id, group in zip(prompt_ids, groups, strict=True) for id_ in group}
            flags = [
                {"run_id": run_id, "response_id": id_, "prompt_id": of_prompt[id_], "rule": rule, "value": 1.0,
                 "is_left_out": rule == "cut"}
                for id_ in flagged[run_id] for rule in ("cut", "outlier")
            ]  # fmt: skip
            if flags:
                session.execute(insert(GuardFlag), flags)
        judged = _judge(session, draw, groups)
    return chosen, flagged, judged, {id_: text for text, id_ in ids.items()}


def _choose(draw, prompt_ids, groups):
    return {
        strategy: [
            Pair(strategy, prompt_id, *draw.choice(list(itertools.combinations(group, 2))), draw.random(), 1, 6)
            for prompt_id, group in zip(prompt_ids, groups, strict=True)
        ]
        for strategy in STRATEGIES
    }


def _judge(session, draw, groups):
    """(identity, judgement) of every judgement, stored."""
    stored = []
    for identity in (ANNA, BEN, JUDGE):
        annotator_id = judgements.add_annotator(session, identity)
        own = []
        for pair in (PairKey(*two) for group in groups for two in itertools.combinations(group, 2)):
            if draw.random() < 0.5:
                continue
            if identity is JUDGE:
                sides = pair if draw.random() < 0.8 else pair[:1]
                own += [Judgement(pair, left, draw.choice((*VERDICTS[:3], "unparsed"))) for left in sides]
            else:
                own.append(Judgement(pair, pair[0], draw.choice(VERDICTS)))
        judgements.add_judgements(session, annotator_id, own)
        stored += [(identity, judgement) for judgement in own]
    return stored
