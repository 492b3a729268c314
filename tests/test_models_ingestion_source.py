"""Sources as a user names them: files, directories of data sets, names on the hub; and the real data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
from labelling_steps import write_lines

from models.ingestion import Columns, SourceError, SourceReader, read_source
from models.records import ImportedRow, Prompt, RejectedRow

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"

ASK = Columns({"prompt": "ask"})

needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no folder ../shared/data beside the project")


def reader(source: str | Path, **settings: Any) -> SourceReader:
    chosen = {"format": None, "split": None, "limit": None, **settings}
    return read_source(str(source), **chosen)


def refusal(source: str | Path, **settings: Any) -> str:
    with pytest.raises(SourceError) as caught:
        list(reader(source, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def prompts(rows: SourceReader) -> list[tuple[int, str, str | None]]:
    return [(row.row_number, row.prompt.text, row.split) for row in rows if isinstance(row, ImportedRow)]


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"ask": "a"}\n{"ask": ""}\nbroken\n{"ask": "b"}\n')
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    splits = {"train": [{"prompt": "a"}, {"prompt": "b"}], "test": [{"prompt": "c"}]}
    path = tmp_path / "saved"
    datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(path)
    return path


@pytest.fixture
def data_files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "train.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    (directory / "test.jsonl").write_text('{"prompt": "c"}\n')
    return directory


def test_rows_are_imported_or_rejected_and_none_is_lost(jsonl: Path) -> None:
    source = reader(jsonl, columns=ASK)
    assert source.format == "prompts"
    assert list(source) == [
        ImportedRow(1, Prompt.from_text("a")),
        RejectedRow(2, "column 'ask': the prompt is empty", '{"ask": ""}'),
        RejectedRow(3, "not valid JSON: Expecting value (character 1)", "broken"),
        ImportedRow(4, Prompt.from_text("b")),
    ]
    assert list(source) == list(source)


def test_the_limit_counts_rejected_rows_too(jsonl: Path) -> None:
    assert [row.row_number for row in reader(jsonl, columns=ASK, limit=3)] == [1, 2, 3]


def test_a_named_format_is_kept_even_where_no_row_fits_it(jsonl: Path) -> None:
    source = reader(jsonl, format="shp-2")
    assert source.format == "shp-2"
    assert all(isinstance(row, RejectedRow) for row in source)


def test_the_content_hash_follows_the_content(jsonl: Path) -> None:
    before = reader(jsonl, columns=ASK).content_hash
    assert reader(jsonl, columns=ASK, limit=1).content_hash == before
    jsonl.write_text(jsonl.read_text() + "\n")
    assert reader(jsonl, columns=ASK).content_hash != before


def test_an_unrecognised_format_names_the_columns_and_the_ways_out(jsonl: Path) -> None:
    message = refusal(jsonl)
    assert "cannot recognise the format of rows with the column ask" in message
    assert "--format (prompts, responses, chat, hh-rlhf, preference, shp-2, ultrafeedback, sft, comparison, " in message
    assert message.endswith("such as prompt=COLUMN"), "none of its columns holds sentences"


def test_an_unrecognised_format_proposes_the_first_column_with_sentences(tmp_path: Path) -> None:
    row = {"ticket": "T 1", "customer message": "Where is my new kettle?", "answer": "It is under way to you."}
    write_lines(tmp_path / "tickets.jsonl", [row])
    message = refusal(tmp_path / "tickets.jsonl")
    assert message.endswith("or the columns with --map, such as 'prompt=customer message'")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"columns": Columns({"prompt": "question"})}, "no column 'question'; it has the column ask"),
        (
            {"columns": Columns({"human_ref_A": "ask"}), "format": "chat"},
            "--map human_ref_A=…: the format chat has no such column",
        ),
        (
            {"columns": Columns({"promt": "ask"})},
            "no format has such a column; give one that is, as 'prompt' (docs/formats.md",
        ),
        ({"format": "parquet"}, "unknown format 'parquet'; expected one of prompts"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"config": "en"}, "a file has no configs"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(jsonl: Path, settings: dict[str, Any], expected: str) -> None:
    assert expected in refusal(jsonl, **settings)


@pytest.mark.parametrize("source", ["missing.jsonl", "missing.csv.gz", "no/such/folder", "", "a b", "./x", "../x"])
def test_a_name_that_is_neither_path_nor_data_set_is_refused_without_asking_the_hub(source: str) -> None:
    assert refusal(source).startswith(f"{source}: no such file or directory, and no name of a data set")


def test_a_name_too_long_for_the_file_system_is_refused() -> None:
    assert "check the path" in refusal("x" * 5000)


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response\n")
    assert "holds no row" in refusal(path)


def test_a_source_of_broken_lines_only_is_refused_with_the_first_problem(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\nbroken\n[]\n")
    assert "none of the first rows can be read (row 2: not valid JSON" in refusal(path)
    path.write_text("[1]\n")
    assert "(row 1: not an object with columns)" in refusal(path)


def test_a_saved_data_set_gives_all_splits_or_the_one_asked_for(saved: Path) -> None:
    assert prompts(reader(saved)) == [(1, "a", "train"), (2, "b", "train"), (3, "c", "test")]
    assert prompts(reader(saved, split="test")) == [(1, "c", "test")]
    assert prompts(reader(saved / "train")) == [(1, "a", None), (2, "b", None)]
    assert "no split 'dev'; the splits are: train, test" in refusal(saved, split="dev")
    assert "has no config, got config 'en'" in refusal(saved, config="en")


def test_a_broken_saved_data_set_is_refused(saved: Path) -> None:
    (saved / "test" / "state.json").write_text("{")
    assert "cannot be opened" in refusal(saved)


def test_a_file_says_its_split_by_its_name_or_is_told(jsonl: Path) -> None:
    test = jsonl.rename(jsonl.with_name("my_test.jsonl"))
    assert prompts(reader(test, columns=ASK)) == [(1, "a", "test"), (4, "b", "test")]
    told = reader(test, columns=ASK, split="train")
    assert prompts(told) == [(1, "a", "train"), (4, "b", "train")] and told.split == "train"


def test_a_directory_of_data_files_is_streamed_split_by_split(data_files: Path) -> None:
    assert sorted(prompts(reader(data_files))) == [(1, "a", "train"), (2, "b", "train"), (3, "c", "test")]
    assert prompts(reader(data_files, split="test")) == [(1, "c", "test")]
    assert "no split 'dev'; the splits are: train, test" in refusal(data_files, split="dev")
    assert "BuilderConfig 'en' not found" in refusal(data_files, config="en")


def test_a_data_file_that_breaks_off_gives_one_line(data_files: Path) -> None:
    (data_files / "test.jsonl").write_text('{"prompt": ')
    assert "reading stopped after 2 rows" in refusal(data_files)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    assert "it is empty; check the path" in refusal(tmp_path)


def test_a_directory_hash_covers_names_and_bytes_of_its_files(data_files: Path) -> None:
    before = reader(data_files).content_hash
    assert reader(data_files).content_hash == before
    (data_files / "test.jsonl").rename(data_files / "dev.jsonl")
    renamed = reader(data_files).content_hash
    (data_files / "dev.jsonl").write_text('{"prompt": "d"}\n')
    assert len({before, renamed, reader(data_files).content_hash}) == 3


def test_a_hub_name_out_of_reach_gives_one_clear_line(tmp_path: Path) -> None:
    # a process of its own, since the hub's library reads this variable at import; offline it does not retry for 20 s
    program = (
        "from models.ingestion import SourceError, read_source\n"
        "try:\n    read_source('owner/name', format=None, split='train', limit=5)\n"
        "except SourceError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    (line,) = run.stdout.splitlines()
    assert line.startswith("owner/name: no such file, and not found as a data set (Couldn't reach 'owner/name'")
    assert line.endswith("check the name, the config and the connection, or save it to a file first")


def test_reading_a_file_loads_no_heavy_library(jsonl: Path) -> None:
    program = (
        "import sys\nfrom models.ingestion import Columns, read_source\n"
        "columns = Columns({'prompt': 'ask'})\n"
        f"list(read_source({str(jsonl)!r}, format=None, columns=columns, split=None, limit=None))\n"
        "print([name for name in ('datasets', 'pyarrow', 'pandas', 'torch', 'numpy') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.real_data
@needs_real_data
def test_self_instruct_has_252_prompts_of_eight_responses_and_a_reference() -> None:
    source = reader(REAL_DATA / "self_instruct_user_252.jsonl.gz")
    rows = [row for row in source if isinstance(row, ImportedRow)]
    sampled = [[response.text for response in row.responses if not response.is_reference] for row in rows]
    assert source.format == "responses"
    assert len(list(source)) == len(rows) == len({row.prompt.key for row in rows}) == 252
    assert all(len(texts) == 8 and len(row.responses) == 9 for texts, row in zip(sampled, rows, strict=True))
    assert all(row.responses[8].is_reference and row.responses[8].text for row in rows)
    assert len({response.model for row in rows for response in row.responses[:8]}) == 8
    assert sum(text == "" for texts in sampled for text in texts) == 51
    assert sum(8 - len(set(texts)) for texts in sampled) == 199
    assert sum(len(set(texts)) < 8 for texts in sampled) == 87


@pytest.mark.real_data
@needs_real_data
def test_hh_rlhf_has_2312_rows_of_which_five_do_not_share_their_prompt() -> None:
    source = reader(REAL_DATA / "hh_rlhf_harmless_base_test.jsonl.gz")
    read = list(source)
    rows = [row for row in read if isinstance(row, ImportedRow)]
    rejected = [row for row in read if isinstance(row, RejectedRow)]
    texts = Counter(response.text for row in rows for response in row.responses)
    assert source.format == "hh-rlhf"
    assert [row.row_number for row in read] == list(range(1, 2313))
    assert [row.row_number for row in rejected] == [1255, 1689, 1951, 1953, 2037]
    assert all("do not share their prompt: turn" in row.reason for row in rejected)
    assert all(row.content.startswith('{"chosen": ') for row in rejected)
    assert len(rows) == 2307
    assert len({row.prompt.key for row in rows}) == 2305
    assert all(len(row.responses) == 2 and [pair.preferred for pair in row.pairs] == ["first"] for row in rows)
    assert texts[""] == 4
    assert (texts.total(), len(texts)) == (4614, 4555)


def test_numbers_that_may_mean_something_else_stop_until_it_is_said_what_they_mean(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    stars = [{"prompt": "Hi", "response": "a", "feedback": grade} for grade in (1, 5)]
    write_lines(path, stars)
    assert "column 'feedback' holds number 5, so that 1 may be a grade and no yes" in refusal(path)
    assert [one.format for one in (reader(path, format="unpaired"),)] == ["unpaired"]
    graded = reader(path, columns=Columns({"rating": "feedback"}))
    assert [row.responses[0].score for row in graded if isinstance(row, ImportedRow)] == [1.0, 5.0]

    pairs = [{"prompt": "Hi", "response_1": "a", "response_2": "b", "label": label} for label in (1, 0)]
    write_lines(path, pairs)
    assert "column 'label' holds 0 beside 'response_1' and 'response_2'" in refusal(path)
    from_zero = Columns({"response_0": "response_1", "response_1": "response_2"})
    found = [row.pairs[0].preferred for row in reader(path, columns=from_zero) if isinstance(row, ImportedRow)]
    assert found == ["second", "first"]
