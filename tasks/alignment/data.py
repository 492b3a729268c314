"""What an alignment trains on and measures on: preferences or golden responses, split by prompt. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

from db.engine import Session
from db.labels import snapshots
from db.policies import find_by_fingerprint
from db.prompt_uses import HELD_OUT, TRAIN, first_turns_held_out, uses_of
from db.prompts import first_turns_of_test_splits, run_prompt_ids, select_prompt_ids, stored_prompts
from db.samples import Sample, references
from models.alignment.records import Example
from models.exchange import PreferenceRow
from models.records import Prompt, StoredPrompt, content_key
from models.splits import is_test_split
from tasks.alignment.lineage import Lineage, Measured, left_to_measure, lineage_of, measured_words, seen_words
from tasks.config.alignment import AlignConfig, AlignmentSection
from tasks.config.curation import SourceConfig
from tasks.config.rounds import LdAlignConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.named_models import NamedModel, find_model, policy_id_of, policy_name
from tasks.run_kinds import RunAtWork
from tasks.settings import Settings

HASH_DIGITS = 16

Row = TypeVar("Row", PreferenceRow, Sample)
Config = TypeVar("Config", bound=AlignmentSection)


@dataclass(frozen=True, slots=True)
class Parts(Generic[Row]):
    """Rows to train on and rows only to measure on; no prompt is in both."""

    train: Sequence[Row]
    held_out: Sequence[Row]


@dataclass(frozen=True, slots=True)
class AlignmentData:
    """What a run trains on and measures on.

    Attributes:
        preferences: The rows of the run's snapshot; None where golden references are all there is.
        golden: One golden response a prompt, for a run in rounds; None for others.
        lineage: What the model that the run begins with was trained on.
        seen: The ids of the prompts held out that were trained on before, which are neither trained nor measured on.
    """

    preferences: Parts[PreferenceRow] | None
    golden: Parts[Sample] | None
    lineage: Lineage
    seen: frozenset[int]

    @property
    def parts(self) -> Parts[PreferenceRow] | Parts[Sample]:
        """What the policy is trained on."""
        parts = self.golden or self.preferences
        assert parts is not None
        return parts

    @property
    def seen_by_run(self) -> Lineage:
        """What a policy of the run will have been trained on, with what it begins with."""
        return self.lineage.and_own(row.prompt for row in self.parts.train)

    @property
    def held_out_words(self) -> str:
        """How many prompts are held out to measure on, as one line."""
        held_out = {row.prompt_id for row in self.parts.held_out}
        return measured_words(len(held_out), len(self.seen), self.lineage)

    def held_out_examples(self, baseline_samples: Sequence[Sample]) -> list[tuple[int, Example]]:
        """The held-out examples with their prompts' ids.

        Golden references have no rejected response of their own: the baseline's sample takes its place, as in training.
        """
        sampled = {sample.prompt_id: sample for sample in reversed(baseline_samples)}
        rows = (self.preferences or self.parts).held_out
        return [
            (
                row.prompt_id,
                preference_example(row)
                if isinstance(row, PreferenceRow)
                else golden_example(row, sampled.get(row.prompt_id)),
            )
            for row in rows
        ]


@dataclass(frozen=True)
class AlignmentAtWork(RunAtWork[Config]):
    """A run that makes or measures a policy, with its data, which a step reads once."""

    @cached_property
    def data(self) -> AlignmentData:
        """What the run trains on and measures on."""
        with self.sessions() as session:
            return read_data(session, self.config, self.run_id)

    @cached_property
    def compared_prompts(self) -> list[StoredPrompt]:
        """The prompts that policies are compared on: those the run opened with and does not train on."""
        with self.sessions() as session:
            roles = uses_of(session, self.run_id)
            ids = [id_ for id_ in run_prompt_ids(session, self.run_id) if roles.get(id_) != TRAIN]
            return stored_prompts(session, ids)

    def measured(self, *models: NamedModel) -> Measured:
        """Those of the prompts to compare on that none of the models was trained on.

        Raises:
            NothingToDoError: If none is left.
        """
        with self.sessions() as session:
            ids = [
                find_by_fingerprint(session, model.fingerprint) if model.policy_id is None else model.policy_id
                for model in models
            ]
            prompt_ids = [prompt.id for prompt in self.compared_prompts]
            return left_to_measure(session, prompt_ids, lineage_of(session, ids))

    @cached_property
    def base(self) -> NamedModel:
        """The model that the run aligns."""
        return find_model(self.sessions, self.config.model.name, self.config.model, self.settings)

    def model(self, policy_id: int | None) -> NamedModel:
        """The policy of this id; None: the model that the run aligns."""
        if policy_id is None:
            return self.base
        return find_model(self.sessions, policy_name(policy_id), self.config.model, self.settings)


def preference_example(row: PreferenceRow) -> Example:
    """A preference to train or to measure on."""
    chosen_thought, rejected_thought = _alike(row.chosen_thought, row.rejected_thought)
    return Example(
        row.prompt,
        row.chosen,
        row.rejected,
        is_chosen_cut=row.is_chosen_cut,
        is_rejected_cut=row.is_rejected_cut,
        chosen_thought=chosen_thought,
        rejected_thought=rejected_thought,
    )


def golden_example(golden: Sample, sampled: Sample | None, *, weight: float = 1.0) -> Example:
    """A golden response beside a policy's own sample for its prompt, if any; both with a thought or neither."""
    thoughts: tuple[str | None, str | None] = (None, None)
    if golden.thought is not None:
        thoughts = _alike(golden.thought, sampled.thought if sampled else None)
    return Example(
        golden.prompt,
        golden.text,
        sampled.text if sampled else None,
        weight=weight,
        is_chosen_cut=golden.is_cut,
        is_rejected_cut=sampled is not None and sampled.is_cut,
        chosen_thought=thoughts[0],
        rejected_thought=thoughts[1] if sampled else None,
    )


def _alike(chosen: str | None, rejected: str | None) -> tuple[str | None, str | None]:
    """The thoughts of two responses behind one prompt: where one has a thought, the other has thought nothing."""
    return (None, None) if chosen is None and rejected is None else (chosen or "", rejected or "")


@contextmanager
def alignment_at_work(run_id: int, load_config: Callable[[Session, int], Config]) -> Iterator[AlignmentAtWork[Config]]:
    """Open the database for a step of an alignment; `load_config` reads the configuration of its kind of run."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_config(session, run_id)
        yield AlignmentAtWork(sessions, run_id, config, settings)


def read_data(session: Session, config: AlignmentSection, run_id: int | None = None) -> AlignmentData:
    """Read what a run trains on and measures on; what is held out was fixed when it opened (None: now).

    Raises:
        LookupError: If there is no such snapshot.
        NothingToDoError: If there is nothing to train on, or nothing to measure on.
    """
    if isinstance(config, LdAlignConfig) and config.golden == "references":
        split = _Split(session, config, f"source {config.source.name or 'any'}", run_id)
        samples = _references(session, config)
        splits = snapshots.splits_of(session, [sample.prompt_id for sample in samples])
        parts, seen = split.parted(samples, [splits.get(sample.prompt_id) for sample in samples])
        return AlignmentData(None, parts, split.lineage, seen)
    assert config.data.snapshot is not None  # stored with the run
    snapshot = snapshots.snapshot_info(session, config.data.snapshot)
    rows = list(snapshots.snapshot_rows(session, snapshot.id))
    return data_of(session, config, rows, f"snapshot {snapshot.id}", run_id)


def data_of(
    session: Session, config: AlignmentSection, rows: Sequence[PreferenceRow], where: str, run_id: int | None = None
) -> AlignmentData:
    """These preferences as a run takes them.

    Raises:
        NothingToDoError: If there is nothing to train on, or nothing to measure on; `where` says of what.
    """
    rows = rows[: config.data.limit]
    if not config.data.has_thoughts:
        rows = [row._replace(chosen_thought=None, rejected_thought=None) for row in rows]
    split = _Split(session, config, where, run_id)
    preferences, seen = split.parted(rows, [row.split for row in rows])
    golden = None
    if isinstance(config, AlignConfig):
        _require_strengths(config, preferences.train, where)
    if isinstance(config, LdAlignConfig):
        golden = Parts(_chosen(preferences.train), _chosen(preferences.held_out))
    return AlignmentData(preferences, golden, split.lineage, seen)


def _require_strengths(config: AlignConfig, rows: Sequence[PreferenceRow], where: str) -> None:
    if config.train.strength != "ignored" and all(row.strength is None for row in rows):
        raise NothingToDoError(
            f"train.strength {config.train.strength} needs preferences with a strength, none of the {len(rows):,} to "
            f"train on in {where} has one; import graded labels, or leave it out"
        )


def is_held_out(prompt: Prompt, split: str | None, share: float) -> bool:
    """Whether a prompt is never trained on, by its source's split or the hash of the user's first turn alone.

    It is so in every later run, whatever labels are added; prompts of one first turn fall on the same side of the hash.
    """
    part = int(content_key("held out", prompt.first_turn_key)[:HASH_DIGITS], 16)
    return is_test_split(split) or part < int(share * 16**HASH_DIGITS)


def compared_prompts(session: Session, config: AlignmentSection, data: AlignmentData, lineage: Lineage) -> Measured:
    """The prompts that policies are compared on: those held out, or a source's; none that the lineage has seen.

    Raises:
        NothingToDoError: If there are none.
    """
    source = config.evaluate.source
    if source.name is None and source.split is None:
        ids = list(dict.fromkeys(row.prompt_id for row in data.parts.held_out))
    else:
        ids = select_prompt_ids(session, source=source.name, split=source.split, limit=None)
    return left_to_measure(session, ids, lineage, source.limit)


class _Split:
    """How a run parts its data: as it did when it opened, else by what is held out now.

    Held out are the prompts of a test split, a share by the hash of the first turn, whatever was held out from a policy
    before, and all that begins like a prompt of a test split or one that was held out before.
    """

    def __init__(self, session: Session, config: AlignmentSection, where: str, run_id: int | None) -> None:
        self.lineage = lineage_of(session, [policy_id_of(session, config.model.name)])
        self._where = where
        self._share = config.data.held_out_share
        self._roles = {} if run_id is None else uses_of(session, run_id)
        self._held_out: set[str] = set()
        if not self._roles:
            self._held_out = first_turns_held_out(session) | first_turns_of_test_splits(session)

    def parted(self, rows: Sequence[Row], splits: Sequence[str | None]) -> tuple[Parts[Row], frozenset[int]]:
        """The rows to train on and to measure on, and the ids of the prompts held out that were trained on before."""
        roles = [self._role(row, split) for row, split in zip(rows, splits, strict=True)]
        train = [row for row, role in zip(rows, roles, strict=True) if role == TRAIN]
        held_out = [row for row, role in zip(rows, roles, strict=True) if role == HELD_OUT]
        # A run of an earlier version may train on dialogues that begin like one that it holds out.
        lineage = self.lineage.and_own(row.prompt for row in train)
        unseen = [row for row in held_out if not lineage.has_seen(row.prompt)]
        seen = frozenset({row.prompt_id for row in held_out} - {row.prompt_id for row in unseen})
        if not train or not unseen:
            left_out = f"; left out {seen_words(len(seen), lineage)}" if seen else ""
            advice = (
                f"label more pairs, or change --data.held_out_share {self._share:g} (what is of a test split or was "
                "held out from a policy before stays held out)"
            )
            tests = sorted({split for split in splits if split is not None and is_test_split(split)})
            if not train and tests and all(map(is_test_split, splits)):
                advice = (
                    f"all are of a split that is only measured on ({', '.join(tests)}); label pairs of another source, "
                    "or import the file again by the same name to train on it: antipode import FILE --split train"
                )
            raise NothingToDoError(
                f"{self._where} gives {len(train)} rows to train on and {len(unseen)} to measure on, and both are "
                f"needed{left_out}; {advice}"
            )
        return Parts(train, unseen), seen

    def _role(self, row: PreferenceRow | Sample, split: str | None) -> str | None:
        """None for what came after the run had opened."""
        if self._roles:
            return self._roles.get(row.prompt_id)
        is_out = is_held_out(row.prompt, split, self._share) or row.prompt.first_turn_key in self._held_out
        return HELD_OUT if is_out else TRAIN


def _references(session: Session, config: LdAlignConfig) -> list[Sample]:
    """The references of the configured source, one a prompt."""
    samples = references(session, _prompt_ids(session, config.source))
    if not samples:
        raise NothingToDoError(
            f"source {config.source.name or 'any'} has no reference response; import an SFT data set: antipode import "
            "FILE --format sft, or take the chosen responses: --golden chosen"
        )
    return samples if config.data.has_thoughts else [replace(sample, thought=None) for sample in samples]


def _prompt_ids(session: Session, source: SourceConfig) -> list[int]:
    return select_prompt_ids(session, source=source.name, split=source.split, limit=source.limit)


def _chosen(rows: Sequence[PreferenceRow]) -> list[Sample]:
    """The first chosen response of each prompt."""
    first = {row.prompt_id: row for row in reversed(rows)}.values()
    return [
        Sample(row.chosen_response_id, row.prompt_id, row.prompt, row.chosen, 0, row.is_chosen_cut, row.chosen_thought)
        for row in reversed(first)
    ]
