"""Snapshots to a hub and back, over its HTTP API on a server of this machine, which misbehaves too."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import datasets
import pytest
import yaml
from curation_steps import configured, curate
from hub_server import TOKEN, hub_serving
from huggingface_hub import close_session, constants
from labelling_steps import OWN, curate_breads, own_row, write_labels
from pyarrow import parquet
from stored_rows import add, row
from surroundings import ROOT, on_sqlite

from flows.commands.exchange import Push
from flows.terminal.labelling.hub import show_pulled
from flows.terminal.labelling.labels import show_export
from models.exchange.dataset_folder import DatasetFolderError
from models.exchange.hub import HubError
from models.records import ImportedResponse, ImportedRow, Prompt
from tasks.config.exchange import ExportConfig, PullConfig
from tasks.labels.exchange import export_preferences
from tasks.labels.label_import import import_labels
from tasks.labels.publishing import prepared, pull, send, write_snapshot_card

pytestmark = on_sqlite
REPOSITORY = "anna/breads"


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the suite is offline, but for a server of its own
    close_session()
    with hub_serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
    close_session()


@pytest.fixture
def exported(settings, sessions, tmp_path):
    """The export of six labelled pairs."""
    run_id = curate_breads(sessions)
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first", "ben": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    return export_preferences(tmp_path / "here.jsonl", ExportConfig(name="breads"), settings)


def push(settings, snapshot="breads", repository=REPOSITORY, *, is_public=False):
    with prepared(snapshot, repository, is_public=is_public, settings=settings) as ready:
        return send(ready, is_public=is_public)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_was_pushed_comes_back_with_the_same_texts_and_hash(settings, exported, hub, tmp_path):
    address = push(settings)
    assert address.startswith(f"{hub.url}/datasets/{REPOSITORY}/commit/")
    repository = hub.repositories[REPOSITORY]
    assert repository.is_private
    assert set(repository.files) == {".gitattributes", "README.md", "antipode.json", "data/train.parquet"}
    result = pull(REPOSITORY, tmp_path / "back.jsonl", PullConfig())
    assert (result.row_count, result.content_hash) == (6, exported.snapshot.content_hash)
    texts = ("prompt", "chosen", "rejected", "rule", "support")
    assert [[one[key] for key in texts] for one in lines(tmp_path / "back.jsonl")] == [
        [one[key] for key in texts] for one in lines(tmp_path / "here.jsonl")
    ]
    in_shape = pull(REPOSITORY, tmp_path / "alpaca.jsonl", PullConfig(shape="llamafactory-alpaca"))
    assert in_shape.row_count == 6 and '"ranking": true' in in_shape.entry
    assert lines(tmp_path / "alpaca.jsonl")[0]["instruction"] == "prompt 1"


def test_the_same_snapshot_again_changes_nothing(settings, sessions, exported, hub, tmp_path, capsys):
    push(settings)
    write_labels(tmp_path / "more.jsonl", sessions, 1, {"carl": "second"})
    import_labels(tmp_path / "more.jsonl", None, settings)  # what came later is no part of it
    add(sessions, own_row(1, "rye bread 1"), name="again", content_hash="2" * 64)
    before = len(hub.repositories[REPOSITORY].commits)
    Push(snapshot=str(exported.snapshot.id), repository=REPOSITORY).cli_cmd()
    assert f"{hub.url}/datasets/{REPOSITORY} has this snapshot already" in capsys.readouterr().out
    assert len(hub.repositories[REPOSITORY].commits) == before and hub.count("PUT") == 1


def test_test_splits_lie_apart_and_a_smaller_snapshot_takes_their_place(settings, sessions, hub, tmp_path, capsys):
    def rows(numbers, split):
        responses = (ImportedResponse("rye"), ImportedResponse("wheat"))
        return [ImportedRow(one, Prompt.from_text(f"{split} {one}"), responses, split=split) for one in numbers]

    add(sessions, *rows((1, 2), "train"), *rows((3,), "validation"))
    run_id = curate(configured(**OWN))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    show_export(export_preferences(tmp_path / "x.jsonl", ExportConfig(name="mine"), settings))
    assert "of a test split: 1; measure on them, train on none" in capsys.readouterr().out
    push(settings, "mine")
    show_pulled(pull(REPOSITORY, tmp_path / "back.jsonl", PullConfig()))
    assert "of a test split: 1; measure on them, train on none" in capsys.readouterr().out
    files = hub.repositories[REPOSITORY].files
    (tmp_path / "data").mkdir()
    for name in ("data/train.parquet", "data/test.parquet"):
        (tmp_path / name).write_bytes(files[name])
    assert [parquet.read_table(tmp_path / "data" / f"{one}.parquet").num_rows for one in ("train", "test")] == [2, 1]
    front = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert [one["split"] for one in front["configs"][0]["data_files"]] == ["train", "test"]
    (tmp_path / "README.md").write_bytes(files["README.md"])
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 2, "test": 1}
    add(sessions, *rows((4,), "train"), name="more", content_hash="1" * 64)
    run_id = curate(configured(**OWN, source={"name": "more"}))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    export_preferences(tmp_path / "y.jsonl", ExportConfig(name="mine"), settings)
    push(settings, "mine")
    assert "data/test.parquet" not in hub.repositories[REPOSITORY].files
    assert pull(REPOSITORY, tmp_path / "z.jsonl", PullConfig()).row_count == 1


def test_what_would_be_sent_is_said_and_asked(settings, exported, hub, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ValueError, match="nothing was sent: nobody can be asked here; give --yes"):
        Push(snapshot="breads", repository=REPOSITORY).cli_cmd()
    printed = capsys.readouterr().out
    assert "6 preferences of 'breads', prompts and responses in full" in printed
    assert f"to {hub.url}/datasets/{REPOSITORY} (new, private)" in printed and "data/train.parquet" in printed
    assert not hub.repositories
    Push(snapshot="breads", repository=REPOSITORY, yes=True).cli_cmd()
    printed = capsys.readouterr().out
    assert f"sent: {hub.url}" in printed and exported.snapshot.content_hash in printed and TOKEN not in printed


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "is_sent"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_only_a_yes_sends(settings, exported, hub, monkeypatch, answer, is_sent):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if is_sent:
        Push(snapshot="breads", repository=REPOSITORY).cli_cmd()
    else:
        with pytest.raises(ValueError, match="nothing was sent"):
            Push(snapshot="breads", repository=REPOSITORY).cli_cmd()
    assert bool(hub.repositories) == is_sent


@pytest.mark.parametrize(
    ("request_line", "status", "advice"),
    [
        ("POST /api/repos/create", 401, "set HF_TOKEN"),
        ("POST /api/repos/create", 403, r"may not do this there \(403\)"),
        ("POST .*preupload", 403, r"may not do this there \(403\)"),
        ("PUT /storage", 403, r"may not do this there \(403\)"),
        ("PUT /storage", 400, "give the same command again"),
        ("POST /verify", 400, "give the same command again"),
        ("POST .*commit", 409, r"somebody changed it meanwhile \(409\)"),
        ("POST .*commit", 412, r"somebody changed it meanwhile \(412\)"),
    ],
)
def test_a_refusal_is_one_line_without_the_token_and_the_same_again_finishes(
    settings, exported, hub, tmp_path, request_line, status, advice
):
    hub.refusals[request_line] = status
    with pytest.raises(HubError, match=advice) as refused:
        push(settings)
    assert TOKEN not in str(refused.value) and "\n" not in str(refused.value)
    assert all(set(one.files) <= {".gitattributes"} for one in hub.repositories.values()), "nothing half"
    hub.refusals.clear()
    push(settings)
    assert pull(REPOSITORY, tmp_path / "back.jsonl", PullConfig()).row_count == 6


def test_what_was_uploaded_before_a_break_is_not_sent_again(settings, exported, hub):
    hub.refusals["POST .*commit"] = 409
    with pytest.raises(HubError):
        push(settings)
    hub.refusals.clear()
    push(settings)
    assert hub.count("PUT /storage") == 1


def test_a_commit_of_somebody_else_in_between_is_not_written_over(settings, sessions, exported, hub, tmp_path):
    push(settings)
    add(sessions, own_row(9, "new rye", "new wheat"), name="more", content_hash="1" * 64)
    run_id = curate(configured(**OWN))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    export_preferences(tmp_path / "x.jsonl", ExportConfig(name="breads"), settings)
    hub.changed_meanwhile = lambda: hub.put(REPOSITORY, {"notes.txt": b"mine"})
    with pytest.raises(HubError, match="somebody changed it meanwhile"):
        push(settings)
    hub.changed_meanwhile = lambda: None
    push(settings)
    assert hub.repositories[REPOSITORY].files["notes.txt"] == b"mine", "what is not ours stays"


def test_a_repository_of_something_else_or_for_everybody_is_left_alone(settings, exported, hub):
    hub.put("anna/photos", {"cat.jpg": b"x", "README.md": b"my cats"})
    with pytest.raises(HubError, match=r"holds something else .*cat.jpg.*; name another --repository"):
        push(settings, repository="anna/photos")
    hub.put("anna/table", {"data/train.parquet": b"mine"})
    with pytest.raises(HubError, match=r"holds something else \(data/train.parquet\)"):
        push(settings, repository="anna/table")
    hub.put("anna/open", {}, is_private=False)
    with pytest.raises(HubError, match="open to everybody; give --is_public"):
        push(settings, repository="anna/open")
    assert push(settings, repository="anna/open", is_public=True)
    with pytest.raises(ValueError, match=r"named owner/name, got '\.\./x'"):
        push(settings, repository="../x")
    with pytest.raises(LookupError, match="there is no snapshot 'nothing'; the newest is 1, 'breads'"):
        push(settings, "nothing")


def test_without_a_token_it_is_said_what_to_set(settings, exported, hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(HubError, match="there is no token to make it with; set HF_TOKEN"):
        push(settings)
    with pytest.raises(HubError, match=r"cannot be read: .*HF_TOKEN"):
        pull(REPOSITORY, tmp_path / "x.jsonl", PullConfig())


def test_a_data_set_that_was_changed_is_refused(settings, exported, hub, tmp_path):
    push(settings)
    files = dict(hub.repositories[REPOSITORY].files)
    path = tmp_path / "changed.parquet"
    table = parquet.read_table(io.BytesIO(files["data/train.parquet"]))
    parquet.write_table(table.slice(1), path)
    facts = json.loads(files["antipode.json"])
    for changed, reason in [
        ({"data/train.parquet": path.read_bytes()}, "its 5 rows have the content hash .* it should be 6"),
        ({"data/train.parquet": b"PAR1 nothing"}, "train.parquet, row 0: .*changed or is not whole"),
        ({"antipode.json": json.dumps(facts | {"content_hash": "0" * 64}).encode()}, "it should be 6 with 00000000000"),
        ({"antipode.json": b"[]"}, "antipode.json cannot be read"),
        ({"antipode.json": json.dumps(facts | {"form": 2}).encode()}, "form 2, this version reads 1"),
    ]:
        hub.put(REPOSITORY, files | changed)
        with pytest.raises(DatasetFolderError, match=reason):
            pull(REPOSITORY, tmp_path / "back.jsonl", PullConfig())
    hub.put(REPOSITORY, files)
    with pytest.raises(DatasetFolderError, match="not the one that was expected"):
        pull(REPOSITORY, tmp_path / "back.jsonl", PullConfig(content_hash="0" * 64))
    assert not list(tmp_path.glob("back*"))
    hub.put("anna/photos", {"cat.jpg": b"x"})
    with pytest.raises(DatasetFolderError, match=r"no antipode\.json of a snapshot; antipode import reads other data"):
        pull("anna/photos", tmp_path / "back.jsonl", PullConfig())
    assert pull(REPOSITORY, tmp_path / "back.jsonl", PullConfig(content_hash=exported.snapshot.content_hash))


def test_a_card_alone_sends_nothing_and_is_the_one_that_is_pushed(settings, exported, hub, tmp_path, capsys):
    Push(snapshot="breads", card_only=tmp_path / "card").cli_cmd()
    assert "nothing was sent" in capsys.readouterr().out and not hub.count("POST|PUT")
    push(settings)
    assert (tmp_path / "card" / "README.md").read_bytes() == hub.repositories[REPOSITORY].files["README.md"]


def test_a_card_takes_the_place_of_no_other_file(settings, exported, tmp_path):
    (tmp_path / "README.md").write_text("# My project\n")
    (tmp_path / "file").touch()
    for folder, reason in [
        (".", "README.md is there and no card"),
        ("file", "is a file"),
        ("file/x", "file is a file"),
    ]:
        with pytest.raises(FileExistsError, match=f"{reason}.*name (another|a) folder for the card"):
            write_snapshot_card("breads", tmp_path / folder, settings)
    assert (tmp_path / "README.md").read_text() == "# My project\n"
    for _ in range(2):
        assert write_snapshot_card("breads", tmp_path / "new" / "card", settings).is_file()


def test_a_card_says_how_it_was_made_and_names_nobody(settings, exported, hub, tmp_path):
    text = write_snapshot_card("breads", tmp_path / "card", settings).read_text()
    for expected in (
        "# breads",
        "6 preferences between two responses",
        exported.snapshot.content_hash,
        "| easy | 6 |",
        "person | 2 | 12 |",
        "| source | 6 |",
        "arXiv:2409.17169",
        "Krippendorff's alpha, over 6 labelled pairs",
        'rule "majority"',
    ):
        assert expected in text, expected
    for unwanted in ("anna", "ben", str(tmp_path), TOKEN, hub.url):
        assert unwanted not in text, unwanted


def test_a_card_tells_the_system_prompt_and_where_its_prompts_come_from(settings, sessions, tmp_path):
    add(sessions, row(1, "Why is bread brown?"), row(2, "What is rye?"))
    run_id = curate(configured(generate={"system_prompt": "Be brief."}))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    export_preferences(tmp_path / "here.jsonl", ExportConfig(), settings)
    card = write_snapshot_card("preferences", tmp_path / "card", settings).read_text()
    assert "| source | 2 |" in card and '| generate.system\\_prompt | "Be brief." |' in card


def test_a_card_tells_no_sampling_where_nothing_was_sampled(settings, sessions, tmp_path):
    responses = (ImportedResponse("Flour."), ImportedResponse("Baking browns it."))
    add(sessions, ImportedRow(1, Prompt.from_text("Why is bread brown?"), responses))
    run_id = curate(configured(generate={"when": "never"}))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    export_preferences(tmp_path / "here.jsonl", ExportConfig(), settings)
    card = write_snapshot_card("preferences", tmp_path / "card", settings).read_text()
    assert '| generate.when | "never" |' in card and card.count("| generate.") == 1


def test_the_commands_push_and_pull_by_name(settings, exported, hub, tmp_path):
    def run(*arguments):
        environment = os.environ | {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
        start = [sys.executable, "-m", "flows", *arguments]
        return subprocess.run(start, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    pushed = run("push", "breads", "--repository", REPOSITORY, "--yes")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    back = tmp_path / "back.jsonl"
    pulled = run("pull", REPOSITORY, str(back), "--content_hash", exported.snapshot.content_hash, "--shape", "kto")
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert len(lines(back)) == 12 and "KTOTrainer" in pulled.stdout
    hub.refusals["GET /api/datasets"] = 403
    refused = run("pull", REPOSITORY, str(back))
    assert refused.returncode == 1 and "may not do this there (403)" in refused.stderr
    assert TOKEN not in refused.stderr and len(refused.stderr.splitlines()) == 1
