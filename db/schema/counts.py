"""The table of counts that are taken once, when they change no more, and what counts them."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base

RUN_COUNTS = (
    "run_id, prompts, skipped_prompts, responses, duplicates, empty_responses, truncated_responses, cut_responses, "
    "left_out_responses, pairs, tokens"
)
# In that order, of the rows of `runs` that a condition on `counted` names. CROSS JOIN: SQLite begins with the runs.
COUNT_RUNS = """
    SELECT counted.id AS run_id,
           (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = counted.id) AS prompts,
           (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = counted.id AND run_prompts.skipped IS NOT NULL)
               AS skipped_prompts,
           COALESCE(found.responses, 0) AS responses, COALESCE(found.duplicates, 0) AS duplicates,
           COALESCE(found.empty_responses, 0) AS empty_responses,
           COALESCE(found.truncated_responses, 0) AS truncated_responses,
           COALESCE(found.cut_responses, 0) AS cut_responses,
           COALESCE(found.left_out_responses, 0) AS left_out_responses,
           (SELECT count(*) FROM pairs WHERE pairs.run_id = counted.id) AS pairs, found.tokens
    FROM runs AS counted
    LEFT JOIN (
        SELECT candidates.run_id, count(*) AS responses, count(candidates.duplicate_of_id) AS duplicates,
               sum(CASE WHEN NOT candidates.is_left_out AND embeddings.embedder_id IS NOT NULL
                        AND embeddings.shard IS NULL THEN 1 ELSE 0 END) AS empty_responses,
               sum(CASE WHEN NOT candidates.is_left_out AND embeddings.is_truncated THEN 1 ELSE 0 END)
                   AS truncated_responses,
               sum(CASE WHEN responses.finish_reason = 'length' THEN 1 ELSE 0 END) AS cut_responses,
               sum(CASE WHEN candidates.is_left_out THEN 1 ELSE 0 END) AS left_out_responses,
               sum(responses.token_count) AS tokens
        FROM runs AS counted
        CROSS JOIN candidates
        JOIN responses ON responses.id = candidates.response_id
        LEFT JOIN embeddings ON embeddings.embedder_id = counted.embedder_id
            AND embeddings.response_id = candidates.response_id
        WHERE candidates.run_id = counted.id AND {condition}
        GROUP BY candidates.run_id
    ) AS found ON found.run_id = counted.id
    WHERE {condition}
"""

# Bin k holds similarities from −1 + k `SIMILARITY_BIN` up to the next. Not floor(), which some builds of SQLite lack,
# nor a cast alone: PostgreSQL's rounds. A hair less than a half, for of halves the two round different ones up.
SIMILARITY_BIN = 0.005
BIN_OF_SIMILARITY = f"CAST(round((pairs.similarity + 1.0) / {SIMILARITY_BIN} - 0.4999999) AS integer)"
COUNT_SIMILARITIES = f"""
    INSERT INTO run_similarities (run_id, strategy, bin, pairs)
    SELECT pairs.run_id, pairs.strategy, {BIN_OF_SIMILARITY} AS bin, count(*)
    FROM pairs JOIN runs ON runs.id = pairs.run_id
    WHERE {{condition}}
    GROUP BY pairs.run_id, pairs.strategy, {BIN_OF_SIMILARITY}
"""


class RunCounts(Base):
    """What the view `run_summary` says of a completed run's prompts, candidates and pairs: they change no more."""

    __tablename__ = "run_counts"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    prompts: Mapped[int] = mapped_column(BigInteger)
    skipped_prompts: Mapped[int] = mapped_column(BigInteger)
    responses: Mapped[int] = mapped_column(BigInteger)
    duplicates: Mapped[int] = mapped_column(BigInteger)
    empty_responses: Mapped[int] = mapped_column(BigInteger)
    truncated_responses: Mapped[int] = mapped_column(BigInteger)
    cut_responses: Mapped[int] = mapped_column(BigInteger)
    left_out_responses: Mapped[int] = mapped_column(BigInteger)
    pairs: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int | None] = mapped_column(BigInteger)


class RunSimilarities(Base):
    """How many pairs of a completed run and a strategy are so alike: `bin` by `BIN_OF_SIMILARITY`."""

    __tablename__ = "run_similarities"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    strategy: Mapped[str] = mapped_column(String(100), primary_key=True)
    bin: Mapped[int] = mapped_column(primary_key=True)
    pairs: Mapped[int] = mapped_column(BigInteger)
