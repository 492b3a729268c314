"""Real prompts and responses through all of a curation, embedded by a real model: every step has what to find."""

from __future__ import annotations

import gzip
import json

import pytest
from curation_steps import configured, curate
from sqlalchemy import text
from surroundings import REAL_DATA, REAL_MODEL

from tasks.config.exchange import ImportConfig
from tasks.curation.ingestion import import_source
from tasks.curation.similar import similar_responses

pytestmark = [pytest.mark.real_data, pytest.mark.real_model, pytest.mark.slow]
STRATEGIES = ("easy", "hard", "centroid", "random", "longest_gap", "closest_lengths_easy")
PROMPTS = 24
LOOP = "It all depends on what you want to know, and on what you know. " * 9


@pytest.fixture
def source(tmp_path):
    """Some prompts with the responses of eight models, a loop in place of one model's in every other prompt."""
    with gzip.open(REAL_DATA / "self_instruct_user_252.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(PROMPTS), strict=False)]
    path = tmp_path / "real.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            texts = [response["text"] for response in row["responses"]]
            responses = [LOOP, *texts[1:]] if number % 2 else texts
            file.write(json.dumps({"prompt": row["prompt"], "responses": responses}) + "\n")
    return path


def test_real_text_is_indexed_checked_guarded_and_selected(settings, sessions, source):
    import_source(str(source), ImportConfig(name="real"), settings)
    config = configured(
        source={"name": "real"},
        model={"name": str(REAL_MODEL)},
        generate={"when": "never"},
        embed={"backend": "transformers", "max_tokens": 32},
        select={"strategies": STRATEGIES},
        contamination={"files": [str(source)]},
    )
    run_id = curate(config)

    def ask(query):
        with sessions() as session:
            return session.execute(text(query), {"run": run_id}).all()

    is_loop = "LIKE 'It all depends on what you want%'"
    left_out = "SELECT count(*) FROM left_out_candidates WHERE run_id = :run AND rule = 'repetitive'"
    assert ask(f"{left_out} AND response {is_loop}")[0][0] == PROMPTS // 2
    of_pairs = "SELECT 1 FROM selected_pairs WHERE run_id = :run"
    assert not ask(f"{of_pairs} AND (first_response {is_loop} OR second_response {is_loop})")
    chosen = dict(ask("SELECT strategy, pairs FROM strategy_summary WHERE run_id = :run"))
    assert chosen.keys() == set(STRATEGIES) and min(chosen.values()) >= PROMPTS - 2
    means = dict(ask("SELECT strategy, mean_similarity FROM strategy_summary WHERE run_id = :run"))
    assert means["easy"] < means["centroid"] < means["hard"] and means["easy"] < means["closest_lengths_easy"]
    found = ask("SELECT count(DISTINCT prompt_id) FROM contaminated_prompts WHERE run_id = :run")
    assert found[0][0] >= PROMPTS - 2, "the file is its own benchmark; prompts of a few words have nothing to compare"
    (first_id,) = ask("SELECT min(first_response_id) FROM selected_pairs WHERE run_id = :run")[0]
    before = stamps(settings)
    assert similar_responses(first_id, 3, settings)[0].similarity == 1.0
    assert before and stamps(settings) == before, "the index of the run is read, and not made again"


def stamps(settings):
    """What is on disk of indexes: name → (inode, time of change)."""
    files = [path for path in (settings.artifact_root / "indexes").rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
