"""Settings from a file or an earlier run, as commands take them; files of settings and back."""

from __future__ import annotations

import sys

import pytest
from curation_steps import configured, curate
from installed import installed
from stored_rows import add, row

from flows import __main__ as command_line
from flows.commands.alignment import Align, LdAlign
from flows.commands.curation import Curate
from flows.commands.labels import Label
from flows.commands.study import Study
from tasks.config.curation import CurateConfig
from tasks.config.studies import StudyConfig

ENDINGS = (".yaml", ".toml", ".json")


@pytest.fixture
def run(monkeypatch, capsys):
    """Give a command; its exit status, what it printed and what it said of a failure."""

    def give(*arguments):
        monkeypatch.setattr(sys, "argv", ["antipode", *map(str, arguments)])
        status = 0
        try:
            command_line.main()
        except SystemExit as end:
            status = end.code or 0
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return give


@pytest.fixture
def taken(monkeypatch):
    """The settings that commands would have worked with."""
    found = []
    for command, kind in ((Curate, CurateConfig), (Study, StudyConfig)):
        monkeypatch.setattr(command, "cli_cmd", lambda self, kind=kind: found.append(self.settings_of_run(kind)))
    return found


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_command_line_goes_before_the_file_and_the_file_before_the_defaults(run, taken, tmp_path, ending):
    written = tmp_path / f"written{ending}"
    status, out, _ = run("curate", "--generate.temperature", "0.5", "--seed", "7", "--write-config", written)
    assert status == 0 and f"--config {written}" in out
    assert run("curate", "--config", written, "--seed", "8")[0] == 0
    assert taken[-1] == CurateConfig.model_validate({"seed": 8, "generate": {"temperature": 0.5}})


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (Curate, ("curate", "--generate.template_arguments", '{"top k": 20}', "--generate.stop", "é,no,2026-01-01")),
        (Label, ("label", "--judge.model", "tiny", "--judge.base_url", "http://localhost/v1")),
        (Align, ("align", "--train.learning_rate", "1e-6")),
        (LdAlign, ("ld-align", "--preset", "spin")),
        (Study, ("study", "ld-align", "--preset", "paper", "--seeds", "3")),
        (Study, ("study", "pilot")),
    ],
)
def test_what_is_written_is_read_as_the_same_settings(run, monkeypatch, tmp_path, command, arguments, ending):
    found, file = [], tmp_path / f"all{ending}"
    monkeypatch.setattr(command, "cli_cmd", found.append)
    assert run(*arguments)[0] == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["antipode", *arguments, "--write-config", str(file)])
    with pytest.raises(SystemExit) as end:
        command_line.main()
    assert not end.value.code
    monkeypatch.setattr(command, "cli_cmd", found.append)
    monkeypatch.setattr(sys, "argv", ["antipode", *arguments[: 2 if command is Study else 1], "--config", str(file)])
    command_line.main()
    before, after = (one.model_dump(exclude={"config", "write_config"}) for one in found)
    assert after == before
    if command is Study:
        assert {"labels", "budgets"} & found[0].model_fields_set == {"labels", "budgets"} & found[1].model_fields_set


def test_every_setting_stands_under_what_it_does(run, tmp_path):
    for ending in (".yaml", ".toml"):
        assert run("curate", "--write-config", tmp_path / f"all{ending}")[0] == 0
        text = " ".join((tmp_path / f"all{ending}").read_text().replace("#", "").split())
        for name, field in CurateConfig.model_fields.items():
            assert name in text and " ".join(field.description.split()) in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "generate: {temprature: 1}", "'generate.temprature'; did you mean generate.temperature?"),
        ("a.yaml", "sed: 3", "'sed'; did you mean seed?"),
        ("a.json", '{"dry_run": true}', "a setting that there is not, 'dry_run'"),
        ("a.toml", "seed = ", "a.toml cannot be read:"),
        ("a.yaml", "- 1", "holds no settings by their names, but a list"),
        ("a.ini", "", "a file of settings ends in .yaml, .yml, .toml, .json, got 'a.ini'"),
        ("a.yaml", "seed: x", "--seed: Input should be a valid integer"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_in_one_line(run, taken, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    status, _, err = run("curate", "--config", tmp_path / name)
    assert status and said in err and err.count("\n") == 1 and not taken


def test_a_file_that_is_not_there_is_refused(run, taken, tmp_path):
    status, _, err = run("curate", f"--config={tmp_path / 'a.yaml'}")
    assert status and "there is no file" in err and not taken


def test_a_run_like_an_earlier_one_takes_its_settings_and_says_what_differs(run, taken, tmp_path):
    with installed(tmp_path) as (_, sessions):
        add(sessions, row(1, "one"), row(2, "two"))
        run_id = curate(configured(name="first", generate={"temperature": 0.25}))
        status, out, _ = run("curate", "--like", "first", "--generate.responses_per_prompt", "16", "--name", "next")
        assert status == 0
        config = taken[-1]
        assert (config.generate.temperature, config.generate.responses_per_prompt, config.name) == (0.25, 16, "next")
        assert config.embed.backend == "hashed"
        assert out.splitlines()[0] == f"as run {run_id} (first), but for:"
        assert sorted(line.strip() for line in out.splitlines()[1:]) == [
            "--generate.responses_per_prompt 16   (was 4)",
            "--name next   (was first)",
        ]
        file = tmp_path / "seed.toml"
        file.write_text("seed = 3\n[generate]\ntemperature = 0.5")
        assert run("curate", "--like", str(run_id), "--config", file)[0] == 0
        assert (taken[-1].seed, taken[-1].generate.temperature, taken[-1].embed.backend) == (3, 0.5, "hashed")
        status, _, err = run("curate", "--like", "frist")
        assert status == 1 and "there is no run 'frist' of the kind curate; see: antipode runs" in err
