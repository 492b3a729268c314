"""The report of a study: written anew from what is stored, with the command that makes it again."""

from __future__ import annotations

import json
import shlex

import planted_studies
import pytest
from hostile_texts import HOSTILE, RAW_CONTROL
from planted_studies import BAD, DIVERGING, LOG
from pydantic_settings import CliApp

from flows.__main__ import _command_line
from flows.commands.runs import Report
from flows.commands.study import Study
from flows.terminal.studies import show_study
from models.studies.findings import Findings, Section, Table
from tasks.config.studies import StudyConfig
from tasks.studies import kinds
from tasks.studies.estimate import estimate_study
from tasks.studies.publishing import publish_study
from tasks.studies.reporting import command_of, report_files, study_report
from tasks.studies.running import carry_out_trials, open_study

CONFIG = StudyConfig(strategies=("easy", DIVERGING, BAD), budgets=(50,), seeds=3)


@pytest.fixture
def run(monkeypatch, tmp_path, sessions):
    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED)
    monkeypatch.setenv(LOG, str(tmp_path / "log"))

    def carried_out(config=CONFIG):
        run_id = open_study.fn(config)
        carry_out_trials.fn(run_id)
        return run_id

    return carried_out


def test_the_report_is_a_page_markdown_and_json(run, settings):
    run_id = run()
    publish_study.fn(run_id)
    files = report_files(run_id, settings)
    page, markdown, data = (path.read_text() for path in files)
    assert [path.name for path in files] == ["study-1.html", "study-1.md", "study-1.json"]
    assert "Nothing is &lt;better&gt;." in page and "<svg" in page and "http-equiv" in page
    assert "src=" not in page and "<script" not in page and "href=" not in page
    assert "**Nothing is \\<better\\>\\.**" in markdown or "Nothing is &lt;better&gt;" in markdown
    read = json.loads(data, parse_constant=pytest.fail)
    assert read["findings"]["sizes"] == [["Seeds", "2"]], "the diverged trial's partners are left out"
    assert len(read["failures"]) == 4 and read["failures"][0][1] == "nothing comes of it"
    assert read["trial_count"] == read["planned_count"] == 9
    facts = dict(read["facts"])
    assert facts["Data"] == "run last" and facts["Requests"] == "10" and "torch" in facts["Packages"]
    assert "diverging, truth, 50 labels, seed 0" in page and "nothing comes of it" in markdown


def test_what_stands_between_backticks_is_code_on_the_page(run, settings, monkeypatch):
    def find(study, outcomes):
        section = Section("By `x`", ("`hard` <b> costs a ` more.",), (), (Table("T", ("a",), (), note="As `n`."),))
        return Findings("Is `q` it?", "Select by `<easy>`: it is.", (section,))

    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED._replace(find=find))
    run_id = run()
    publish_study.fn(run_id)
    page = report_files(run_id, settings).page.read_text()
    assert "Select by <code>&lt;easy&gt;</code>: it is." in page and "Is <code>q</code> it?" in page
    assert "<code>hard</code> &lt;b&gt; costs a ` more." in page and "As <code>n</code>." in page


def test_where_nothing_can_be_compared_the_answer_is_that(run):
    report = study_report(run(CONFIG.model_copy(update={"strategies": (BAD,)})))
    assert report.findings.answer.startswith("Cannot tell: 3 of 3 trials could not be done")


def test_the_report_of_a_study_that_is_not_done_says_so(run, monkeypatch):
    def one(study, missing):
        yield from planted_studies.carry_out(study, missing[:1])

    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED._replace(carry_out=one))
    report = study_report(run())
    assert dict(report.all_facts)["Trials"].startswith("1 of 9: the study is not done")


@pytest.mark.parametrize(
    "values",
    [
        {
            "name": "my study; rm -rf /",
            "data": {"run": "3", "annotators": ["anna", "ben"], "held_out_share": 0.25},
            "strategies": ["easy", "hard"],
            "budgets": [10, 20],
            "seeds": 7,
            "learner": "alignment",
            "model": {"name": "demo"},
            "train": {"gradient_checkpointing": True, "lora": {"rank": 8}},
            "evaluate": {"annotator": "rubric", "has_drift": False, "source": {"name": "demo"}},
        },
        {"study": "real-pairs", "preset": "paper", "train": {"max_length": 1024, "beta": 0.1, "batch_size": 32}},
        {"study": "losses", "preset": "paper", "evaluate": {"annotator": "rubric"}},
    ],
    ids=lambda values: values.get("study", "label-efficiency"),
)
def test_its_command_makes_the_same_study_again(monkeypatch, values):
    config = StudyConfig.model_validate(values)
    command = command_of(config)
    read = []
    monkeypatch.setattr(Study, "cli_cmd", lambda given: read.append(given.settings_of_run(StudyConfig)))
    CliApp.run(_command_line("study"), cli_args=shlex.split(command)[1:])
    assert read == [config]
    assert command_of(StudyConfig()) == "antipode study label-efficiency"


def test_the_terminal_says_answer_table_failures_files_and_next_step(run, settings, capsys):
    run_id = run()
    show_study(run_id, settings)
    out = capsys.readouterr().out
    for words in (
        "Is anything better?\nNothing is <better>.\n",
        "All alike.",
        "could not be done: diverging, truth, 50 labels, seed 0: nothing comes of it",
        "  Seeds: 2\n",
        str(settings.artifact_root / "reports" / "study-1.html"),
        'antipode sql "SELECT * FROM study_results WHERE run_id = 1"',
        "antipode study label-efficiency --strategies easy,diverging,bad --budgets 50 --seeds 3",
    ):
        assert words in out


def test_hostile_names_take_no_terminal_and_no_page_over(run, settings, monkeypatch, capsys):
    def find(study, outcomes):
        table = Table("<b>\u202e", HOSTILE[:2], (HOSTILE[:2],), note=HOSTILE[0])
        return Findings(HOSTILE[0], HOSTILE[1], (Section(HOSTILE[0], HOSTILE[:1], (), (table,)),), ((HOSTILE[0], "1"),))

    monkeypatch.setitem(kinds.STUDIES, planted_studies.NAME, planted_studies.PLANTED._replace(find=find))
    run_id = run()
    publish_study.fn(run_id)
    show_study(run_id, settings)
    assert not RAW_CONTROL.search(capsys.readouterr().out)
    page, markdown, _ = (path.read_text() for path in report_files(run_id, settings))
    assert "<b>" not in page and "<b>" not in markdown


def test_antipode_report_writes_it_anew(run, settings, capsys):
    run_id = run()
    Report(run=str(run_id)).cli_cmd()
    printed = capsys.readouterr().out.split()
    assert printed == [str(path) for path in report_files(run_id, settings)]
    assert all(path.exists() for path in report_files(run_id, settings))


def test_the_flag_of_a_dry_run_is_the_commands_own(run, capsys):
    CliApp.run(_command_line("study"), cli_args=["study", planted_studies.NAME, "--seeds", "3", "--dry-run"])
    out = capsys.readouterr().out
    assert out.startswith("Dry run of study: nothing is stored, loaded or sent") and "trials" in out


def test_a_dry_run_counts_what_is_stored_and_stores_nothing(run, settings):
    estimate = estimate_study(CONFIG, settings)
    assert [estimate.value(name) for name in ("trials", "stored", "to come", "time")] == [9, 0, 9, None]
    run_id = run()
    again = estimate_study(CONFIG, settings)
    assert [again.value(name) for name in ("trials", "stored", "to come", "time")] == [9, 9, 0, 0]
    more = estimate_study(CONFIG.model_copy(update={"seeds": 4}), settings)
    assert more.value("to come") == 12 and more.value("time") is not None, "as long as those of the study before"
    assert run() == run_id, "nothing was opened meanwhile"
