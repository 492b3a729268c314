"""The views that users query: the stable interface, documented in docs/database.md."""

from __future__ import annotations

from db.schema.counts import COUNT_RUNS, RUN_COUNTS
from models.guard.records import RULES

_REASON = " ".join(f"WHEN '{rule}' THEN '{words}'" for rule, words in RULES.items())

# What was said only to measure an annotator is no label.
_IS_LABEL = """(judgements.run_id IS NULL OR judgements.run_id NOT IN (
                SELECT measuring.id FROM runs AS measuring WHERE measuring.kind = 'calibrate'))"""
_NOT_KEPT = "NOT EXISTS (SELECT 1 FROM run_counts WHERE run_counts.run_id = counted.id)"

# Dropped before every migration and made anew after it.
VIEWS: dict[str, str] = {
    "selected_pairs": """
        SELECT pairs.id AS pair_id, pairs.run_id, runs.name AS run, pairs.strategy, pairs.prompt_id,
               prompts.text AS prompt, pairs.first_response_id, pairs.second_response_id,
               first.text AS first_response, second.text AS second_response,
               first_generator.model AS first_model, second_generator.model AS second_model,
               COALESCE(first.finish_reason, '') = 'length' AS is_first_cut,
               COALESCE(second.finish_reason, '') = 'length' AS is_second_cut,
               pairs.similarity, pairs.rank, pairs.pair_count
        FROM pairs
        JOIN runs ON runs.id = pairs.run_id
        JOIN prompts ON prompts.id = pairs.prompt_id
        JOIN responses AS first ON first.id = pairs.first_response_id
        JOIN responses AS second ON second.id = pairs.second_response_id
        JOIN generators AS first_generator ON first_generator.id = first.generator_id
        JOIN generators AS second_generator ON second_generator.id = second.generator_id
    """,
    "run_summary": f"""
        SELECT runs.id AS run_id, runs.name AS run, runs.kind, runs.labelled_run_id,
               (SELECT annotators.name FROM annotators WHERE annotators.id = runs.annotator_id) AS annotator,
               runs.status, runs.started_at, runs.finished_at,
               counts.prompts, counts.skipped_prompts, counts.responses, counts.duplicates, counts.empty_responses,
               counts.truncated_responses, counts.cut_responses, counts.left_out_responses, counts.pairs,
               (SELECT count(*) FROM judgements WHERE judgements.run_id = runs.id) AS judgements,
               counts.tokens,
               runs.requests, runs.cost, runs.device_seconds, runs.deployment, runs.resumes, runs.dtype,
               runs.dtype_reason, runs.length_correlation, runs.length_correlation_low, runs.length_correlation_high
        FROM runs
        JOIN (
            SELECT {RUN_COUNTS} FROM run_counts
            UNION ALL
            {COUNT_RUNS.format(condition=_NOT_KEPT)}
        ) AS counts ON counts.run_id = runs.id
    """,
    # The texts are read within the mean: joined, they would be sorted along.
    "strategy_summary": """
        SELECT figures.run_id, runs.name AS run, figures.strategy, figures.pairs, figures.mean_similarity,
               figures.mean_length_ratio, figures.degenerate_share, figures.shared_share
        FROM (
            SELECT pairs.run_id, pairs.strategy, count(*) AS pairs, avg(pairs.similarity) AS mean_similarity,
                   avg((
                       SELECT CASE WHEN length(first.text) < length(second.text)
                                   THEN CAST(length(first.text) AS float) / length(second.text)
                                   WHEN length(first.text) > length(second.text)
                                   THEN CAST(length(second.text) AS float) / length(first.text) ELSE 1 END
                       FROM responses AS first JOIN responses AS second ON second.id = pairs.second_response_id
                       WHERE first.id = pairs.first_response_id
                   )) AS mean_length_ratio,
                   CAST(avg(CASE WHEN EXISTS (SELECT 1 FROM guard_flags WHERE guard_flags.run_id = pairs.run_id
                                              AND guard_flags.response_id = pairs.first_response_id)
                                 OR EXISTS (SELECT 1 FROM guard_flags WHERE guard_flags.run_id = pairs.run_id
                                            AND guard_flags.response_id = pairs.second_response_id)
                                 THEN 1.0 ELSE 0.0 END) AS float) AS degenerate_share,
                   CAST(avg(CASE WHEN EXISTS (
                            SELECT 1 FROM pairs AS others WHERE others.first_response_id = pairs.first_response_id
                            AND others.second_response_id = pairs.second_response_id
                            AND others.run_id - pairs.run_id = 0  -- so SQLite finds a pair's few rows, not a run's many
                            AND others.strategy <> pairs.strategy
                        ) THEN 1.0 ELSE 0.0 END) AS float) AS shared_share
            FROM pairs
            GROUP BY pairs.run_id, pairs.strategy
        ) AS figures
        JOIN runs ON runs.id = figures.run_id
    """,
    "strategy_overlaps": """
        SELECT pairs.run_id, runs.name AS run, pairs.strategy, others.strategy AS other_strategy,
               count(*) AS shared_pairs
        FROM pairs
        JOIN runs ON runs.id = pairs.run_id
        JOIN pairs AS others ON others.first_response_id = pairs.first_response_id
            AND others.second_response_id = pairs.second_response_id
            AND others.run_id - pairs.run_id = 0
            AND others.strategy <> pairs.strategy
        GROUP BY pairs.run_id, runs.name, pairs.strategy, others.strategy
    """,
    "strategy_labels": f"""
        SELECT asked.run_id, runs.name AS run, asked.strategy, asked.annotators,
               sum(CASE WHEN asked.vote IS NULL THEN 0 ELSE 1 END) AS votes,
               sum(CASE WHEN asked.vote = 'tie' THEN 1 ELSE 0 END) AS ties,
               sum(CASE WHEN asked.vote = 'both_bad' THEN 1 ELSE 0 END) AS both_bad,
               sum(CASE WHEN asked.vote IS NULL AND asked.is_skipped = 1 THEN 1 ELSE 0 END) AS skips,
               CAST(avg(CASE WHEN asked.vote IN ('tie', 'both_bad') THEN 1.0 WHEN asked.vote IS NOT NULL THEN 0.0 END)
                    AS float) AS tie_share,
               CAST(avg(CASE WHEN asked.vote IS NOT NULL THEN 0.0 WHEN asked.is_skipped = 1 THEN 1.0 END) AS float)
                   AS skip_share
        FROM (
            SELECT pairs.run_id, pairs.strategy,
                   CASE annotators.kind WHEN 'person' THEN 'people' ELSE 'machines' END AS annotators,
                   CASE WHEN sum(CASE WHEN judgements.verdict IN ('skip', 'unparsed') THEN 0 ELSE 1 END)
                             < CASE WHEN annotators.has_both_orders THEN 2 ELSE 1 END THEN NULL
                        WHEN min(CASE WHEN judgements.verdict NOT IN ('skip', 'unparsed') THEN judgements.verdict END)
                             = max(CASE WHEN judgements.verdict NOT IN ('skip', 'unparsed') THEN judgements.verdict END)
                        THEN min(CASE WHEN judgements.verdict NOT IN ('skip', 'unparsed') THEN judgements.verdict END)
                        ELSE 'tie' END AS vote,
                   max(CASE WHEN judgements.verdict IN ('skip', 'unparsed') THEN 1 ELSE 0 END) AS is_skipped
            FROM pairs
            JOIN judgements ON judgements.first_response_id = pairs.first_response_id
                AND judgements.second_response_id = pairs.second_response_id AND {_IS_LABEL}
            JOIN annotators ON annotators.id = judgements.annotator_id
            GROUP BY pairs.run_id, pairs.strategy, pairs.id, annotators.id, annotators.kind, annotators.has_both_orders
        ) AS asked
        JOIN runs ON runs.id = asked.run_id
        GROUP BY asked.run_id, runs.name, asked.strategy, asked.annotators
    """,
    "similar_prompts": """
        SELECT run_prompts.run_id, runs.name AS run, run_prompts.group_id, run_prompts.prompt_id,
               prompts.text AS prompt, run_prompts.left_out
        FROM run_prompts
        JOIN runs ON runs.id = run_prompts.run_id
        JOIN prompts ON prompts.id = run_prompts.prompt_id
        WHERE run_prompts.group_id IS NOT NULL
    """,
    "contaminated_prompts": """
        SELECT contaminations.run_id, runs.name AS run, contaminations.prompt_id, prompts.text AS prompt,
               contaminations.kind, contaminations.file, contaminations.line, contaminations.value,
               contaminations.text AS shared_text, contaminations.response_id, run_prompts.left_out
        FROM contaminations
        JOIN runs ON runs.id = contaminations.run_id
        JOIN prompts ON prompts.id = contaminations.prompt_id
        JOIN run_prompts ON run_prompts.run_id = contaminations.run_id
            AND run_prompts.prompt_id = contaminations.prompt_id
    """,
    "nearly_labelled_pairs": """
        SELECT labelled_alike.run_id, runs.name AS run, labelled_alike.prompt_id, prompts.text AS prompt,
               labelled_alike.first_response_id, labelled_alike.second_response_id,
               labelled_alike.labelled_first_id, labelled_alike.labelled_second_id,
               labelled_alike.similarity, labelled_alike.is_left_out
        FROM labelled_alike
        JOIN runs ON runs.id = labelled_alike.run_id
        JOIN prompts ON prompts.id = labelled_alike.prompt_id
    """,
    "left_out_candidates": f"""
        SELECT guard_flags.run_id, runs.name AS run, guard_flags.prompt_id, prompts.text AS prompt,
               guard_flags.response_id, responses.text AS response, generators.model, guard_flags.rule,
               CASE guard_flags.rule {_REASON} END AS reason, guard_flags.value
        FROM guard_flags
        JOIN runs ON runs.id = guard_flags.run_id
        JOIN prompts ON prompts.id = guard_flags.prompt_id
        JOIN responses ON responses.id = guard_flags.response_id
        JOIN generators ON generators.id = responses.generator_id
        WHERE guard_flags.is_left_out
    """,
    "labelled_pairs": """
        SELECT pairs.id AS pair_id, pairs.run_id, runs.name AS run, pairs.strategy, pairs.prompt_id,
               prompts.text AS prompt, pairs.similarity, pairs.first_response_id, pairs.second_response_id,
               preferences.outcome, preferences.support, preferences.vote_count,
               chosen.id AS chosen_response_id, rejected.id AS rejected_response_id,
               chosen.text AS chosen_response, rejected.text AS rejected_response,
               CASE WHEN chosen.id IS NOT NULL THEN COALESCE(chosen.finish_reason, '') = 'length' END AS is_chosen_cut,
               CASE WHEN rejected.id IS NOT NULL THEN COALESCE(rejected.finish_reason, '') = 'length' END
                   AS is_rejected_cut
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
    "predicted_preferences": """
        SELECT predictions.run_id, runs.name AS run, first.prompt_id, prompts.text AS prompt,
               predictions.first_response_id, predictions.second_response_id,
               first.text AS first_response, second.text AS second_response,
               predictions.probability, predictions.low, predictions.high, predictions.margin, predictions.deviation,
               CASE WHEN predictions.low > 0.5 OR predictions.high < 0.5 THEN TRUE ELSE FALSE END AS is_confident,
               predictions.label_count, predictions.created_at AS predicted_at, preferences.outcome
        FROM predictions
        JOIN runs ON runs.id = predictions.run_id
        JOIN responses AS first ON first.id = predictions.first_response_id
        JOIN responses AS second ON second.id = predictions.second_response_id
        JOIN prompts ON prompts.id = first.prompt_id
        LEFT JOIN preferences ON preferences.first_response_id = predictions.first_response_id
            AND preferences.second_response_id = predictions.second_response_id AND preferences.rule = 'majority'
    """,
    "judged_pairs": """
        SELECT judgements.id AS judgement_id, annotators.name AS annotator, annotators.kind,
               judgements.first_response_id, judgements.second_response_id,
               CASE WHEN judgements.left_response_id = judgements.first_response_id
                   THEN 'first' ELSE 'second' END AS shown_left,
               judgements.verdict, judgements.probability, judgements.margin, judgements.strength, judgements.rationale,
               judgements.seconds, judgements.requests, judgements.cost, judgements.created_at AS judged_at,
               judgements.run_id, judgements.queue_id, judgements.guidelines_version
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
    "annotator_calibrations": """
        SELECT calibrations.run_id, runs.name AS run, runs.labelled_run_id, annotators.id AS annotator_id,
               annotators.name AS annotator, annotators.kind, calibrations.against, calibrations.pairs,
               calibrations.prompts, calibrations.agreement, calibrations.low, calibrations.high,
               CAST(calibrations.figures AS text) AS figures, calibrations.created_at AS calibrated_at
        FROM calibrations
        JOIN runs ON runs.id = calibrations.run_id
        JOIN annotators ON annotators.id = calibrations.annotator_id
    """,
    "policy_summary": """
        SELECT policies.id AS policy_id, policies.name AS policy, policies.method, policies.round, policies.status,
               policies.run_id, policies.snapshot_id, policies.start_model, policies.parent_id,
               CASE WHEN policies.id = (SELECT promotions.policy_id FROM promotions ORDER BY promotions.id DESC LIMIT 1)
                   THEN TRUE ELSE FALSE END AS is_in_use,
               (SELECT training_metrics.value FROM training_metrics WHERE training_metrics.policy_id = policies.id
                   AND training_metrics.split = 'held_out' AND training_metrics.name = 'margin'
                   ORDER BY training_metrics.step DESC LIMIT 1) AS held_out_margin,
               (SELECT training_metrics.value FROM training_metrics WHERE training_metrics.policy_id = policies.id
                   AND training_metrics.split = 'held_out' AND training_metrics.name = 'loss'
                   ORDER BY training_metrics.step DESC LIMIT 1) AS held_out_loss,
               (SELECT training_metrics.value FROM training_metrics WHERE training_metrics.policy_id = policies.id
                   AND training_metrics.split = 'held_out' AND training_metrics.name = 'accuracy'
                   ORDER BY training_metrics.step DESC LIMIT 1) AS held_out_accuracy,
               policies.seconds, policies.peak_memory_bytes, policies.folder, policies.error,
               policies.created_at, policies.finished_at
        FROM policies
    """,
    "training_curves": """
        SELECT training_metrics.policy_id, policies.name AS policy, policies.method, policies.round,
               training_metrics.split, training_metrics.step, training_metrics.name, training_metrics.value
        FROM training_metrics
        JOIN policies ON policies.id = training_metrics.policy_id
    """,
    "policy_evaluations": f"""
        SELECT evaluations.id AS evaluation_id, evaluations.run_id, evaluations.policy_id, policies.name AS policy,
               COALESCE(evaluations.baseline_model, 'policy:' || CAST(evaluations.baseline_id AS text)) AS baseline,
               annotators.name AS annotator,
               (SELECT count(*) FROM evaluation_pairs WHERE evaluation_pairs.evaluation_id = evaluations.id) AS pairs,
               COALESCE(judged.wins, 0) AS wins, COALESCE(judged.ties, 0) AS ties, COALESCE(judged.losses, 0) AS losses,
               evaluations.created_at, evaluations.finished_at
        FROM evaluations
        JOIN policies ON policies.id = evaluations.policy_id
        LEFT JOIN annotators ON annotators.id = evaluations.annotator_id
        LEFT JOIN (
            SELECT evaluation_pairs.evaluation_id,
                   sum(CASE WHEN evaluation_pairs.policy_response_id = CASE judgements.verdict
                       WHEN 'first' THEN judgements.first_response_id
                       WHEN 'second' THEN judgements.second_response_id END THEN 1 ELSE 0 END) AS wins,
                   sum(CASE WHEN judgements.verdict IN ('tie', 'both_bad') THEN 1 ELSE 0 END) AS ties,
                   sum(CASE WHEN evaluation_pairs.baseline_response_id = CASE judgements.verdict
                       WHEN 'first' THEN judgements.first_response_id
                       WHEN 'second' THEN judgements.second_response_id END THEN 1 ELSE 0 END) AS losses
            FROM evaluation_pairs
            JOIN evaluations AS compared ON compared.id = evaluation_pairs.evaluation_id
            JOIN judgements ON judgements.first_response_id = CASE
                    WHEN evaluation_pairs.policy_response_id < evaluation_pairs.baseline_response_id
                    THEN evaluation_pairs.policy_response_id ELSE evaluation_pairs.baseline_response_id END
                AND judgements.second_response_id = CASE
                    WHEN evaluation_pairs.policy_response_id < evaluation_pairs.baseline_response_id
                    THEN evaluation_pairs.baseline_response_id ELSE evaluation_pairs.policy_response_id END
            JOIN annotators ON annotators.id = judgements.annotator_id
            WHERE (judgements.annotator_id = compared.annotator_id
                   OR compared.annotator_id IS NULL AND annotators.kind = 'person') AND {_IS_LABEL}
            GROUP BY evaluation_pairs.evaluation_id
        ) AS judged ON judged.evaluation_id = evaluations.id
    """,
    "study_results": """
        SELECT study_trials.run_id, runs.name AS run, study_trials.arm, study_trials.annotator, study_trials.budget,
               study_trials.seed, study_trials.part, CAST(study_trials.figures AS text) AS figures,
               study_trials.seconds, study_trials.created_at AS done_at
        FROM study_trials
        JOIN runs ON runs.id = study_trials.run_id
    """,
}
