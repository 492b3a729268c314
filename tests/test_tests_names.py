"""The house: where a test is found, how long a file may be, how many lie side by side."""

from __future__ import annotations

from collections import Counter

import pytest
from surroundings import ROOT

LAYERS = ("antipode", "flows", "tasks", "web", "db", "models")
LONGEST_FILE, LARGEST_FOLDER = 400, 20


def sources():
    return [path for layer in LAYERS for path in (ROOT / layer).rglob("*") if path.is_file()]


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("test", sorted(path.stem for path in (ROOT / "tests").glob("test_*.py")))
def test_a_test_is_named_after_what_it_tests(test):
    """`test_tasks_alignment_data` tests tasks/alignment/data.py; a folder's or a file's name may have a suffix."""
    layer, *words = test.removeprefix("test_").split("_")
    place = ROOT / layer
    assert place.is_dir(), f"{test}: there is no folder {layer}"
    while words and place.is_dir():
        found = [
            (count, place / name)
            for count in range(len(words), 0, -1)
            for name in ("_".join(words[:count]), "_".join(words[:count]) + ".py")
            if (place / name).exists()
        ]
        if not found:
            break
        count, place = found[0]
        words = words[count:]
    assert place != ROOT / layer or layer in {"antipode", "db", "web", "docs", "docker", "examples", "tests"}, (
        f"{test} names no file of {layer}"
    )


@pytest.mark.parametrize("folder", [*LAYERS, "bench", "examples", "reference", "tests"])
def test_no_file_is_longer_than_a_reader_keeps_in_mind(folder):
    lengths = {path: len(path.read_text().splitlines()) for path in python_files(folder)}
    assert not {str(path): length for path, length in lengths.items() if length > LONGEST_FILE}


def test_no_folder_is_a_heap():
    """But for the migrations, of which none ever goes, and the site that `make docs` builds."""
    counts = Counter(path.parent for path in sources() if not {"__pycache__", "versions", "site"} & set(path.parts))
    assert not {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > LARGEST_FOLDER}


def test_helpers_live_beside_the_tests_and_not_in_them():
    tests = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    for path in python_files("tests", "bench"):
        imported = {
            line.split()[1] for line in path.read_text().splitlines() if line.startswith(("from test_", "import test_"))
        }
        assert not imported & tests, path
