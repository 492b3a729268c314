"""What a run leaves for people: a queue in the morning, a summary in figures, pictures that stay small."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from curation_steps import configured, curate, row
from markdown_it import MarkdownIt
from stored_rows import add

from db import runs
from db.labels import queues
from db.labels.snapshots import SnapshotInfo
from db.policies import PolicyRecord
from models.alignment.records import MetricPoint
from models.intervals import Interval
from models.report.contents import NextStep, StrategyFigures
from models.report.curves_picture import curves_svg, thinned
from models.report.intervals_picture import NO_COMPARISONS, comparisons_svg
from models.report.length import correlation_words
from models.report.policy_contents import EvaluationFigures, Gate, PolicyContents, Rate
from models.report.similarities_picture import NO_PAIRS, similarities_svg
from tasks.config.curation import CurateConfig
from tasks.config.section import refuse_in_vain
from tasks.reports.artifacts import report_line
from tasks.reports.policy_publishing import policy_end_markdown
from tasks.reports.run_page import next_steps
from tasks.reports.run_publishing import labels_end_markdown, publish, summary_markdown
from tasks.settings import Settings

LARGEST_PICTURE = 100_000
PROMPTS = [row(number, f"Tell me about number {number}.") for number in range(1, 6)]
SUMMARY = runs.RunSummary(
    run_id=7, run="nightly", kind="curate", labelled_run_id=None, annotator=None, status="completed",
    started_at="", finished_at=None, prompts=1200, skipped_prompts=3, responses=9600, duplicates=12, empty_responses=0,
    truncated_responses=4, cut_responses=71, left_out_responses=71, pairs=4788,
    judgements=0, tokens=123456, requests=0, cost=0.0, device_seconds=83.0,
    deployment="curate/nightly", resumes=0, dtype="bfloat16", dtype_reason="a GPU computes in it",
    length_correlation=-0.314, length_correlation_low=-0.352, length_correlation_high=-0.276,
)  # fmt: skip
FREE = replace(SUMMARY, tokens=None, device_seconds=0.0)
JUDGED = EvaluationFigures(
    "judge", "policy 3", 64, 10, 26, Rate(0.69, 0.62, 0.75), Rate(0.61, 0.54, 0.67), 50, 0, datetime.now(UTC), None
)
STEP = NextStep("more prompts would decide", "antipode evaluate 3 --against start --evaluate.annotator judge")

POLICY = PolicyRecord(
    id=3, key="k", name="nightly", method="dpo", round=1, run_id=7, start_model="demo", start_fingerprint="f",
    parent_id=None, snapshot_id=5, data_hash="h", settings={}, code_version="0", library_versions={}, status="trained",
    folder="policies/k", fingerprint=None, seconds=30.4, peak_memory_bytes=None, metrics={"response_tokens": 21352},
    error=None, created_at=datetime.now(UTC), finished_at=None,
)  # fmt: skip
SNAPSHOT = SnapshotInfo(5, "nightly | all", "hash", 1560, datetime.now(UTC))
CONTENTS = PolicyContents(3, "nightly", "dpo", 1, "demo")


def opened_queues(sessions):
    with sessions() as session:
        return queues.list_queues(session)


def curated(sessions, **queue):
    add(sessions, *PROMPTS)
    return curate(configured(queue=queue))


def test_a_run_opens_its_queue_once(settings, sessions):
    run_id = curated(sessions, is_opened=True, judgements_per_pair=2)
    publish.fn(run_id)
    publish.fn(run_id)
    (queue,) = opened_queues(sessions)
    assert (queue.judgements_per_pair, queue.done_count) == (2, 0)
    with sessions() as session:
        assert 0 < queue.pair_count <= runs.summaries(session, run_id)[0].pairs


def test_a_queue_may_hold_the_pairs_of_one_strategy(settings, sessions):
    publish.fn(curated(sessions, is_opened=True, strategies=["hard"]))
    assert [queue.pair_count for queue in opened_queues(sessions)] == [len(PROMPTS)]


def test_no_queue_is_opened_unless_it_is_asked_for(settings, sessions):
    publish.fn(curated(sessions))
    assert opened_queues(sessions) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_night_without_a_pair_says_so_and_is_no_failure(settings, sessions, capsys):
    add(sessions, row(1, "Alone?", "only one"))
    publish.fn(curate(configured(generate={"when": "never"}, queue={"is_opened": True})))
    assert opened_queues(sessions) == []
    assert "no queue is opened" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("queue", "what"),
    [
        ({"judgements_per_pair": 3}, "set queue.is_opened"),
        ({"is_opened": True, "strategies": ["hard"]}, "queue.strategies names hard"),
    ],
)
def test_a_queue_that_would_not_be_as_asked_is_refused(queue, what):
    with pytest.raises(ValueError, match=what):
        refuse_in_vain(CurateConfig.model_validate({"select": {"strategies": ["easy"]}, "queue": queue}))


def test_a_summary_says_what_a_run_cost_and_what_to_do_next():
    text = summary_markdown(SUMMARY, Path("reports/run-7.html"), None, Settings())
    for words in (
        "nightly (run 7)", "| prompts | 1,200 |", "| of them without a pair | 3 |", "| responses | 9,600 |",
        "123,456 tokens", "1 min 23 s", str(Path("reports").resolve()),
        "FROM selected_pairs WHERE run_id = 7", "antipode label --pairs.run 7", "antipode web --run 7",
    ):  # fmt: skip
        assert words in text
    assert "requests" not in text and "currency" not in text


def test_a_summary_says_whether_similarity_follows_length():
    rows = {"longest_gap": StrategyFigures(1197, 0.8204, 0.274, 12, 399, {"easy": 399})}
    words = correlation_words(Interval(-0.314, -0.352, -0.276))
    text = summary_markdown(SUMMARY, Path("page.html"), None, Settings(), strategies=rows, length=words)
    assert "| longest\\_gap | 1,197 | 0.820 | 0.27 | 1.0 % | 33.3 % |" in text
    assert "Flagged: pairs with a response that the guard flagged." in text
    assert "difference in length: −0.31 [−0.35, −0.28], so the less similar pairs differ more in length" in text
    assert "in length" not in summary_markdown(SUMMARY, Path("page.html"), None, Settings())


def test_a_curations_summary_tells_what_the_checks_found():
    text = summary_markdown(SUMMARY, Path("page.html"), None, Settings(), checks=["3 prompts are nearly the same"])
    assert "## What the checks found\n\n- 3 prompts are nearly the same" in text
    assert "checks" not in summary_markdown(SUMMARY, Path("page.html"), None, Settings())


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(-0.2, -0.3, -0.1), "−0.20 [−0.30, −0.10], so the less similar pairs differ more in length"),
        (Interval(0.2, 0.1, 0.3), "+0.20 [+0.10, +0.30], so the less similar pairs differ less in length."),
        (Interval(0.01, -0.1, 0.12), "+0.01 [−0.10, +0.12], so neither direction is shown."),
    ],
)
def test_the_words_about_length_follow_the_interval(interval, words):
    assert words in correlation_words(interval)


def test_what_cost_nothing_has_no_cost():
    assert "Cost" not in summary_markdown(FREE, Path("page.html"), None, Settings())
    judged = replace(FREE, requests=1240, cost=0.0213)
    text = labels_end_markdown(judged, 7, None, Settings())
    assert "1,240 requests" in text and "0.0213 in the currency" in text and "GPU" not in text


def test_a_summary_links_the_queue_where_the_page_has_an_address():
    settings = Settings(page_url="https://labels.example/")
    assert "](https://labels.example/queues/3)" in summary_markdown(SUMMARY, Path("page.html"), 3, settings)
    assert "](https://labels.example/)" in summary_markdown(SUMMARY, Path("page.html"), None, settings)
    assert "Queue 3 is open" in labels_end_markdown(SUMMARY, 7, 3, Settings())


def test_labels_that_are_not_there_yet_are_not_trained_on():
    assert "antipode align" in labels_end_markdown(SUMMARY, 7, None, Settings())
    text = labels_end_markdown(SUMMARY, 7, None, Settings(), has_labels=False)
    assert "Wait for judgements" in text and "`pairs.run` 7" in text and "align" not in text


def test_what_to_do_next_with_a_run_names_the_run():
    commands = [step.command for step in next_steps(7, is_demo=False)]
    demo = [step.command for step in next_steps(7, is_demo=True)]
    assert commands == [
        "antipode pairs --run 7", "antipode web --run 7",
        "antipode label --pairs.run 7 --judge.base_url URL --judge.model NAME", "antipode quality --run 7",
        "antipode export preferences.jsonl --run 7",
    ]  # fmt: skip
    assert demo == [*commands, "antipode import YOUR_FILE.jsonl --name mine"], "whose prompts are not one's own"


def test_no_hint_names_the_last_run_which_tomorrow_is_another():
    root = Path(__file__).parents[1]
    files = [
        path for layer in ("antipode", "flows", "tasks", "models", "db", "web") for path in (root / layer).rglob("*.*")
    ]
    texts = {path: path.read_text() for path in files if path.suffix in {".py", ".html", ".js"}}
    assert len(texts) > 100
    assert [path.name for path, text in texts.items() if "run last" in text] == []


def test_a_policy_says_what_it_was_trained_on_and_what_to_do_next():
    held_back = replace(CONTENTS, gate=Gate("not passed", "it is even", STEP))
    text = policy_end_markdown(held_back, POLICY, SNAPSHOT, SUMMARY, ["Folder: `there`"])
    for words in (
        "Snapshot 5 (nightly \\| all): 1,560 preferences", "21,352 tokens of responses in 30 s", "1 min 23 s",
        "Folder: `there`", f"More prompts would decide: `{STEP.command}`",
    ):  # fmt: skip
        assert words in text
    assert "promote 3" not in text
    passed = policy_end_markdown(replace(CONTENTS, gate=Gate("passed", "it wins")), POLICY, None, SUMMARY, [])
    assert "Put it into use: `antipode promote 3`" in passed and "evaluate 3" not in passed
    used = policy_end_markdown(replace(CONTENTS, gate=Gate("in use", "it is in use")), POLICY, None, SUMMARY, [])
    assert "antipode rollback" in used and "promote 3" not in used


def test_the_name_of_a_run_marks_nothing_up():
    hostile = replace(SUMMARY, run="<b>x</b> [y](javascript:z) | `q` # *w*")
    shown = MarkdownIt("commonmark").render(summary_markdown(hostile, Path("page.html"), None, Settings()))
    heading = ElementTree.fromstring(shown.splitlines()[0])
    assert heading.text == f"{hostile.run} (run 7)" and len(heading) == 0


def test_pictures_stay_small_and_whole(subtests):
    random = np.random.default_rng(0)
    many = {name: random.uniform(-1, 1, 100_000) for name in ("easy", "hard", "centroid", "random")}
    points = [
        MetricPoint(step, split, name, float(random.normal()))
        for split in ("train", "held_out")
        for name in ("margin", "loss", "accuracy", "objective", "chosen_logps", "rejected_logps", "kl")
        for step in range(5_000)
    ]
    pictures = {
        "similarities": similarities_svg(many),
        "curves": curves_svg(thinned(points)),
        "win rates": comparisons_svg([JUDGED] * 8),
    }
    for name, picture in pictures.items():
        with subtests.test(name):
            ElementTree.fromstring(picture)
            assert len(picture.encode()) < LARGEST_PICTURE


def test_a_thinned_line_keeps_its_ends():
    line = [MetricPoint(step, "train", "loss", float(step)) for step in range(1, 1000)]
    kept = thinned(line)
    assert (kept[0], kept[-1]) == (line[0], line[-1]) and len(kept) <= 201
    assert thinned(line[:3]) == line[:3]


def test_a_picture_of_nothing_says_so():
    assert NO_PAIRS in similarities_svg({"easy": np.array([])})
    assert NO_COMPARISONS in comparisons_svg([replace(JUDGED, win=0, tie=0, lose=0)])


def test_a_report_is_linked_where_the_page_serves_it(tmp_path):
    path = tmp_path / "reports" / "run-7.html"
    here, served = Settings(page_url=None), Settings(page_url="https://label.example/")
    assert report_line(here, path) == f"Report page: `{path}`"
    assert "(https://label.example/reports/run-7.html)" in report_line(served, path)
    assert f"`{path}`" in report_line(served, path)
