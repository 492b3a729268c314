"""The command line's border: what it loads for which command, what it says to typing errors."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from surroundings import ROOT

from tasks.settings import Settings

RUN_AND_LIST = """
import runpy, sys
try:
    runpy.run_module("flows", run_name="__main__", alter_sys=True)
finally:
    print("loaded:", *sys.modules, file=sys.stderr)
"""
PLAN_HELP = "see: antipode plan --help"
SLOW_TO_LOAD = {
    "alembic", "datasets", "faiss", "fastapi", "httpx", "huggingface_hub", "openai", "pandas", "prefect", "pyarrow",
    "scipy", "tokenizers", "torch", "transformers", "vllm",
}  # fmt: skip
COMMANDS = {
    f"flows.commands.{part}"
    for part in (
        "alignment", "curation", "database", "demo", "doctor", "exchange", "labels", "monitoring", "policies",
        "quality", "runs", "service",
    )
}  # fmt: skip
CONFIGURATIONS = {
    f"tasks.config.curation.{part}" for part in ("alignment", "curation", "evaluation", "exchange", "labels", "rounds")
}


def run(folder, *arguments, code=None, **environment):
    start = ["-m", "flows"] if code is None else ["-c", code]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [("align", "--help"), ("--help",)])
def test_a_reader_who_has_read_enough_is_no_fault(tmp_path, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flows", *arguments]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=variables, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, newest_sqlite):
    """An installation with an empty database."""
    place = tmp_path_factory.mktemp("installation")
    (place / ".antipode").mkdir()
    (place / ".antipode" / "antipode.db").write_bytes(newest_sqlite.read_bytes())
    return place


@pytest.mark.parametrize(
    ("arguments", "module", "configuration"),
    [
        (["--help"], None, None),
        ([], None, None),
        (["runs"], "runs", None),
        (["pairs"], "runs", None),
        (["sql", "SELECT 1"], "database", None),
        (["policies"], "policies", None),
        (["quality"], "quality", None),
        (["export", "rows.jsonl"], "exchange", "exchange"),
        (["curate", "--help"], "curation", "curation exchange"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_that_only_looks_loads_no_engine_and_no_other_commands_settings(
    folder, arguments, module, configuration
):
    ended = run(folder, *arguments, code=RUN_AND_LIST)

    loaded = set(ended.stderr.partition("loaded: ")[2].split())
    assert "sys" in loaded
    assert loaded & SLOW_TO_LOAD == set()
    assert loaded & COMMANDS == ({f"flows.commands.{module}"} if module else set())
    assert loaded & CONFIGURATIONS <= {f"tasks.config.curation.{name}" for name in (configuration or "").split()}


@pytest.mark.parametrize(
    "command",
    [
        "curate --source.name nowhere --model.name demo",
        "curate --source.name nowhere --model.name demo --dry-run",
        "label --pairs.run nowhere --annotator rubric",
        "align --model.name /nowhere",
        "ld-align --model.name /nowhere --dry-run",
        "evaluate 99 --evaluate.annotator rubric",
        "up --nightly nowhere --model demo",
    ],
)
def test_what_is_refused_at_once_has_loaded_no_prefect_which_reads_its_settings_then(folder, command):
    ended = run(folder, *command.split(), code=RUN_AND_LIST)
    loaded = set(ended.stderr.partition("loaded: ")[2].split())
    assert "sys" in loaded and "no" in ended.stderr.partition("loaded: ")[0], ended.stderr[:300]
    assert loaded & SLOW_TO_LOAD == set()


def test_a_dry_run_loads_no_prefect_and_no_engine_and_leaves_the_folder_as_it_is(tmp_path, folder):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Which bread keeps longest?"}\n{"prompt": "Why does bread rise?"}\n')
    (tmp_path / ".antipode").mkdir()
    (tmp_path / ".antipode" / "antipode.db").write_bytes((folder / ".antipode" / "antipode.db").read_bytes())
    assert run(tmp_path, "import", "prompts.jsonl", "--name", "breads").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    command = "curate --source.name breads --model.name demo --generate.responses_per_prompt 3"
    ended = run(tmp_path, *command.split(), "--dry-run", code=RUN_AND_LIST)

    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert lines[0] == "Dry run of curate: nothing is stored, loaded or sent"
    assert "responses to sample 6 K 3 × 2 prompts" in lines
    assert lines[-1] == "Next: the same command without --dry-run"
    assert set(ended.stderr.partition("loaded: ")[2].split()) & SLOW_TO_LOAD == set()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_help_names_every_command_and_costs_no_library(folder):
    from flows.__main__ import COMMANDS as KNOWN

    shown = run(folder, "--help", code=RUN_AND_LIST)

    assert all(f"  {name} " in shown.stdout for name in KNOWN)
    assert run(folder).stdout == run(folder, "-h").stdout == shown.stdout
    assert not {"pydantic", "sqlalchemy", "rich"} & set(shown.stderr.split())


def test_every_command_is_where_the_table_says_and_its_help_shows_its_settings():
    import importlib

    from flows.__main__ import COMMANDS as KNOWN

    for command in KNOWN.values():
        model = getattr(importlib.import_module(f"flows.commands.{command.module}"), command.name)
        assert callable(model.cli_cmd) and model.__doc__


@pytest.mark.parametrize(
    ("name", "advice"),
    [("curat", "did you mean curate? See: antipode --help"), ("xyzzy", "see: antipode --help")],
)
def test_a_command_that_does_not_exist_is_answered_with_the_nearest(folder, name, advice):
    ended = run(folder, name)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"antipode: there is no command '{name}'; {advice}\n"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("curate", "--generate.responses_per_promt", "3"), "; did you mean --generate.responses_per_prompt? See: "),
        (("curate", "--select.strategy", "easy"), "; did you mean --select.strategies? See: "),
        (("curate", "--xyzzy", "3"), "; see: "),
    ],
)
def test_a_setting_that_does_not_exist_is_answered_with_the_nearest(folder, arguments, advice):
    ended = run(folder, *arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    words = f"unrecognized arguments: {' '.join(arguments[1:])}"
    assert ended.stderr == f"antipode: {words}{advice}antipode {arguments[0]} --help\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("promote", "two"), "POLICY: expected a whole number, got 'two'"),
        (("pairs", "--limit", "1.5"), "--limit: expected a whole number, got '1.5'"),
        (("plan",), "--prompts: required, but not given"),
        (("plan", "--prompts", "10,abc"), "--prompts: expected a whole number, got 'abc'"),
        *(
            (("plan", *given), f"--prompts: expected a number, or several by commas, got {said}; {PLAN_HELP}")
            for given, said in (
                (("--prompts", "nan"), "'nan'"),
                (("--prompts=5,1_000",), "'5,1_000'"),
                (("--gpus", "2", "--prompts", "1,000,000"), "'1,000,000'"),
            )
        ),
        (("sql", "SELECT 1", "--timeout_s", "soon"), "--timeout_s: expected a number, got 'soon'"),
        (("vectors", "chek"), "ACTION: Input should be 'check', got 'chek'; did you mean check?"),
        (("runs", "--hlep"), "unrecognized arguments: --hlep; did you mean --help? See: antipode runs --help"),
    ],
)
def test_what_was_typed_wrong_is_named_as_it_is_typed(folder, arguments, line):
    ended = run(folder, *arguments)

    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"antipode: {line}\n")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("RAY_GPUS_PER_ACTOR", "inf", "ANTIPODE_RAY_GPUS_PER_ACTOR: Input should be a finite number, got 'inf'"),
        ("RAY_ACTORS", "x", "ANTIPODE_RAY_ACTORS: expected a whole number, got 'x'"),
        ("ENGINE", "rai", "ANTIPODE_ENGINE: Input should be 'local' or 'ray', got 'rai'; did you mean ray?"),
    ],
)
def test_an_environment_variable_that_makes_no_sense_is_named_as_it_is_set(folder, monkeypatch, name, value, line):
    monkeypatch.setenv(f"ANTIPODE_{name}", value)
    ended = run(folder, "runs")

    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"antipode: {line}\n")


def test_an_empty_environment_variable_is_not_set(monkeypatch):
    for name in ("RAY_ACTORS", "ENGINE", "GPU_LIMIT", "ARTIFACT_ROOT"):
        monkeypatch.setenv(f"ANTIPODE_{name}", "")
    assert Settings() == Settings.model_construct()


def test_a_view_that_does_not_exist_is_answered_with_the_nearest(folder):
    ended = run(folder, "sql", "SELECT * FROM selected_pair")

    assert "there is no table selected_pair; did you mean selected_pairs? the views are: " in ended.stderr


def test_the_version_is_that_of_the_installed_package(folder):
    assert run(folder, "--version").stdout == run(folder, "-V").stdout == f"antipode {version('antipode')}\n"


def test_a_setting_that_does_not_exist_is_named_and_an_environment_variable_is_no_setting(folder):
    unknown = run(folder, "pairs", "--strateg", "easy")
    ended = run(folder, "runs", RUNS="7", COMMAND="runs", PAIRS="x", LIMIT="nonsense")

    assert unknown.returncode == 2 and "--strateg" in unknown.stderr
    assert (ended.returncode, ended.stdout) == (0, "no runs yet; make one: antipode demo, or antipode curate\n")


def test_a_folder_with_a_readme_is_imported_without_a_word_of_the_hubs_library(folder, tmp_path):
    (tmp_path / "breads").mkdir()
    (tmp_path / "breads" / "train.jsonl").write_text('{"prompt": "Which bread keeps longest?"}\n')
    (tmp_path / "breads" / "README.md").write_text("# Breads\n")

    ended = run(tmp_path, "import", "breads")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "  train.jsonl: read, split train\n  README.md: not read\n" in ended.stdout


def test_help_of_a_command_can_be_asked_for_in_three_ways(folder):
    shown = [run(folder, *asked).stdout for asked in (("runs", "--help"), ("runs", "-h"), ("help", "runs"))]

    assert shown[0].startswith("usage: antipode runs [SETTINGS]\n") and shown[0] == shown[1] == shown[2]
    assert "did you mean runs?" in run(folder, "help", "run").stderr
