"""Settings from a file or an earlier run, as commands take them; files of settings and back."""

from __future__ import annotations

import sys

import pytest
from curation_steps import configured, curate
from installed import installed
from stored_rows import add, row

from db import runs
from flows import __main__ as command_line
from flows.commands.alignment import Align, LdAlign
from flows.commands.curation import Curate
from flows.commands.labels import Label
from flows.commands.study import Study
from tasks.config.alignment import AlignConfig, DataConfig
from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.studies import StudyConfig
from tasks.run_kinds import ALIGNMENT, ALIGNMENT_IN_ROUNDS, LABELLING, STUDY

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
        ("a.yaml", "seed: x", "--seed: expected a whole number, got 'x'"),
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


@pytest.fixture
def trained(monkeypatch):
    """The settings that the commands of training and labelling would have worked with."""
    found = []
    for command, kind in ((Align, AlignConfig), (LdAlign, LdAlignConfig), (Label, LabelConfig), (Study, StudyConfig)):
        monkeypatch.setattr(command, "cli_cmd", lambda self, kind=kind: found.append(self.settings_of_run(kind)))
    return found


@pytest.fixture
def earlier(tmp_path):
    """Store runs as earlier ones; none has done anything."""
    with installed(tmp_path) as (_, sessions):

        def store(kind, **settings):
            config = kind.read(settings)
            with sessions.begin() as session:
                runs.open_run(
                    session,
                    kind=kind.name,
                    name=config.name,
                    config=config.model_dump(mode="json"),
                    config_key=config.key,
                    code_version="test",
                )

        yield store


def test_a_run_like_an_earlier_one_of_another_preset_takes_that_ones_settings(run, trained, earlier, tmp_path):
    earlier(ALIGNMENT_IN_ROUNDS, seed=5, rounds={"batch_size": 8, "examples_per_device": 2}, model={"name": "demo"})
    for options in (("--preset", "spin"), ("--preset=spin", "--rounds.count", "2")):
        assert run("ld-align", "--like", "last", *options)[0] == 0
        config = trained[-1]
        assert (config.method, config.rounds.epochs, config.rounds.optimizer) == ("spin", 6.0, "rmsprop")
        assert (config.seed, config.rounds.batch_size, config.model.name) == (5, 8, "demo")
    assert config.rounds.count == 2
    earlier(ALIGNMENT_IN_ROUNDS, preset="spin", rounds={"count": 5})
    assert run("ld-align", "--like", "last", "--preset", "ld_align")[0] == 0
    assert trained[-1] == LdAlignConfig.model_validate({"rounds": {"count": 5}})
    assert run("ld-align", "--like", "last")[0] == 0
    assert trained[-1] == LdAlignConfig.model_validate({"preset": "spin", "rounds": {"count": 5}})


def test_a_study_like_an_earlier_one_takes_what_it_reads_and_its_own_papers_settings(run, trained, earlier):
    earlier(STUDY, study="real-pairs", preset="paper", share=0.25, seeds=3, train={"epochs": 4.0})
    status, out, err = run("study", "losses", "--like", "last")
    assert status == 0, err
    expected = {"study": "losses", "preset": "paper", "seeds": 3, "train": {"epochs": 4.0}}
    assert trained[-1] == StudyConfig.model_validate(expected)
    assert "  without its share, which nothing reads here\n" in out
    assert run("study", "real-pairs", "--like", "last", "--preset", "own")[0] == 0
    assert trained[-1] == StudyConfig.model_validate(expected | {"study": "real-pairs", "preset": "own", "share": 0.25})


def test_a_file_of_another_preset_is_refused(run, trained, tmp_path):
    file = tmp_path / "all.yaml"
    assert run("ld-align", "--write-config", file)[0] == 0
    status, _, err = run("ld-align", "--preset", "spin", "--config", file)
    assert status == 1 and "holds settings of preset ld_align" in err and err.count("\n") == 1
    assert run("ld-align", "--preset", "ld_align", "--config", file)[0] == 0
    file.write_text("seed: 3")
    assert run("ld-align", "--preset", "spin", "--config", file)[0] == 0
    assert (trained[-1].method, trained[-1].seed) == ("spin", 3)


def test_a_run_like_an_earlier_one_settles_anew_what_that_one_settled_for_itself(run, trained, earlier, tmp_path):
    earlier(ALIGNMENT, train={"method": "ipo", "beta": 2.0}, data={"snapshot": 1, "limit": 9})
    for options, beta in (
        (("--train.method", "dpo"), None),
        (("--train.method", "ipo"), 2.0),
        (('--train={"method": "dpo", "beta": 0.5}',), 0.5),
    ):
        assert run("align", "--like", "last", *options)[0] == 0
        assert (trained[-1].train.beta, trained[-1].data.snapshot) == (beta, 1)
    assert run("align", "--like", "last", "--data.run", "last")[0] == 0
    assert trained[-1].data == DataConfig(limit=9)
    (tmp_path / "next.yaml").write_text("train: {method: dpo}\ndata: {run: all}")
    assert run("align", "--like", "last", "--config", tmp_path / "next.yaml")[0] == 0
    assert (trained[-1].train.beta, trained[-1].data) == (None, DataConfig(limit=9, run="all"))
    assert run("align", "--like", "last", "--data.limit", "3")[0] == 0
    assert trained[-1].data == DataConfig(limit=3, snapshot=1)


def test_a_run_like_an_earlier_one_of_another_annotator_goes_without_its_section_and_says_so(run, trained, earlier):
    judge = {"base_url": "http://localhost/v1", "model": "tiny"}
    earlier(LABELLING, judge=judge, seed=4, min_agreement=0.5)
    status, out, err = run("label", "--like", "last", "--annotator", "rubric")
    assert status == 0, err
    assert trained[-1] == LabelConfig(annotator="rubric", seed=4, min_agreement=0.5)
    assert [line.strip() for line in out.splitlines()[1:]] == [
        "without its judge, which nothing reads here",
        "--annotator rubric   (was judge)",
    ]
    assert run("label", "--like", "last", "--annotator", "people")[0] == 0
    assert trained[-1] == LabelConfig(annotator="people", seed=4)
    assert run("label", "--like", "last", "--annotator", "routed")[0] == 0
    assert trained[-1].judge.model == "tiny"
    status, _, err = run("label", "--like", "last", "--annotator", "rubric", "--judge.seed", "1")
    assert status == 2 and "judge is set, but the annotator is rubric" in err
    earlier(ALIGNMENT, evaluate={"annotator": "judge", "judge": judge})
    assert run("align", "--like", "last", "--evaluate.annotator", "none")[0] == 0
    assert trained[-1].evaluate.judge == LabelConfig(annotator="rubric").judge


def test_golden_references_like_a_run_on_preferences_go_without_its_data(run, trained, earlier):
    earlier(ALIGNMENT_IN_ROUNDS, data={"snapshot": 1, "held_out_share": 0.2})
    assert run("ld-align", "--like", "last", "--golden", "references", "--source.name", "mine")[0] == 0
    assert trained[-1].data == DataConfig(held_out_share=0.2)


def test_looking_for_an_earlier_run_makes_no_database(run, monkeypatch, tmp_path):
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", f"sqlite:///{tmp_path / 'antipode.db'}")
    status, _, err = run("curate", "--like", "last", "--dry-run")
    assert status == 1 and "there is no run 'last' of the kind curate" in err
    assert not list(tmp_path.iterdir())
