"""Configuration of what comes in and goes out: imports, pairs, preferences, exports."""

from __future__ import annotations

from pydantic import Field

from models.exchange.trainers import TrainerFormat, TrainerShape
from models.ingestion import SourceFormat
from models.labelling.rules import Rule
from models.records import Strategy
from tasks.config.section import Name, Section


class PairsConfig(Section):
    """Which pairs are labelled."""

    run: str = Field("last", description="Id or name of the curation run whose pairs are labelled, or `last`.")
    strategies: tuple[Strategy, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    limit: int | None = Field(None, ge=1, description="At most so many pairs, by prompt (1 or more).")

    def section(self) -> PairsConfig:
        """The section alone, without what a command adds to it."""
        return PairsConfig.model_validate(self.model_dump(include=set(PairsConfig.model_fields)))


class PreferencesConfig(Section):
    """Which preferences."""

    run: str = Field("last", description="Id or name of a curation run, `last`, or `all`: of every run.")
    strategies: tuple[Strategy, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    rule: Rule = Field(
        "majority",
        description="What makes a preference of judgements. `majority`: more than half of the votes; `unanimous`: all; "
        "`weighted`: the verdict that is probably true, by what each annotator's votes are worth (Dawid and Skene).",
    )
    annotators: tuple[str, ...] = Field((), description="Only votes of these annotators. Empty: of all.")
    min_support: float = Field(
        0.0, ge=0, le=1, description="Least share of the votes (`weighted`: probability) behind a preference (0 to 1)."
    )


class ExportConfig(PreferencesConfig):
    """Which preferences leave, and in what form."""

    name: Name = Field("preferences", description="Name of the snapshot, for you.")
    shape: TrainerShape = Field("conversational", description="`conversational`: messages; `standard`: plain texts.")
    has_thoughts: bool = Field(
        False, description="What a reasoning model thought leaves too, before its answer. Else the answer alone."
    )
    format: TrainerFormat | None = Field(
        None, description="File of JSON lines, Parquet file, or folder of `datasets`. Empty: by the file's ending."
    )


class ImportConfig(Section):
    """What to import, and how to read it."""

    name: Name | None = Field(None, description="Name of the source in the database. Empty: the file's name.")
    format: SourceFormat | None = Field(None, description="Shape of the rows. Empty: recognised from the first rows.")
    prompt_column: str | None = Field(None, description="Column that holds the prompt, if it has an unusual name.")
    split: str | None = Field(
        None,
        description="Split, such as train; stored with every row. Of a data set: the one to read; of a file: the one "
        "its rows are of. Empty: all of a data set's; of a file `test` or the like, if its name says so.",
    )
    subset: str | None = Field(None, description="Subset (config) of a hub data set that has several.")
    limit: int | None = Field(None, ge=1, description="Read at most so many rows (1 or more).")
