"""Trials that train a policy each: pairs in, a training on exactly these, and what the policy came to. Knows no arms.

What all trials of a study share: the pool, who is held out, one random pair of each held-out prompt to measure on, and
one model that was fine-tuned on the better response of one random pair of each training prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from db.engine import Session
from db.labels.snapshots import Lineage
from db.prompt_uses import first_turns_held_out
from db.prompts import first_turns, first_turns_of_test_splits
from models.studies.annotators import Annotator, noisy, stored, truth
from models.studies.asking import pair_count
from models.studies.pool import Floats, Pairs, Rows, Split, known_pairs, owners, split
from models.studies.trials import Outcome, Trial
from tasks.config.alignment import AlignConfig, DataConfig
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import EvaluateConfig
from tasks.devices import keep_device
from tasks.errors import NothingToDoError
from tasks.named_models import policy_name
from tasks.run_kinds import STUDY
from tasks.studies.pools import StudyPool, read_pool
from tasks.studies.study import StudyAtWork, carried_out
from tasks.studies.trainings import (
    Figures,
    drop_weights,
    figures_of,
    fine_tuned,
    responses_of,
    store_snapshot,
    trained,
)

RULE = "study"  # of a snapshot's rows: who decided
SHOWN_PROMPTS, SHOWN_CHARACTERS = 3, 400  # of the samples that stand side by side in a report

Chosen = Callable[[Trial], Rows]  # the pairs (m, 2) that a trial trains on, as rows of the pool, in order
Told = Callable[[Rows], Figures]  # more that a study keeps of these pairs


@dataclass(frozen=True)
class Workbench:
    """What all trials of a study share."""

    study: StudyAtWork

    @cached_property
    def candidates(self) -> StudyPool:
        """The candidates, with the ids of their prompts and responses."""
        data = self.study.config.data
        return read_pool(self.study.sessions, int(data.run), self.study.settings, annotators=data.annotators)

    @cached_property
    def parts(self) -> Split:
        """The groups to choose from, and those held out; in neither is what other policies were held out from."""
        config, candidates = self.study.config, self.candidates
        parts = split(candidates.pool, config.data.held_out_share, seed=config.seed)
        with self.study.sessions() as session:
            kept_out = _groups_kept_out(session, candidates.prompt_ids)
        return Split(np.setdiff1d(parts.training, kept_out), parts.held_out)

    @property
    def by_labels(self) -> bool:
        """Whether stored labels say what is right: where nobody knows the truth, or only they are asked for."""
        return self.candidates.truth is None or self.study.config.labels == ("stored",)

    @cached_property
    def measured_pairs(self) -> Pairs:
        """One random pair of each held-out prompt whose better response is known: what no strategy chose."""
        return self._random_pairs(self.parts.held_out)

    def annotator(self, name: str) -> Annotator:
        """Who labels.

        Raises:
            ValueError: If the pool has nothing to label by.
        """
        pool = self.candidates.pool
        return (
            noisy(pool, self.study.config.agreement)
            if name == "noisy"
            else {"truth": truth, "stored": stored}[name](pool)
        )

    def prompts_to_label(self, annotator: Annotator) -> int:
        """How many training prompts have a pair that this annotator has an answer on."""
        pool = self.candidates.pool
        return sum(pair_count(pool, np.array([group]), lambda rows: annotator.answer(rows, 0)) > 0
                   for group in self.parts.training)  # fmt: skip

    @cached_property
    def held_out_rows(self) -> list[Lineage]:
        """The held-out preferences."""
        pairs = self.measured_pairs
        return self._lineages(pairs.rows, pairs.is_first_better.astype(np.float64), "held out")

    @cached_property
    def start_id(self) -> int | None:
        """The fine-tuned model that all arms begin with; None: the model as it is."""
        config = self.study.config
        if not config.sft.epochs:
            return None
        pairs = self._random_pairs(self.parts.training)
        rows = self._lineages(pairs.rows, pairs.is_first_better.astype(np.float64), "start")
        data = store_snapshot(self.study, rows, self.held_out_rows, name=f"study {self.study.run_id}: start")
        return fine_tuned(self._align_config("start", data, seed=config.seed, model=config.model, is_start=True))

    def train_on(self, trial: Trial, rows: Rows, answers: Floats) -> Figures:
        """Train a policy on pairs (m, 2) as they were answered (m,), and measure it; ties are no preferences.

        Raises:
            NothingToDoError: If no pair has a preferred response.
        """
        is_decided = ~np.isnan(answers) & (answers != 0.5)
        if not is_decided.any():
            raise NothingToDoError(f"none of the {len(rows)} pairs has a preferred response")
        train = self._lineages(rows[is_decided], answers[is_decided], trial.arm)
        name = f"study {self.study.run_id}: {trial.words}"
        model = self.study.config.model
        if self.start_id is not None:
            model = ModelConfig(name=policy_name(self.start_id), dtype=model.dtype)
        data = store_snapshot(self.study, train, self.held_out_rows, name=name[:200])
        made = trained(self._align_config(name, data, seed=trial.seed, model=model))
        figures = figures_of(made) | {"labels": len(rows), "preferences": len(train)} | self._choice(rows)
        if trial.seed == self.study.config.seed:
            figures["samples"] = [
                [text[:SHOWN_CHARACTERS] for text in texts] for texts in responses_of(made, SHOWN_PROMPTS)
            ]
        drop_weights(self.study, made.policy_id)
        return figures

    def _choice(self, rows: Rows) -> Figures:
        """What was chosen: mean cosine, and the mean ratio of the shorter to the longer response."""
        pool = self.candidates.pool
        first, second = rows.T
        lengths = np.sort(pool.lengths[rows], axis=1)
        return {
            "similarity": float(np.mean(np.sum(pool.embeddings[first] * pool.embeddings[second], axis=1))),
            "length_ratio": float(np.mean(lengths[:, 0] / np.maximum(lengths[:, 1], 1))),
        }

    def _align_config(
        self, name: str, data: DataConfig, *, seed: int, model: ModelConfig, is_start: bool = False
    ) -> AlignConfig:
        config = self.study.config
        sft = config.sft if is_start else config.sft.model_copy(update={"epochs": 0.0})
        return AlignConfig(
            name=name[:200], seed=seed, data=data, model=model, sft=sft, train=config.train, evaluate=self._evaluate
        )

    @cached_property
    def _evaluate(self) -> EvaluateConfig:
        """As it was given: with the run's number format in them, sections would count as set."""
        with self.study.sessions() as session:
            return STUDY.stored_config(session, self.study.run_id).evaluate

    def _random_pairs(self, groups: Rows) -> Pairs:
        """One pair of each group whose better response is known, drawn by the study's seed."""
        pairs = known_pairs(self.candidates.pool, groups, by_labels=self.by_labels)
        if not len(pairs.rows):
            raise ValueError("no prompt has a pair whose better response is known; label some: antipode label")
        order = np.random.default_rng(self.study.config.seed).permutation(len(pairs.rows))
        _, first = np.unique(pairs.groups[order], return_index=True)
        kept = order[first]
        return Pairs(pairs.rows[kept], pairs.groups[kept], pairs.is_first_better[kept], pairs.is_alike[kept])

    def _lineages(self, rows: Rows, answers: Floats, arm: str) -> list[Lineage]:
        """Pairs as a snapshot keeps them; an answer above one half prefers the first."""
        candidates = self.candidates
        groups = owners(candidates.pool, rows[:, 0])
        ids = np.asarray(candidates.response_ids)[np.where(answers[:, None] > 0.5, rows, rows[:, ::-1])]
        return [
            Lineage(
                prompt_id=candidates.prompt_ids[group], chosen_response_id=int(chosen), rejected_response_id=int(other),
                run_id=int(self.study.config.data.run), strategies=(arm,), similarity=None, rule=RULE, support=1.0,
                vote_count=1, split=None,
            )
            for group, (chosen, other) in zip(groups, ids, strict=True)
        ]  # fmt: skip


def carry_out_on(
    bench: Workbench, trials: Sequence[Trial], chosen: Chosen, told: Told = lambda _: {}
) -> Iterator[Outcome]:
    """Train a policy for each trial, one after the other in one process on the device; yield each as it is done."""
    if not trials:
        return
    with keep_device():
        for trial in trials:
            yield carried_out(trial, partial(_once, bench, trial, chosen, told))


def _once(bench: Workbench, trial: Trial, chosen: Chosen, told: Told) -> Figures:
    rows = chosen(trial)
    return bench.train_on(trial, rows, bench.annotator(trial.annotator).answer(rows, trial.seed)) | told(rows)


def _groups_kept_out(session: Session, prompt_ids: Sequence[int]) -> Rows:
    """The groups whose dialogues a test split has, or an earlier policy was held out from: never trained on."""
    kept_out = first_turns_held_out(session) | first_turns_of_test_splits(session)
    turns = first_turns(session, prompt_ids)
    return np.array([group for group, id_ in enumerate(prompt_ids) if turns[id_] in kept_out], dtype=np.int64)
