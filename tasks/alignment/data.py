"""What an alignment trains on and measures on: preferences or golden responses, split by prompt. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from db.engine import Session
from db.labels import snapshots
from db.prompts import select_prompt_ids, stored_prompts
from db.samples import Sample, references
from models.alignment.records import Example
from models.exchange import PreferenceRow
from models.records import Prompt, StoredPrompt, content_key
from tasks.config.alignment import AlignmentSection
from tasks.config.curation import SourceConfig
from tasks.config.rounds import LdAlignConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.named_models import NamedModel, find_model, policy_name
from tasks.run_kinds import RunAtWork
from tasks.settings import Settings

HELD_OUT_SPLITS = ("test", "validation", "valid", "val", "dev")
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
    """

    preferences: Parts[PreferenceRow] | None
    golden: Parts[Sample] | None

    @property
    def parts(self) -> Parts[PreferenceRow] | Parts[Sample]:
        """What the policy is trained on."""
        parts = self.golden or self.preferences
        assert parts is not None
        return parts

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
            return read_data(session, self.config)

    @cached_property
    def compared_prompts(self) -> list[StoredPrompt]:
        """The prompts that policies are compared on."""
        with self.sessions() as session:
            return compared_prompts(session, self.config, self.data)

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
    return Example(
        row.prompt,
        row.chosen,
        row.rejected,
        is_chosen_cut=row.is_chosen_cut,
        is_rejected_cut=row.is_rejected_cut,
    )


def golden_example(golden: Sample, sampled: Sample | None, *, weight: float = 1.0) -> Example:
    """A golden response beside a policy's own sample for its prompt, if there is one."""
    return Example(
        golden.prompt,
        golden.text,
        sampled.text if sampled else None,
        weight=weight,
        is_chosen_cut=golden.is_cut,
        is_rejected_cut=sampled is not None and sampled.is_cut,
    )


@contextmanager
def alignment_at_work(run_id: int, load_config: Callable[[Session, int], Config]) -> Iterator[AlignmentAtWork[Config]]:
    """Open the database for a step of an alignment; `load_config` reads the configuration of its kind of run."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_config(session, run_id)
        yield AlignmentAtWork(sessions, run_id, config, settings)


def read_data(session: Session, config: AlignmentSection) -> AlignmentData:
    """Read what a run trains on and measures on.

    Raises:
        LookupError: If there is no such snapshot.
        NothingToDoError: If there is nothing to train on, or nothing to measure on.
    """
    if isinstance(config, LdAlignConfig) and config.golden == "references":
        return AlignmentData(None, _references(session, config))
    assert config.data.snapshot is not None  # stored with the run
    snapshot = snapshots.snapshot_info(session, config.data.snapshot)
    return data_of(config, list(snapshots.snapshot_rows(session, snapshot.id)), f"snapshot {snapshot.id}")


def data_of(config: AlignmentSection, rows: Sequence[PreferenceRow], where: str) -> AlignmentData:
    """These preferences as a run takes them; those of a test split and a share by prompt hash are held out.

    Raises:
        NothingToDoError: If there is nothing to train on, or nothing to measure on; `where` says of what.
    """
    rows, share = rows[: config.data.limit], config.data.held_out_share
    is_out = [is_held_out(row.prompt, row.split, share) for row in rows]
    preferences = _parted(rows, is_out, where, share)
    if not isinstance(config, LdAlignConfig):
        return AlignmentData(preferences, None)
    return AlignmentData(preferences, Parts(_chosen(preferences.train), _chosen(preferences.held_out)))


def is_held_out(prompt: Prompt, split: str | None, share: float) -> bool:
    """Whether a prompt is never trained on, by its source's split or its own hash alone.

    It is so in every later run, whatever labels are added.
    """
    return split in HELD_OUT_SPLITS or int(content_key("held out", prompt.key)[:HASH_DIGITS], 16) < int(
        share * 16**HASH_DIGITS
    )


def compared_prompts(session: Session, config: AlignmentSection, data: AlignmentData) -> list[StoredPrompt]:
    """The prompts that policies are compared on: those held out, or a source's that are not trained on.

    Raises:
        NothingToDoError: If there are none.
    """
    source, parts = config.evaluate.source, data.parts
    if source.name is None and source.split is None:
        held_out = {row.prompt_id: StoredPrompt(row.prompt_id, row.prompt) for row in parts.held_out}
        return list(held_out.values())[: source.limit]
    trained = {row.prompt_id for row in parts.train}
    ids = select_prompt_ids(session, source=source.name, split=source.split, limit=None)
    untrained = [id_ for id_ in ids if id_ not in trained][: source.limit]
    if not untrained:
        raise NothingToDoError(f"every prompt of evaluate.source {source.name or 'any'} is trained on; name others")
    return stored_prompts(session, untrained)


def _references(session: Session, config: LdAlignConfig) -> Parts[Sample]:
    """The references of the configured source, one a prompt."""
    samples = references(session, _prompt_ids(session, config.source))
    if not samples:
        raise NothingToDoError(
            f"source {config.source.name or 'any'} has no reference response; import an SFT data set: antipode import "
            "FILE --format sft, or take the chosen responses: --golden chosen"
        )
    share = config.data.held_out_share
    splits = snapshots.splits_of(session, [sample.prompt_id for sample in samples])
    is_out = [is_held_out(sample.prompt, splits.get(sample.prompt_id), share) for sample in samples]
    return _parted(samples, is_out, f"source {config.source.name or 'any'}", share)


def _prompt_ids(session: Session, source: SourceConfig) -> list[int]:
    return select_prompt_ids(session, source=source.name, split=source.split, limit=source.limit)


def _chosen(rows: Sequence[PreferenceRow]) -> list[Sample]:
    """The first chosen response of each prompt."""
    first = {row.prompt_id: row for row in reversed(rows)}.values()
    return [
        Sample(row.chosen_response_id, row.prompt_id, row.prompt, row.chosen, 0, row.is_chosen_cut)
        for row in reversed(first)
    ]


def _parted(rows: Sequence[Row], is_out: list[bool], where: str, share: float) -> Parts[Row]:
    train = [row for row, out in zip(rows, is_out, strict=True) if not out]
    held_out = [row for row, out in zip(rows, is_out, strict=True) if out]
    if not train or not held_out:
        raise NothingToDoError(
            f"{where} gives {len(train)} rows to train on and {len(held_out)} to measure on, and both are needed; "
            f"label more pairs, or change --data.held_out_share {share:g}"
        )
    return Parts(train, held_out)
