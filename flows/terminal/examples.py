"""One or two examples of each command, as `antipode COMMAND --help` shows them: what follows its name, and what for."""

from __future__ import annotations

JUDGE = "--judge.base_url http://localhost:8000/v1 --judge.model NAME"
MODEL = "--model.name Qwen/Qwen2.5-0.5B-Instruct"

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "demo": (("", "the whole job, in some minutes, without a GPU"),),
    "up": (
        ("", "a Prefect server, a worker and the labelling page on this machine"),
        (f"--nightly mine --model {MODEL.rsplit(maxsplit=1)[-1]}", "curate the prompts `mine` every night"),
    ),
    "import": (
        ("prompts.jsonl --preview", "what would be read as what, and what refused"),
        ("prompts.jsonl --name mine", "store it"),
    ),
    "curate": (
        (f"--source.name mine {MODEL} --dry-run", "what it would do and cost"),
        (f"--source.name mine {MODEL}", "sample, embed, select"),
    ),
    "plan": (
        ("--prompts 1e8 --gpu_hour_price 2.5 --gb_month_price 0.05", "GPU hours, storage, database, money"),
        ("--prompts 1e5,1e7 --dimension 768 --parameters 0.5", "two sizes, a small model"),
    ),
    "pairs": (
        ("--strategy centroid", "of the newest run"),
        ("--run 3 --format parquet --output pairs.parquet", "all of run 3, in a file"),
    ),
    "runs": (("", "newest first"), ("--format json", "all figures")),
    "label": (
        (f"{JUDGE} --dry-run", "what a judge would be asked and cost"),
        ("--annotator reward_model --reward_model.name NAME", "a classifier labels"),
    ),
    "calibrate": (
        (f"{JUDGE} --min_agreement 0.7", "a judge beside people"),
        ("--annotator reward_model --reward_model.name NAME --against anna", "a classifier beside anna"),
    ),
    "web": (
        ("", "label the newest run's pairs yourself"),
        ("--annotators anna,ben --judgements_per_pair 2", "two people, each pair twice"),
    ),
    "people": (("", "who labels, and how much"), ("--renew anna", "a new sign-in link")),
    "queue": (
        ("3 --judgements_per_pair 2 --overlap 0.1", "two people judge a tenth of the pairs of queue 3"),
        ("3 --guidelines guidelines.md --adjudicators lea", "guidelines beside every pair; lea settles contradictions"),
    ),
    "metrics": (("", "what Prometheus is told"), ("--token", "what it must show for it")),
    "forget": (
        ("source mine --dry-run", "what would go, and what keeps it"),
        ("person anna", "her verdicts, links and answers"),
    ),
    "rename": (("run 3 first-round", "another name for run 3"),),
    "quality": (
        ("", "of the newest run's labels"),
        ("--queue second-look", "put what is worth another look into a queue"),
    ),
    "head": (("", "of the newest run's labels"), ("--format json", "all figures")),
    "export": (
        ("preferences.jsonl", "chosen and rejected for TRL, of the newest run"),
        ("out.jsonl --shape axolotl --min_votes 2", "for axolotl, of pairs with two votes or more"),
    ),
    "push": (
        ("preferences --card_only card", "see the card first"),
        ("preferences --repository OWNER/NAME", "send it; it asks first"),
    ),
    "pull": (("OWNER/NAME preferences.jsonl", "read it back, checked"),),
    "export-pairs": (
        ("pairs.jsonl", "a file to fill in"),
        ("tasks.json --tool label-studio", "for Label Studio"),
    ),
    "import-labels": (("labels.jsonl", "a file that was filled in, or a tool's export"),),
    "align": (
        (f"--data.run 3 --train.method dpo {MODEL} --dry-run", "what it would take"),
        (f"--data.run 3 --train.method dpo {MODEL}", "train, measure, register"),
    ),
    "ld-align": ((f"--source.name mine --golden references {MODEL}", "rounds against golden responses"),),
    "evaluate": (("2 --against policy:1 --evaluate.annotator rubric", "two policies beside each other"),),
    "questions": ((f"questions.jsonl --protocol mt_bench --model.name policy:2 {JUDGE}", "a judge grades"),),
    "study": (("pilot", "does selecting save labels here?"), ("losses --dry-run", "what it would take")),
    "benchmarks": (("policy:2", "lm-eval's tasks (extra lm-eval)"),),
    "policies": (("", "newest first; the one in use is marked"), ("--format json", "with all settings")),
    "promote": (("2", "if it beats the one in use"),),
    "rollback": (("", "the one before is in use again"),),
    "sql": (
        ('"SELECT * FROM selected_pairs LIMIT 9"', "a table"),
        ('"SELECT * FROM run_summary" --format record', "a record a row, for wide results"),
    ),
    "similar": (("42", "the responses most similar to response 42"), ('--text "rye bread"', "to a text")),
    "report": (("", "of the newest run"),),
    "sources": (("", "what was imported"), ("mine", "of this name alone")),
    "snapshots": (("", "what was exported"), ("--format json", "with what chose its rows")),
    "deploy": (("", "to the server of PREFECT_API_URL"),),
    "worker": (("", "run what that server asks for"), ("--queues training", "only trainings")),
    "docs": (("", "every command and setting, and how to; no network is needed"),),
    "doctor": (("", "what is wrong here, and what to do"),),
    "vectors": (("check", "are they as they were written?"), ("check --repair", "have damaged ones embedded anew")),
    "backup": (("antipode.backup", "while others write"),),
    "restore": (("antipode.backup", "into an empty database"),),
    "upgrade": (("", "after an update, with nothing running"),),
}
