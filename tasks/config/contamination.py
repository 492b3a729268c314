"""Configuration of the search for benchmarks in the data: which files, what counts, what follows."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tasks.config.section import Section


class ContaminationConfig(Section):
    """Benchmarks that must not be in what is trained on: files that you name are searched for among the prompts."""

    files: tuple[str, ...] = Field(
        (),
        description="Files of benchmarks: JSONL, JSON, CSV or Parquet (all texts of a row), .txt (a text a line), also "
        "packed. Shared runs of 13 words and near prompts are reported.",
    )
    similarity: float = Field(
        0.95, gt=0, le=1, description="A prompt this near a benchmark's by embedding is reported (cosine, 0 to 1)."
    )
    are_left_out: bool = Field(False, description="No pair is selected of a prompt that is reported.")

    @model_validator(mode="after")
    def _each_file_is_named_once(self) -> Self:
        if len(set(self.files)) < len(self.files):
            raise ValueError(f"contamination.files: every file once, got {', '.join(self.files)}")
        return self

    @model_validator(mode="after")
    def _nothing_is_left_out_without_files(self) -> Self:
        if self.are_left_out and not self.files:
            raise ValueError("contamination.are_left_out needs benchmarks; give --contamination.files, or leave it out")
        return self
