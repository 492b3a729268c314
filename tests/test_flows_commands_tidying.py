"""`antipode forget` and `rename` as a person gives them: what is told, asked, refused and done."""

from __future__ import annotations

import io

import pytest
from installed import installed
from pydantic_settings import CliApp
from tidy_worlds import World, add_labels, add_queue, add_run, add_snapshot, add_source, check

from db.tidying import journal
from db.tidying.forgetting import Forgotten
from flows.commands.runs import Report
from flows.commands.tidying import Forget, Rename
from flows.terminal.tidying import show_pages
from tasks.errors import StillNeededError
from tasks.tidying.forgetting import Plan


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def world(tmp_path):
    with installed(tmp_path) as (settings, sessions):
        world = World(sessions, settings)
        add_source(world, "mine", (0, 1))
        run_id = add_run(world, "nightly", (0, 1))
        add_labels(world, run_id, "judge")
        yield world


def forget(*arguments):
    CliApp.run(Forget, cli_args=[*arguments])


def test_a_dry_run_tells_what_goes_and_what_stays_and_changes_nothing(world, capsys):
    forget("run", "nightly", "--dry-run")
    out = capsys.readouterr().out
    assert out.startswith("Dry run of forget: nothing is changed\nwith run 1 (nightly) go:\n")
    assert " 2 pairs\n" in out and "  stay: 4 responses, which source 1 needs\n" in out
    assert "vectors (" in out and out.endswith("Next: the same command without --dry-run\n")
    assert world.names("run") == ["1", "2"]


def test_a_dry_run_tells_what_must_go_first(world, capsys):
    snapshot = add_snapshot(world, 1)
    forget("run", "1", "--dry-run")
    out = capsys.readouterr().out
    assert (
        f"not yet: snapshot {snapshot} holds 1 preferences of run 1; first: antipode forget snapshot {snapshot}" in out
    )
    assert "Next:" not in out
    with pytest.raises(StillNeededError, match=f"first: antipode forget snapshot {snapshot}"):
        forget("run", "1", "--yes")


def test_it_is_asked_and_only_a_yes_counts(world, monkeypatch, capsys):
    with pytest.raises(ValueError, match="run 1 is not forgotten: there is no terminal to ask at; add --yes"):
        forget("run", "nightly")
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    with pytest.raises(ValueError, match="run 1 is not forgotten, as you say"):
        forget("run", "nightly")
    assert "Forget run 1? It cannot be undone. [y/N] " in capsys.readouterr().out
    assert "1" in world.names("run")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    forget("run", "nightly")
    assert "forgotten: run 1, " in capsys.readouterr().out
    assert world.names("run") == []
    check(world)


def test_a_page_that_showed_a_persons_verdicts_goes_and_how_it_comes_back_is_said(world, capsys):
    add_queue(world, 1, ["anna"])
    page = world.root / "reports" / "run-1.html"
    assert page.is_file()
    forget("person", "anna", "--yes")
    out = capsys.readouterr().out
    assert not page.exists() and out.splitlines()[-2:] == [
        "The page of run 1 showed some of it and is gone: antipode report --run 1 writes it anew",
        f"Not reached: exports and tracking in {world.root}, backups, what was pushed (docs/tidying.md)",
    ]
    assert CliApp.run(Report, cli_args=["--run", "1"], cli_cmd_method_name="model_dump_json").run == "1"
    check(world)


def test_pages_of_many_runs_and_of_policies_are_all_told(world, capsys):
    forgotten = Forgotten(rows={}, shown_runs=range(1, 10), shown_policies=[4])
    show_pages(Plan(None, forgotten, 0, 0))
    assert capsys.readouterr().out.splitlines() == [
        "The pages of run 1, 2, 3, 4, 5, 6 and 3 more showed some of it and are gone: "
        "antipode report --run ID writes each anew",
        "The page of policy 4 showed some of it and is gone: antipode report --policy 4 writes it anew",
    ]


def test_what_a_killed_command_left_is_removed_and_what_has_its_id_by_now_is_not(world, capsys):
    world.write("reports/run-1.html")
    with world.sessions.begin() as session:
        journal.note(session, "run 1", ["reports/run-1.html"])
    with pytest.raises(ValueError, match="run 1 that is there now is not forgotten; to do it, give the command again"):
        forget("run", "1", "--yes")
    assert capsys.readouterr().out == (
        "run 1 was forgotten before; its last files are gone now\nrun 1 is another one by now: nightly\n"
    )
    assert world.names("run") == ["1", "2"] and not (world.root / "reports" / "run-1.html").exists()
    forget("run", "1", "--yes")
    assert "1" not in world.names("run")


def test_a_new_name_is_one_line_and_takes_the_files_named_by_it_along(world, capsys):
    CliApp.run(Rename, cli_args=["source", "mine", "ours"])
    assert capsys.readouterr().out == "source 'mine': the name 'mine' is now 'ours'\n"
    check(world)
    CliApp.run(Rename, cli_args=["run", "1", "weekly"])
    with pytest.raises(ValueError, match="run 1 has the name 'weekly'; take another"):
        CliApp.run(Rename, cli_args=["run", "2", "weekly"])
