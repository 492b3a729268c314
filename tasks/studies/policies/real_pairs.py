"""`real-pairs`: pairs that exist, ranked by the similarity of their responses; a policy on a share each (REAL 5.2).

Those of held-out prompts are in no ranking. As in the paper, `easy` takes the least similar share of all pairs, `hard`
the most similar one, `random` any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.selection import rank_pairs
from models.studies.findings import Findings, Section, Table
from models.studies.pool import Rows, owners
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.settings import Settings
from tasks.studies.policies.agreement import agreement_by_pair, agreement_figures, agreement_section, keys_of
from tasks.studies.policies.choosing import arms_of, checked, rules_by_arm, with_papers_arms
from tasks.studies.policies.findings import findings_of
from tasks.studies.policies.trials import Workbench, carry_out_on
from tasks.studies.study import Study, StudyAtWork

COMPARED = ("win_rate", "like_length_win_rate", "margin", "accuracy", "chosen_reward")
QUESTION = "Of labelled pairs, do the less similar ones make a better policy than as many at random (REAL 5.2)?"


def check(config: StudyConfig, settings: Settings) -> StudyConfig:
    """The configuration with its run by its id, if there are pairs to rank and each strategy can rank them.

    Raises:
        LookupError: If there is no such run.
        ValueError: If a strategy is unknown or chooses among several candidates, or there is no label.
        NothingToDoError: If there is nothing to measure on.
    """
    config = with_papers_arms(config, ("easy", "hard"), labels=("stored",))
    rules = rules_by_arm(config)
    if several := [name for name, rule in rules.items() if rule.needs_several]:
        raise ValueError(
            f"strategies: {several[0]} chooses among several candidates, a given pair has two; name others, such as "
            "--strategies easy,hard"
        )
    return checked(config, settings, needs_labels=True)


def trials(study: StudyAtWork) -> list[Trial]:
    """Every ranking under every seed."""
    config = study.config
    return [
        Trial(arm, annotator, seed=seed)
        for seed in config.all_seeds
        for annotator in config.labels
        for arm in arms_of(config)
    ]


def carry_out(study: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Outcome]:
    """Train and measure a policy for each trial."""
    bench, rules = Workbench(study), rules_by_arm(study.config)

    def chosen(trial: Trial) -> Rows:
        rows = given_pairs(bench)
        pool = bench.candidates.pool
        first, second = rows.T
        similarity = np.sum(pool.embeddings[first] * pool.embeddings[second], axis=1)
        positions = rank_pairs(
            similarity,
            strategy=rules[trial.arm],
            share=study.config.share,
            seed=trial.seed,
            lengths=pool.lengths[rows],
        )
        return rows[positions]

    with study.sessions() as session:
        agreement = agreement_by_pair(session, keys_of(bench, given_pairs(bench)), study.config.data.annotators)
    yield from carry_out_on(bench, missing, chosen, lambda rows: agreement_figures(bench, rows, agreement))


def find(study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    """What the outcomes say, with the agreement on each arm's pairs and the sizes of the data (REAL table 2)."""
    more = tuple(filter(None, (agreement_section(outcomes), _sizes_section(study))))
    return findings_of(outcomes, question=QUESTION, names=COMPARED, more=more)


def given_pairs(bench: Workbench) -> Rows:
    """The labelled pairs (m, 2) of the training prompts, as rows of the pool."""
    pool = bench.candidates.pool
    assert pool.labelled is not None  # checked before the run was opened
    rows = pool.labelled.rows
    return rows[np.isin(owners(pool, rows[:, 0]), bench.parts.training)]


def _sizes_section(study: StudyAtWork) -> Section:
    bench = Workbench(study)
    rows = given_pairs(bench)
    total, share = len(bench.candidates.prompt_ids), study.config.share
    kept = len(bench.parts.training) + len(bench.parts.held_out)
    table = Table(
        "Sizes of the data",
        ("what", "count"),
        (
            ("prompts with two different responses", f"{total:,}"),
            ("prompts to train on", f"{len(bench.parts.training):,}"),
            ("prompts that are only measured on", f"{len(bench.parts.held_out):,}"),
            ("prompts of a test split, or held out from an earlier policy", f"{total - kept:,}"),
            ("pairs that are ranked", f"{len(rows):,}"),
            ("pairs that each arm trains on", f"{max(1, int(share * len(rows) + 0.5)):,}"),
            ("pairs that are measured on", f"{len(bench.measured_pairs.rows):,}"),
        ),
    )  # fmt: skip
    return Section("The data", tables=(table,))


REAL_PAIRS = Study(check, trials, carry_out, find)
