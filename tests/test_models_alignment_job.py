"""The files of a training's folder: what is written into them is what is read from them."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from models.alignment.job import metrics_line, read_metrics_line, read_result, write_result
from models.alignment.records import MetricPoint, StepsDone, TrainingResult, UnfitExample

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
