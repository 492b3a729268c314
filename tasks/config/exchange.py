"""Configuration of what comes in and goes out: imports, pairs, preferences, exports."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from models.exchange.shapes.table import UNPAIRED_SHAPES, TrainerShape
from models.exchange.trainers import TrainerFormat
from models.ingestion import SourceFormat
from models.labelling.rules import Rule
from tasks.config.section import Added, Name, Section, StrategyName


class PairsConfig(Section):
    """Which pairs are labelled."""

    run: str = Field("last", description="Id or name of the curation run whose pairs are labelled, or `last`.")
    strategies: tuple[StrategyName, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    limit: int | None = Field(None, ge=1, description="At most so many pairs, by prompt (1 or more).")

    def section(self) -> PairsConfig:
        """The section alone, without what a command adds to it."""
        return PairsConfig.model_validate(self.model_dump(include=set(PairsConfig.model_fields)))


class PreferencesConfig(Section):
    """Which preferences."""

    run: str = Field("last", description="Id or name of a curation run, `last`, or `all`: of every run.")
    strategies: tuple[StrategyName, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    rule: Rule = Field(
        "majority",
        description="What makes a preference of judgements. `majority`: more than half of the votes; `unanimous`: all; "
        "`weighted`: the verdict that is probably true, by what each annotator's votes are worth (Dawid and Skene).",
    )
    annotators: tuple[str, ...] = Field((), description="Only votes of these annotators. Empty: of all.")
    min_support: float = Field(
        0.0, ge=0, le=1, description="Least share of the votes (`weighted`: probability) behind a preference (0 to 1)."
    )
    min_votes: Added[int] = Field(1, ge=1, le=1_000, description="Least number of votes on a pair (1 to 1000).")


class ExportConfig(PreferencesConfig):
    """Which preferences leave, and in what form."""

    name: Name = Field("preferences", description="Name of the snapshot, for you (1 to 200 characters).")
    shape: TrainerShape = Field(
        "conversational",
        description="Whose rows. TRL: `conversational` (messages), `standard` (plain texts), unpaired `kto`, "
        "`kto-standard`; LLaMA-Factory: `llamafactory-alpaca`, `llamafactory-sharegpt`, unpaired `llamafactory-kto`; "
        "`axolotl`; OpenRLHF: `openrlhf` (for its chat template), `openrlhf-text`.",
    )
    has_thoughts: bool = Field(
        False, description="What a reasoning model thought leaves too, before its answer. Else the answer alone."
    )
    format: TrainerFormat | None = Field(
        None, description="File of JSON lines, Parquet file, or folder of `datasets`. Empty: by the file's ending."
    )
    feedback: Literal["without", "with", "only"] = Field(
        "without",
        description="Unpaired shapes: `with`, the yes or no that was imported with single responses goes out after the "
        "preferences; `only`: that alone, and no preference.",
    )
    feedback_source: str | None = Field(None, description="Only feedback that this imported source brought.")

    @model_validator(mode="after")
    def _single_responses_need_an_unpaired_shape(self) -> Self:
        if self.feedback != "without" and self.shape not in UNPAIRED_SHAPES:
            raise ValueError(
                f"feedback: {self.shape} takes pairs, not single responses; give --shape {' or '.join(UNPAIRED_SHAPES)}"
            )
        if self.feedback == "without" and self.feedback_source is not None:
            raise ValueError("feedback_source: no feedback is asked for; give --feedback with or only, or leave it out")
        return self


class PullConfig(Section):
    """Which version of a pushed snapshot comes back, and in what form."""

    revision: str | None = Field(None, description="Branch, tag or commit. Empty: the newest.")
    content_hash: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Content hash that it must have (64 hex digits). Empty: its own."
    )
    shape: TrainerShape = Field("conversational", description="Whose rows, as of `antipode export`.")
    format: TrainerFormat | None = Field(
        None, description="File of JSON lines, Parquet file, or folder of `datasets`. Empty: by the file's ending."
    )


class ImportConfig(Section):
    """What to import, and how to read it."""

    name: Name | None = Field(
        None, description="Name of the source in the database (1 to 200 characters). Empty: the file's name."
    )
    format: SourceFormat | None = Field(None, description="Shape of the rows. Empty: recognised from the first rows.")
    map: tuple[str, ...] = Field(
        (), description="Columns of unusual names: what each is, and its name, as prompt=ask,chosen=better."
    )
    ignore_columns: tuple[str, ...] = Field(
        (), description="Columns to leave unread, although they seem to hold a part of the rows."
    )
    split: str | None = Field(
        None,
        description="Split, such as train; stored with every row. Of a data set: the one to read; of a file: the one "
        "its rows are of. Empty: all of a data set's; of a file `test` or the like, if its name says so.",
    )
    subset: str | None = Field(None, description="Subset (config) of a hub data set that has several.")
    limit: int | None = Field(None, ge=1, description="Read at most so many rows (1 or more).")

    @field_validator("map")
    @classmethod
    def _names_and_columns(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        names = [entry.partition("=")[0] for entry in entries]
        for entry in entries:
            name, _, column = entry.partition("=")
            if not name or not column or names.count(name) > 1:
                raise ValueError(f"expected NAME=COLUMN, each name once (prompt=ask,chosen=better), got {entry!r}")
        return entries

    @property
    def named(self) -> dict[str, str]:
        """What a column is → its name in the source."""
        return {name: column for name, _, column in (entry.partition("=") for entry in self.map)}


class ImportDataConfig(ImportConfig):
    """What to import, where it is no command that does it."""

    source: str = Field("", description="File on this machine, folder, or data set of a hub by its name.")

    @model_validator(mode="after")
    def _names_a_source(self) -> Self:
        if not self.source.strip():
            raise ValueError("nothing to import is named; give a file or a data set: source")
        return self

    @property
    def title(self) -> str:
        """What is imported, without the folders that it lies in; a hub's data set by its whole name."""
        return Path(self.source).name if Path(self.source).is_absolute() else self.source

    def reading(self) -> ImportConfig:
        """How it is read, without what."""
        return ImportConfig.model_validate(self.model_dump(exclude={"source"}))
