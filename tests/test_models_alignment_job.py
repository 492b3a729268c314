"""The files of a training's folder: what is written into them is what is read from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alignment_jobs import make_job
from hypothesis import given
from hypothesis import strategies as st

from models.alignment.job import (
    TrainingJob,
    metrics_line,
    read_job,
    read_metrics_line,
    read_result,
    write_job,
    write_result,
)
from models.alignment.records import (
    Example,
    LoraSettings,
    MetricPoint,
    StepsDone,
    TrainingResult,
    TrainingSettings,
    UnfitExample,
)
from models.records import Message, Prompt

counts = st.integers(0, 10**9)
numbers = st.floats(allow_nan=False, allow_infinity=False)
points = st.builds(MetricPoint, counts, st.sampled_from(["train", "held_out"]), st.text(), numbers)
results = st.builds(
    TrainingResult, st.text(), counts, numbers, counts, counts, st.dictionaries(st.text(), numbers)
)  # fmt: skip


@given(points | st.builds(StepsDone, counts, counts))
def test_a_line_of_the_metrics_file_is_what_was_measured_or_how_far_it_is(record: MetricPoint | StepsDone) -> None:
    line = metrics_line(record).encode()
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert read_metrics_line(line) == record


def test_lines_are_those_of_the_version_before() -> None:
    point = b'{"step": 2, "split": "held_out", "name": "loss", "value": 0.5}'
    assert read_metrics_line(point) == MetricPoint(2, "held_out", "loss", 0.5)
    assert read_metrics_line(b'{"done": 3, "total": 8}') == StepsDone(3, 8)
    assert json.loads(metrics_line(StepsDone(3, 8))) == {"done": 3, "total": 8}


@given(results, st.lists(st.builds(UnfitExample, counts, st.text())))
def test_how_a_training_ended_survives_its_file(
    tmp_path_factory, result: TrainingResult, unfit: list[UnfitExample]
) -> None:
    folder: Path = tmp_path_factory.mktemp("job")
    write_result(folder, result, tuple(unfit))
    assert read_result(folder) is None, "there is no model yet"
    (folder / "model").mkdir()
    assert read_result(folder) == (result, tuple(unfit))


texts = st.text(st.characters(exclude_categories=["Cs"]))
prompts = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=3)
counts = st.integers(1, 64)
examples = st.builds(
    Example,
    prompts.map(lambda messages: Prompt(tuple(messages))),
    texts,
    texts | st.none(),
    numbers,
    numbers | st.none(),
    numbers | st.none(),
)
settings = st.builds(
    TrainingSettings,
    method=st.sampled_from(["sft", "dpo"]),
    lora=st.none()
    | st.builds(LoraSettings, dropout=numbers, is_quantized=st.booleans(), target_modules=st.tuples(texts)),
    **dict.fromkeys(("beta", "reward_beta", "learning_rate", "epochs", "warmup_share", "weight_decay"), numbers),
    max_grad_norm=numbers,
)


@given(st.data())
def test_a_job_is_read_as_it_was_written(tmp_path_factory, data) -> None:
    lists = [tuple(data.draw(st.lists(examples, max_size=3))) for _ in range(3)]
    folder = tmp_path_factory.mktemp("jobs") / "job"
    job = TrainingJob(
        folder,
        data.draw(texts),
        data.draw(st.none() | texts),
        data.draw(settings),
        *lists,
        data.draw(counts),
        "fsdp",
        None,
    )
    write_job(job)
    assert read_job(folder) == job
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_pickle_in_a_jobs_folder_runs_nothing(tmp_path) -> None:
    job = make_job(tmp_path, "demo", ())
    write_job(job)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples.jsonl", "job.json"]
    mark = tmp_path / "was run"
    (tmp_path / "job.pickle").write_bytes(f"cos\nsystem\n(S'touch {str(mark)!r}'\ntR.".encode())
    assert read_job(tmp_path) == job
    (tmp_path / "job.json").write_bytes((tmp_path / "job.pickle").read_bytes())
    with pytest.raises(ValueError):
        read_job(tmp_path)
    assert not mark.exists()
