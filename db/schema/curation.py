"""The tables of curation and their natural keys.

Lineage: pairs → candidates → responses → generators (model, sampling parameters, seed) and
responses → prompts → source_rows → sources (imported ones also → source_responses); pairs → runs (configuration).
Vectors are not here: `embeddings` says in which shard and row of the vector store they lie.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import KEY_LENGTH, Base, BigId, utc_now
from db.schema.indexes import indexes_of_pairs, of_few


class Source(Base):
    """One imported file or data set; `name` groups several imports. Natural key: name × content."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("name", "content_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    location: Mapped[str] = mapped_column(Text)
    format: Mapped[str] = mapped_column(String(40))
    content_hash: Mapped[str] = mapped_column(String(KEY_LENGTH))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Prompt(Base):
    """A dialogue whose last turn is the user's. Natural key: `key`, the hash of its turns.

    `first_turn_key`: the hash of the first thing the user says, which dialogues that begin alike share.
    `derived_from_id`: the prompt that a run put its system message before, to sample for this one; none for a prompt
    that was imported first. What is known of that one (source, split, references) holds for this one too.
    """

    __tablename__ = "prompts"
    __table_args__ = (
        Index(
            None,
            "derived_from_id",
            sqlite_where=text("derived_from_id IS NOT NULL"),
            postgresql_where=text("derived_from_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    first_turn_key: Mapped[str] = mapped_column(String(KEY_LENGTH))
    messages: Mapped[list[Any]]
    text: Mapped[str] = mapped_column(Text)
    derived_from_id: Mapped[int | None] = mapped_column(BigId)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SourceRow(Base):
    """Which row of which source a prompt came from; one prompt may come from many."""

    __tablename__ = "source_rows"

    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"), primary_key=True)
    row_number: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), index=True)
    split: Mapped[str | None] = mapped_column(Text)


class Generator(Base):
    """What wrote a response: a model with its sampling parameters and run seed, or an unknown hand (`imported`)."""

    __tablename__ = "generators"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    backend: Mapped[str] = mapped_column(String(40))
    model: Mapped[str | None] = mapped_column(Text)
    fingerprint: Mapped[str | None] = mapped_column(String(KEY_LENGTH))
    parameters: Mapped[dict[str, Any] | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    dtype: Mapped[str | None] = mapped_column(String(20))
    base_url: Mapped[str | None] = mapped_column(Text)


class Response(Base):
    """One response to a prompt. Natural key: prompt × generator × sample index (generated) or × text (imported).

    `thought`: what a reasoning model wrote before it answered, parted from `text`, which is the answer; NULL for none.
    What its source said of it: `score`, overall; `ratings`, by attribute; `is_desirable`, a yes or no of a person's.
    """

    __tablename__ = "responses"
    __table_args__ = (Index(None, "prompt_id", "generator_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    generator_id: Mapped[int] = mapped_column(ForeignKey("generators.id"))
    sample_index: Mapped[int | None]
    text: Mapped[str] = mapped_column(Text)
    thought: Mapped[str | None] = mapped_column(Text)
    seed: Mapped[int | None] = mapped_column(BigInteger)
    token_count: Mapped[int | None]
    finish_reason: Mapped[str | None] = mapped_column(String(20))
    score: Mapped[float | None]
    is_reference: Mapped[bool] = mapped_column(default=False)
    ratings: Mapped[dict[str, Any] | None]
    is_desirable: Mapped[bool | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    @hybrid_property
    def is_cut(self) -> bool:
        """Whether its sampling stopped at the token limit; imported texts have no finish reason and are whole."""
        return self.finish_reason == "length"

    @is_cut.inplace.expression
    @classmethod
    def _is_cut(cls) -> ColumnElement[bool]:
        return func.coalesce(cls.finish_reason == "length", false())


class SourceResponse(Base):
    """Which row of which source a response came from; one response may come from many."""

    __tablename__ = "source_responses"
    __table_args__ = (
        ForeignKeyConstraint(["source_id", "row_number"], ["source_rows.source_id", "source_rows.row_number"]),
    )

    source_id: Mapped[int] = mapped_column(primary_key=True)
    row_number: Mapped[int] = mapped_column(primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True, index=True)


class SourcePair(Base):
    """A pair its source already made, in the source's order, with what it says of it, if anything.

    `preferred`: `first`, `second`, `tie` or `both_bad`. `criterion`: by what, where the source compares by several;
    empty for the one there is. `strength`: how strongly, the grade over the highest grade (0 to 1); NULL if not said.
    """

    __tablename__ = "source_pairs"
    __table_args__ = (Index(None, "first_response_id", "second_response_id"),)

    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"), primary_key=True)
    row_number: Mapped[int] = mapped_column(primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    preferred: Mapped[str | None] = mapped_column(String(10))
    criterion: Mapped[str] = mapped_column(String(40), primary_key=True, default="", server_default="")
    strength: Mapped[float | None]


class Embedder(Base):
    """How responses were embedded: model, context, cut. Its vectors lie in the store's folder of the same key."""

    __tablename__ = "embedders"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    backend: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(String(KEY_LENGTH))
    settings: Mapped[dict[str, Any]]


class Embedding(Base):
    """Where a response's vector lies. `shard` and `row` are NULL for a response without a token."""

    __tablename__ = "embeddings"

    embedder_id: Mapped[int] = mapped_column(ForeignKey("embedders.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    shard: Mapped[str | None] = mapped_column(String(80))
    row: Mapped[int | None]
    token_count: Mapped[int]
    is_truncated: Mapped[bool]


class PromptEmbedding(Base):
    """Where a prompt's own vector lies, among the prompts'. `shard` and `row` are NULL for one without a token."""

    __tablename__ = "prompt_embeddings"

    embedder_id: Mapped[int] = mapped_column(ForeignKey("embedders.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    shard: Mapped[str | None] = mapped_column(String(80))
    row: Mapped[int | None]
    token_count: Mapped[int]
    is_truncated: Mapped[bool]


class Run(Base):
    """One execution of a flow: its whole configuration, what code ran it, how it ended.

    Of one configuration at most one run is unfinished: the one that is taken up when it is started again.
    `kind`: `curate`, `label`, `calibrate`, `align`, `ld-align`, `evaluate` or `study`; one that labels or calibrates
    names the run whose pairs it is about, and who judges. What was spent: requests sent, and their cost, of those
    without an answer the most they can have cost; seconds for which a GPU, or the processor in its stead, was held. A
    run of a Prefect deployment names it, and its flow run; `resumes`: how often it was taken up again after its process
    had died. `dtype`: the number format that `auto` stands for in the run, and why; none for a run that loads no model.
    `length_correlation` and its interval: rank correlation of similarity and length gap over the pairs a curation chose
    among; none where it is not defined. `has_checked_prompts`: whether its prompts were compared with each other and
    with the benchmarks it names.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index(
            "uq_runs_unfinished_config_key",
            "config_key",
            unique=True,
            sqlite_where=text("status <> 'completed'"),
            postgresql_where=text("status <> 'completed'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    config: Mapped[dict[str, Any]]
    config_key: Mapped[str] = mapped_column(String(KEY_LENGTH))
    status: Mapped[str] = mapped_column(String(20))
    code_version: Mapped[str] = mapped_column(String(80))
    embedder_id: Mapped[int | None] = mapped_column(ForeignKey("embedders.id"))
    has_fixed_candidates: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(20), default="curate", server_default="curate")
    labelled_run_id: Mapped[int | None]
    annotator_id: Mapped[int | None]
    requests: Mapped[int] = mapped_column(default=0, server_default="0")
    cost: Mapped[float] = mapped_column(default=0.0, server_default="0")
    deployment: Mapped[str | None] = mapped_column(Text)
    flow_run_id: Mapped[str | None] = mapped_column(String(36))
    resumes: Mapped[int] = mapped_column(default=0, server_default="0")
    device_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    dtype: Mapped[str | None] = mapped_column(String(20))
    dtype_reason: Mapped[str | None] = mapped_column(Text)
    length_correlation: Mapped[float | None]
    length_correlation_low: Mapped[float | None]
    length_correlation_high: Mapped[float | None]
    has_checked_prompts: Mapped[bool] = mapped_column(default=False, server_default=false())


class RunPrompt(Base):
    """A prompt a run works on, fixed when the run opens; `skipped` says why it ended without a pair.

    `group_id`: the lowest id among the run's prompts that are nearly the same; NULL for one that is like none.
    `left_out`: why no pair of it is selected, whatever its candidates are; NULL where that is not so.
    """

    __tablename__ = "run_prompts"
    __table_args__ = (
        of_few("ix_run_prompts_grouped", "group_id IS NOT NULL", "run_id", "group_id", "prompt_id"),
        of_few("ix_run_prompts_skipped", "skipped IS NOT NULL", "run_id", "prompt_id"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    skipped: Mapped[str | None] = mapped_column(Text)
    group_id: Mapped[int | None] = mapped_column(BigId)
    left_out: Mapped[str | None] = mapped_column(Text)


class Contamination(Base):
    """A prompt of a run that is in a benchmark's file, or a response to it: the clearest place of each kind and file.

    `kind`: `prompt` or `response`, by shared words, or `similar`, by the prompts' embeddings. `value`: the share of the
    text's 13-grams that are in the file (1: a short text is the same), or the similarity. `text`: what is shared; of
    `similar` the benchmark's prompt, shortened.
    """

    __tablename__ = "contaminations"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    file: Mapped[str] = mapped_column(Text, primary_key=True)
    line: Mapped[int]
    response_id: Mapped[int | None] = mapped_column(ForeignKey("responses.id"))
    value: Mapped[float]
    text: Mapped[str] = mapped_column(Text)


class LabelledAlike(Base):
    """A selected pair that differs as a pair with a label does, by the embeddings of a run; that one may be itself.

    `is_left_out`: whether the run was told to leave such pairs out, so that it is not among its pairs.
    """

    __tablename__ = "labelled_alike"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    labelled_first_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    labelled_second_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    similarity: Mapped[float]
    is_left_out: Mapped[bool]


class Candidate(Base):
    """A response a run may pair. `duplicate_of_id`: the first candidate of the same prompt with the same text.

    One that is left out is counted and never paired: it was cut at the token limit, and the run does not take such.
    """

    __tablename__ = "candidates"
    __table_args__ = (Index(None, "run_id", "prompt_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    duplicate_of_id: Mapped[int | None] = mapped_column(ForeignKey("responses.id"))
    is_left_out: Mapped[bool] = mapped_column(default=False, server_default=false())


class GuardFlag(Base):
    """A rule of the guard that holds for a candidate of a run, with the number that it goes by.

    `is_left_out`: whether it keeps the response out of the pairing; else it only marks it.
    """

    __tablename__ = "guard_flags"
    __table_args__ = (Index(None, "response_id", "rule"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    rule: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[float]
    is_left_out: Mapped[bool]


class Pair(Base):
    """Two responses of one prompt selected for a label. Natural key: ordered response ids × strategy × run.

    `length_ratio`: of the shorter response over the longer, in characters; 1 where both are empty. `outcome`, `support`
    and `vote_count` are those of the pair's preference by the standing rule, kept here so that a list of pairs can be
    sorted and filtered by them: NULL, NULL and 0 without one. `is_judged`: somebody judged or skipped it.
    """

    __tablename__ = "pairs"
    __table_args__ = (
        UniqueConstraint("run_id", "strategy", "first_response_id", "second_response_id"),
        Index(None, "run_id", "strategy", "prompt_id", "id"),
        Index(None, "run_id", "id"),
        # A run's pairs of a prompt: SQLite, which knows no numbers of rows, would else walk the run's by the one above.
        Index(None, "prompt_id", "run_id", "id"),
        Index(None, "first_response_id", "second_response_id"),
        *indexes_of_pairs(),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    strategy: Mapped[str] = mapped_column(String(100))
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    similarity: Mapped[float]
    rank: Mapped[int]
    pair_count: Mapped[int]
    length_ratio: Mapped[float] = mapped_column(default=1.0, server_default="1")
    outcome: Mapped[str | None] = mapped_column(String(20))
    support: Mapped[float | None]
    vote_count: Mapped[int] = mapped_column(default=0, server_default="0")
    is_judged: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
