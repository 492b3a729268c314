"""The views that users query: the stable interface, documented in docs/database.md."""

from __future__ import annotations

# Dropped before every migration and made anew after it.
VIEWS: dict[str, str] = {
    "selected_pairs": """
        SELECT pairs.id AS pair_id, pairs.run_id, runs.name AS run, pairs.strategy, pairs.prompt_id,
               prompts.text AS prompt, pairs.first_response_id, pairs.second_response_id,
               first.text AS first_response, second.text AS second_response,
               first_generator.model AS first_model, second_generator.model AS second_model,
               pairs.similarity, pairs.rank, pairs.pair_count
        FROM pairs
        JOIN runs ON runs.id = pairs.run_id
        JOIN prompts ON prompts.id = pairs.prompt_id
        JOIN responses AS first ON first.id = pairs.first_response_id
        JOIN responses AS second ON second.id = pairs.second_response_id
        JOIN generators AS first_generator ON first_generator.id = first.generator_id
        JOIN generators AS second_generator ON second_generator.id = second.generator_id
    """,
    "run_summary": """
        SELECT runs.id AS run_id, runs.name AS run, runs.kind, runs.labelled_run_id,
               (SELECT annotators.name FROM annotators WHERE annotators.id = runs.annotator_id) AS annotator,
               runs.status, runs.started_at, runs.finished_at,
               (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = runs.id) AS prompts,
               (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = runs.id AND run_prompts.skipped IS NOT NULL)
                   AS skipped_prompts,
               (SELECT count(*) FROM candidates WHERE candidates.run_id = runs.id) AS responses,
               (SELECT count(*) FROM candidates WHERE candidates.run_id = runs.id
                   AND candidates.duplicate_of_id IS NOT NULL) AS duplicates,
               (SELECT count(*) FROM candidates JOIN embeddings ON embeddings.response_id = candidates.response_id
                   AND embeddings.embedder_id = runs.embedder_id
                   WHERE candidates.run_id = runs.id AND embeddings.shard IS NULL) AS empty_responses,
               (SELECT count(*) FROM candidates JOIN embeddings ON embeddings.response_id = candidates.response_id
                   AND embeddings.embedder_id = runs.embedder_id
                   WHERE candidates.run_id = runs.id AND embeddings.is_truncated) AS truncated_responses,
               (SELECT count(*) FROM pairs WHERE pairs.run_id = runs.id) AS pairs,
               (SELECT count(*) FROM judgements WHERE judgements.run_id = runs.id) AS judgements
        FROM runs
    """,
    "labelled_pairs": """
        SELECT pairs.id AS pair_id, pairs.run_id, runs.name AS run, pairs.strategy, pairs.prompt_id,
               prompts.text AS prompt, pairs.similarity, pairs.first_response_id, pairs.second_response_id,
               preferences.outcome, preferences.support, preferences.vote_count,
               chosen.id AS chosen_response_id, rejected.id AS rejected_response_id,
               chosen.text AS chosen_response, rejected.text AS rejected_response
        FROM pairs
        JOIN runs ON runs.id = pairs.run_id
        JOIN prompts ON prompts.id = pairs.prompt_id
        LEFT JOIN preferences ON preferences.first_response_id = pairs.first_response_id
            AND preferences.second_response_id = pairs.second_response_id AND preferences.rule = 'majority'
        LEFT JOIN responses AS chosen ON chosen.id = CASE preferences.outcome
            WHEN 'first' THEN pairs.first_response_id WHEN 'second' THEN pairs.second_response_id END
        LEFT JOIN responses AS rejected ON rejected.id = CASE preferences.outcome
            WHEN 'first' THEN pairs.second_response_id WHEN 'second' THEN pairs.first_response_id END
    """,
    "judged_pairs": """
        SELECT judgements.id AS judgement_id, annotators.name AS annotator, annotators.kind,
               judgements.first_response_id, judgements.second_response_id,
               CASE WHEN judgements.left_response_id = judgements.first_response_id
                   THEN 'first' ELSE 'second' END AS shown_left,
               judgements.verdict, judgements.probability, judgements.margin, judgements.rationale,
               judgements.seconds, judgements.requests, judgements.cost, judgements.created_at AS judged_at,
               judgements.run_id
        FROM judgements
        JOIN annotators ON annotators.id = judgements.annotator_id
    """,
    "annotator_summary": """
        SELECT annotators.id AS annotator_id, annotators.name AS annotator, annotators.kind,
               count(judgements.id) AS judgements,
               sum(CASE WHEN judgements.verdict IN ('first', 'second') THEN 1 ELSE 0 END) AS decisive,
               sum(CASE WHEN judgements.verdict = 'tie' THEN 1 ELSE 0 END) AS ties,
               sum(CASE WHEN judgements.verdict = 'both_bad' THEN 1 ELSE 0 END) AS both_bad,
               sum(CASE WHEN judgements.verdict = 'skip' THEN 1 ELSE 0 END) AS skips,
               sum(CASE WHEN judgements.verdict = 'unparsed' THEN 1 ELSE 0 END) AS unparsed,
               avg(CASE WHEN judgements.verdict = 'first' AND judgements.left_response_id = judgements.first_response_id
                        OR judgements.verdict = 'second' AND judgements.left_response_id = judgements.second_response_id
                        THEN 1.0
                        WHEN judgements.verdict IN ('first', 'second') THEN 0.0 END) AS left_share,
               avg(judgements.seconds) AS mean_seconds, sum(judgements.requests) AS requests,
               sum(judgements.cost) AS cost,
               min(judgements.created_at) AS first_at, max(judgements.created_at) AS last_at
        FROM annotators
        JOIN judgements ON judgements.annotator_id = annotators.id
        GROUP BY annotators.id, annotators.name, annotators.kind
    """,
}
