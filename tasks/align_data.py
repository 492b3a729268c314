"""What an alignment trains on and measures on: preferences or golden responses, split by prompt. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from db import runs
from db.engine import Session
from db.labels import snapshots
from db.prompts import select_prompt_ids, stored_prompts
from db.samples import Sample, references
from models.exchange import PreferenceRow
from models.records import Prompt, StoredPrompt, content_key
from tasks.align_config import AlignConfig, AlignmentSection, DataConfig
from tasks.config import SourceConfig
from tasks.errors import NothingToDoError
from tasks.ld_align_config import LdAlignConfig
from tasks.number_formats import with_format

HELD_OUT_SPLITS = ("test", "validation", "valid", "val", "dev")
HASH_DIGITS = 16

Row = TypeVar("Row", PreferenceRow, Sample)


@dataclass(frozen=True, slots=True)
class Parts(Generic[Row]):
    """Rows to train on and rows only to measure on; no prompt is in both."""

    train: list[Row]
    held_out: list[Row]


def load_alignment(session: Session, run_id: int) -> AlignmentSection:
    """The configuration an aligning run was opened with, its number formats settled."""
    return with_format(asked_alignment(session, run_id), runs.get_run(session, run_id).dtype)


def asked_alignment(session: Session, run_id: int) -> AlignmentSection:
    """The configuration an aligning run was opened with, as it was asked for."""
    config = runs.get_run(session, run_id).config
    return (LdAlignConfig if "rounds" in config else AlignConfig).model_validate(config)


def preference_parts(session: Session, data: DataConfig) -> Parts[PreferenceRow]:
    """The rows of the configured snapshot; held out are those of a test split, and a share by the prompt's hash.

    Raises:
        LookupError: If there is no such snapshot.
        NothingToDoError: If one of the two parts is empty.
    """
    assert data.snapshot is not None  # stored with the run
    snapshot = snapshots.snapshot_info(session, data.snapshot)
    rows = list(snapshots.snapshot_rows(session, snapshot.id))[: data.limit]
    is_out = [is_held_out(row.prompt, row.split, data.held_out_share) for row in rows]
    return _parted(rows, is_out, f"snapshot {data.snapshot}", data.held_out_share)


def golden_parts(session: Session, config: LdAlignConfig) -> Parts[Sample]:
    """One golden response a prompt: chosen ones of the snapshot, or the references of the source.

    Raises:
        NothingToDoError: If one of the two parts is empty.
    """
    if config.golden == "chosen":
        parts = preference_parts(session, config.data)
        return Parts(_chosen(parts.train), _chosen(parts.held_out))
    found = references(session, _prompt_ids(session, config.source))
    if not found:
        raise NothingToDoError(
            f"source {config.source.name or 'any'} has no reference response; import an SFT data set: antipode import "
            "FILE --format sft, or take the chosen responses: --golden chosen"
        )
    share = config.data.held_out_share
    splits = snapshots.splits_of(session, [one.prompt_id for one in found])
    is_out = [is_held_out(one.prompt, splits.get(one.prompt_id), share) for one in found]
    return _parted(found, is_out, f"source {config.source.name or 'any'}", share)


def data_parts(session: Session, config: AlignmentSection) -> Parts[PreferenceRow] | Parts[Sample]:
    """What the run trains on and measures on."""
    if isinstance(config, LdAlignConfig):
        return golden_parts(session, config)
    return preference_parts(session, config.data)


def is_held_out(prompt: Prompt, split: str | None, share: float) -> bool:
    """Whether a prompt is never trained on: by its source's split or its own hash, whatever else is in the data.

    So it is the same in every later run, with more labels or fewer.
    """
    return split in HELD_OUT_SPLITS or int(content_key("held out", prompt.key)[:HASH_DIGITS], 16) < int(
        share * 16**HASH_DIGITS
    )


def evaluation_prompts(session: Session, config: AlignmentSection) -> list[StoredPrompt]:
    """The prompts that policies are compared on: those held out, or a source's that are not trained on.

    Raises:
        NothingToDoError: If there are none.
    """
    source, parts = config.evaluate.source, data_parts(session, config)
    if source.name is None and source.split is None:
        held_out = {row.prompt_id: StoredPrompt(row.prompt_id, row.prompt) for row in parts.held_out}
        return list(held_out.values())[: source.limit]
    trained = {row.prompt_id for row in parts.train}
    found = select_prompt_ids(session, source=source.name, split=source.split, limit=None)
    ids = [id_ for id_ in found if id_ not in trained][: source.limit]
    if not ids:
        raise NothingToDoError(f"every prompt of evaluate.source {source.name or 'any'} is trained on; name others")
    return stored_prompts(session, ids)


def _prompt_ids(session: Session, source: SourceConfig) -> list[int]:
    return select_prompt_ids(session, source=source.name, split=source.split, limit=source.limit)


def _chosen(rows: Sequence[PreferenceRow]) -> list[Sample]:
    """The first chosen response of each prompt."""
    first = {row.prompt_id: row for row in reversed(rows)}.values()
    return [Sample(row.chosen_response_id, row.prompt_id, row.prompt, row.chosen, 0, True) for row in reversed(first)]


def _parted(rows: list[Row], is_out: list[bool], where: str, share: float) -> Parts[Row]:
    train = [row for row, out in zip(rows, is_out, strict=True) if not out]
    held_out = [row for row, out in zip(rows, is_out, strict=True) if out]
    if not train or not held_out:
        raise NothingToDoError(
            f"{where} gives {len(train)} rows to train on and {len(held_out)} to measure on, and both are needed; "
            f"label more pairs, or change --data.held_out_share {share:g}"
        )
    return Parts(train, held_out)
