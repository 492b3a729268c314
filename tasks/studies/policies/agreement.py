"""How far annotators agree on the pairs that each arm trains on (REAL figure 3). Knows no training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from db.engine import Session
from db.labels import judgements, preferences
from models.intervals import Interval, share
from models.labelling.records import PairKey
from models.studies.certainty import MEANINGS, agreement_of
from models.studies.findings import IntervalPlot, Section, Table
from models.studies.noise import LEAST_PROMPTS
from models.studies.pool import Rows, owners
from models.studies.trials import Outcome
from tasks.studies.policies.trials import Workbench
from tasks.studies.trainings import Figures

TITLE = "Do annotators agree on what each arm trains on (REAL figure 3)?"
AGREEMENT = "agreement"  # among an outcome's figures: prompts, each one's mean share of equal votes, how many pairs
SECOND = "A second annotator makes it known: antipode label --annotator judge, or people, before the study."


class ArmAgreement(NamedTuple):
    """The share of equal votes on an arm's pairs, prompts and seeds together; None where fewer than 10 prompts say it.

    `pairs`: of a seed, those with votes of two annotators, on average; `of`: all that the arm trains on.
    """

    rate: Interval | None
    pairs: float
    of: float
    prompts: int


def agreement_by_pair(session: Session, pairs: Sequence[PairKey], annotators: Collection[str]) -> dict[PairKey, float]:
    """The share of equal votes on each of these pairs that two annotators or more have judged.

    Args:
        session: of the database.
        pairs: any.
        annotators: names of those whose votes count; empty: of all. The truth is nobody's vote.
    """
    everyone = judgements.annotators(session)
    named = judgements.find_annotators(session, list(annotators)) if annotators else list(everyone)
    votes = preferences.votes(session, pairs, of=sorted(id_ for id_ in named if everyone[id_].kind != "gold"))
    found = {pair: agreement_of(of_pair) for pair, of_pair in votes.items()}
    return {pair: value for pair, value in found.items() if value is not None}


def keys_of(bench: Workbench, rows: Rows) -> list[PairKey]:
    """Pairs (m, 2) of the pool by the ids of their responses."""
    ids = np.sort(np.asarray(bench.candidates.response_ids, dtype=np.int64)[rows], axis=1)
    return [PairKey(first, second) for first, second in ids.tolist()]


def agreement_figures(bench: Workbench, rows: Rows, agreement: Mapping[PairKey, float]) -> Figures:
    """What is known of pairs (m, 2), as JSON: prompts with a pair of two votes, and the mean agreement of each."""
    groups = owners(bench.candidates.pool, rows[:, 0]).tolist()
    by_prompt: dict[int, list[float]] = {}
    for group, pair in zip(groups, keys_of(bench, rows), strict=True):
        if pair in agreement:
            by_prompt.setdefault(bench.candidates.prompt_ids[group], []).append(agreement[pair])
    prompts = sorted(by_prompt)
    values = [round(float(np.mean(by_prompt[prompt])), 6) for prompt in prompts]
    return {AGREEMENT: {"prompts": prompts, "values": values, "pairs": sum(map(len, by_prompt.values()))}}


def agreement_by_arm(outcomes: Sequence[Outcome]) -> dict[str, ArmAgreement]:
    """What the outcomes say of each arm, in their order; arms of an earlier version, which kept nothing, are left out.

    A pair that several seeds draw counts each time, for its prompt: more seeds are no more prompts.
    """
    found = {}
    for arm in dict.fromkeys(one.trial.arm for one in outcomes):
        own = [one.figures for one in outcomes if one.trial.arm == arm and AGREEMENT in one.figures]
        if not own:
            continue
        prompts = [prompt for each in own for prompt in each[AGREEMENT]["prompts"]]
        values = [value for each in own for value in each[AGREEMENT]["values"]]
        count = len(set(prompts))
        found[arm] = ArmAgreement(
            share(values, prompts) if count >= LEAST_PROMPTS else None,
            float(np.mean([each[AGREEMENT]["pairs"] for each in own])),
            float(np.mean([each["labels"] for each in own])),
            count,
        )
    return found


def agreement_section(outcomes: Sequence[Outcome]) -> Section | None:
    """Each arm's agreement with its interval; where no pair has two votes, that, no figure. None: nothing was kept."""
    arms = agreement_by_arm(outcomes)
    if not arms:
        return None
    if not any(one.prompts for one in arms.values()):
        words = f"It cannot be said: no pair that an arm trains on has votes of two annotators. {SECOND}"
        return Section(TITLE, (words,))
    plotted = tuple((arm, one.rate) for arm, one in arms.items() if one.rate is not None)
    plot = IntervalPlot(
        "Agreement by arm",
        "Couples of votes that are equal (share)",
        plotted,
        "95 % intervals over prompts; every prompt counts the same.",
    )
    rows = tuple(
        (arm, _words(one.rate), f"{one.pairs:,.0f}", f"{one.of:,.0f}", f"{one.prompts:,}") for arm, one in arms.items()
    )
    table = Table(
        "Agreement on the pairs of each arm",
        ("arm", "agreement [95 %]", "pairs with two votes", "pairs", "prompts"),
        rows,
        note=f"Agreement: {MEANINGS['agreement']}, as the votes were when the arm was trained. Of fewer than "
        f"{LEAST_PROMPTS} prompts none is given. Pairs are those of a seed, prompts those of all seeds.",
    )
    words = "Similarity goes with length, and so does agreement: `antipode study noise` holds the length ratio."
    return Section(TITLE, (words,), (plot,) if plotted else (), (table,))


def _words(rate: Interval | None) -> str:
    return "–" if rate is None else f"{rate:.3f}"
