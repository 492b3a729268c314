"""The main job on real engines and real input: vLLM samples for real prompts, the demo model embeds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import func, select
from surroundings import REAL_DATA

from db.schema import curation
from models.demo.parser import utility


def pairs_of(antipode, *arguments):
    result = antipode("pairs", "--format", "jsonl", *arguments)
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.vllm
@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_vllm_samples_for_over_two_hundred_real_prompts(antipode, sessions):
    antipode("import", str(REAL_DATA / "self_instruct_user_252.jsonl.gz"), "--name", "real")
    sampling = ("--generate.backend", "vllm", "--generate.responses_per_prompt", "2", "--generate.max_tokens", "32")
    curated = antipode(
        "curate", "--source.name", "real", "--model.name", "demo", "--generate.when", "always", *sampling
    )
    assert curated.returncode == 0, curated.stderr
    with sessions() as session:
        sampled = session.execute(
            select(
                curation.Response.prompt_id,
                curation.Response.token_count,
                curation.Response.finish_reason,
                curation.Response.seed,
            )
            .join(curation.Generator, curation.Generator.id == curation.Response.generator_id)
            .where(curation.Generator.backend == "vllm")
        ).all()
        embedded = session.scalar(select(func.count()).select_from(curation.Embedding))
    assert len({row.prompt_id for row in sampled}) >= 200
    assert len({row.seed for row in sampled}) == len(sampled)
    assert all(0 < row.token_count <= 32 and row.finish_reason in {"stop", "length"} for row in sampled)
    assert embedded > 2_000
    assert len(pairs_of(antipode, "--strategy", "easy")) >= 250


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.postgres
def test_the_demo_shows_pairs_figures_a_report_and_what_to_do_next(antipode, tmp_path):
    shown = antipode("demo", "--prompts", "24")
    assert shown.returncode == 0, shown.stderr
    for stage in ("generate", "embed", "select"):
        assert f"{stage} " in shown.stderr
    assert "24 prompts, 192 responses" in shown.stdout
    report = Path(next(line.split()[1] for line in shown.stdout.splitlines() if line.startswith("Report")))
    assert report.is_file() and "<svg" in report.read_text()
    assert sum("antipode " in line for line in shown.stdout.splitlines()) == 6
    assert "judgements by 2 annotators" in shown.stdout
    for strategy in ("easy", "hard", "centroid", "random"):
        assert re.search(rf"strategy +{strategy} +24 +24 +\d+ %", shown.stdout), shown.stdout

    utilities = [
        (utility(pair["prompt"], pair["first_response"]), utility(pair["prompt"], pair["second_response"]))
        for pair in pairs_of(antipode, "--strategy", "easy")
    ]
    assert len(utilities) == 24
    assert sum(first != second for first, second in utilities) >= 12, "the least similar pair mostly differs in quality"
